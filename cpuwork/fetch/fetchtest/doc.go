// Package fetchtest is an HTTP server that behaves well or badly, as the path
// asked for says: what fetching is tested and measured against.
//
//	/ok/N         N bytes of [Byte], with ETag, Last-Modified and ranges
//	/status/N     an empty answer with status N
//	/after/N/S    status N and "Retry-After: S" until [Server.Relent], then as /ok/5
//	/date/N/S     the same with an HTTP date, S seconds from now
//	/limited      as /ok/5 from a token bucket, 429 where it is empty
//	/stall/N      the first N bytes of a million, and then nothing
//	/silent       nothing at all
//	/drip/N/MS    N bytes, one every MS milliseconds
//	/lie/N/M      says N bytes, sends M, closes
//	/reset/N      N bytes of a million, then a TCP reset
//	/flaky/N/M    as /ok/N, but breaks off after M bytes unless asked for a range
//	/norange/N    /flaky/N/1000, deaf to ranges
//	/wrongrange/N the same, and answers a range with another
//	/chunked/N    N bytes without saying how many
//	/gzip         a body with Content-Encoding: gzip, whatever was asked for
//	/garbage      what is no HTTP
//	/circle/N     redirects through N addresses back to the first
//	/hops/N       N redirects, then as /ok/5
//	/to?URL       redirects to URL
//	/echo         the request's headers, a line each
//
// It imports nothing of weft. Start reading at [Start].
package fetchtest
