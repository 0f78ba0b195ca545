// Package fetch is the workload of getting files from the web: lists of URLs to
// a directory, at a rate that servers bear, whatever they answer.
//
//	load, err := fetch.New(fetch.Spec{Lists: []string{"/home/me/urls"}, To: "/home/me/files", Rate: 100})
//
// A line of a list is a URL, or URL<TAB>NAME; see [Parse] and [Template].
//
// # What is done when
//
// An item is one attempt at one URL and what it redirects to. It may be made
// when fewer than Concurrency items and HostConcurrency requests to the host
// are in flight, the host has not asked for a pause, its circuit breaker is
// closed, and both rates have a turn for it. Retries are the pool's: an error
// that may pass says Retry, and After where the server or a limit named a time.
//
// An item whose turn is up to a second away waits for it in its goroutine. One
// that has to wait longer fails with code waiting, Retry and After, and a
// ticket that keeps its turn: so that a pool holds any number of items that wait
// for a slow rate or a paused host without a goroutine for each. Nothing was
// asked then: a pool does well not to count it as an attempt.
//
// A host that answers 429 or 503 pauses for all items: for Retry-After, or
// half a second that doubles to 30 s. After ten pauses without an answer in
// between it is given up, and its items fail while it pauses. A host that does
// not work (no connection, resets, 5xx) BreakAfter times in a row is left alone
// for BreakSeconds, then one request tries it.
//
// All workers of a job that are in one process share connections, rates,
// pauses and breakers. Worker processes share nothing: Processes says among how
// many the limits are divided, each process gets its equal part, and learns of
// pauses by itself. For fetching, one process with the event pool is right.
//
// Defaults: 64 items in flight keep 16 connections busy on each of four hosts;
// 16 requests at once to one host are where more no longer are faster from a
// server nearby, and about as much as servers bear. HTTP/2 is used where it is
// offered. Proxies are those of the environment (HTTP_PROXY, HTTPS_PROXY,
// NO_PROXY), certificates are checked against the system's.
//
// # Files
//
// A file is written under .NAME.weft-part and renamed when it is complete and
// as long as the server said. What an attempt got before it broke off stays
// there with a note (.NAME.weft-note) while attempts are left, and the next
// asks for the rest: with Range and If-Range, when the server named a version
// by a strong ETag or date. An answer that is not exactly the rest of that
// version is thrown away, and the file begun anew. A file that is there is
// skipped, updated or replaced: see [ExistingSkip]. Bodies are kept as they are
// sent: no compression is asked for, and one that comes nevertheless is named in
// the answer (content_encoding) and not undone.
//
// A power cut leaves no file under its name that is not whole, and no line of the
// journal without its file: contents are on the disk before names, and both before
// the journal says so, for groups of files (package batch); with Sync each is
// fsynced by itself. Of a partial file only what was known to be on the disk is
// gone on with after the machine was started anew.
//
// # Where requests go
//
// Addresses that are not on the public internet are refused unless
// AllowPrivate, after resolving and before connecting, on every redirect. The
// user's headers, and the password of a URL, are sent to the listed origin
// (scheme, host and port) only. Of a proxied request the proxy resolves the
// name: only addresses written as numbers are refused here.
//
// # Codes of errors
//
// bad_url, bad_name, name_taken; dns, refused, unreachable, private_address,
// tls, timeout, stalled, reset, length_mismatch, protocol; status_NNN,
// too_large, too_many_redirects, redirect_loop; circuit_open, waiting; busy,
// write_failed, disk_full, too_many_files; cancelled. They are explained where
// they are declared, at [CodeBadURL].
//
// # Imports
//
// Of weft: cpuwork, cpuwork/batch and cpuwork/files/durable. Start reading at [Spec], then engine.go
// for one attempt and gate.go for when it may be made. Package fetchtest is the
// server it is tested against.
package fetch
