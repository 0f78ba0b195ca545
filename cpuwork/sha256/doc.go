// Package sha256 does the work of sha256sum: digests of files, written in its
// format, and the check of such lists.
//
//	load, err := sha256.New(sha256.Spec{
//		Files:  files.Spec{Dir: "/data", Paths: []files.Name{"in"}, Recursive: true},
//		Output: "/data/SHA256SUMS",
//	})
//
// [Work] hashes files by their paths, several side by side on each core (package
// multi). [Blob] hashes items that are the bytes themselves.
//
// # What is read
//
// Regular files, and links to them. Pipes and devices are refused unless Special
// is set, as a job would wait for them. A file is hashed as it is read, as
// sha256sum does; if its size or time of change is another one afterwards, the
// answer says so ("changed": true), for the digest may then be one that the file
// never had.
//
// # Output
//
// Digests appear in the order of the input, whichever came first: they wait in a
// file without a name beside the output, 48 bytes and the name each, so memory
// does not grow with the input. The output is written under a temporary name,
// synced and renamed.
//
// # Errors of items
//
// Those of package files for what cannot be listed or opened, and
//
//	not_regular        a pipe, socket or device, without Special
//	is_directory       a directory where a file was expected
//	unreadable         reading failed
//	mismatch           check: the digest is another one
//	malformed          check, with Strict: a line that is none of a checksum list
//	no_checksums       check: a list without any such line
//
// # Where to start reading
//
// load.go for a job, work.go for what a worker does, format.go and parse.go for
// sha256sum's two formats.
package sha256
