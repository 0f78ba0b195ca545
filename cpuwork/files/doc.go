// Package files lists the input files of a job: arguments, patterns, directories
// and lists, one after the other and always in the same order.
//
//	spec := files.Spec{Paths: []files.Name{"photos"}, Recursive: true}
//	for entry := range spec.All(ctx) {
//		if entry.Err != nil { … } // this one cannot be had; the list goes on
//		os.Open(entry.Path)
//	}
//
// # Order
//
// Arguments come first, then patterns, then lists, each in the order given. A
// directory's entries come sorted by their bytes. So the same tree gives the same
// list again, which is what a job that goes on after a crash needs. Files that
// appear or vanish in between move those behind them: who keeps places in the
// list should keep names with them.
//
// # Errors
//
// What cannot be listed is an entry with an error, never the end of the list:
//
//	not_found          there is no such file
//	permission_denied  it, or a directory on the way, may not be read
//	is_directory       a directory, without Recursive
//	loop               a directory that contains itself through a symbolic link
//	no_match           a pattern that matches nothing
//	bad_pattern        a pattern that is none
//	bad_name           an empty name, a zero byte, or longer than 4096 bytes
//	not_regular        a list that is a pipe or a device
//	unreadable         any other failure
//
// # Memory
//
// Lists are read as they are used. A directory is read whole, for its order: a
// byte and a name an entry, and 8 bytes for its place, so 30 MB for a million of
// files; only the directories on the way down are held.
//
// # Items
//
// [Items], [Spec.Each] and [Entry.Read] make a job's items of a list, for the
// workloads whose items are files or are in files.
//
// Start reading at [Spec.All]. Of weft it imports cpuwork, for its errors, and
// cpuwork/batch, for what an item is.
package files
