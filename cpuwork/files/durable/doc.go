// Package durable is what outputs go through so that a power cut leaves no file
// under its name that is not whole, and no journal that speaks of a file that the
// disk does not have.
//
//	f := …                        // without its name yet
//	err := durable.Settle(f)      // its content is ahead of
//	err = os.Rename(temp, path)   // its name
//
//	var s durable.Systems         // of a job
//	s.Note(path)                  // for each output
//	err = s.Sync()                // five times a second: contents and names are durable
//	journal.Write(lines)          // that say so
//
// # Why both
//
// Settle alone keeps what is skipped "because it is there" whole: the name is
// durable when the file system comes to it, the content was before. Systems.Sync
// asks for the names, and everything else, of many outputs in one call: one wait
// for the disk five times a second instead of one for each file.
//
// # Start reading
//
// At [Settle]. Nothing of weft is imported.
package durable
