// Package proc runs a supervised subprocess and talks to it. It is what every
// worker of weft stands on, for a GPU as for the CPU.
//
// The parent makes a [Supervisor]: it starts the program again and again, each
// time with one end of a unix socketpair as descriptor 3, watches its beats,
// and tells what happened in an [Exit]. The child calls [Inherited] and
// [Serve]. Both sides exchange frames through a [Conn]; bulk data goes through
// an [Arena], memory that both processes map, of which only the descriptor is
// sent.
//
//	sup := proc.New(proc.Config{Name: "worker", Path: program, OnFrame: got})
//	if err := sup.Start(ctx); err != nil { … }   // ready, or says why not
//	err = sup.Send(kindWork, payload, arena.File())
//	err = sup.Stop(ctx)
//
//	conn, err := proc.Inherited()                 // in the child
//	err = proc.Serve(ctx, conn, proc.ServeConfig{Handle: handle})
//
// # The wire
//
// A frame is a header of six bytes (payload length, 32 bits little-endian; kind;
// number of descriptors) and the payload. Kinds below [KindUser] are the
// package's own. Descriptors are sent with the header's first byte, which a
// stream socket keeps together with them.
//
// # Who ends whom
//
// The child leads a process group of its own. When it dies, however it dies,
// the rest of its group is killed before it is reaped. When the parent dies,
// however it dies, the socket ends, and [Serve] kills the group it is in. A
// process that leaves the group (setsid) leaves this protection too. A parent
// and child that are killed in the same instant can leave the child's children
// behind; only a control group would catch those.
//
// # Imports and platform
//
// Nothing of weft is imported. Linux only: memfd, seals, SCM_RIGHTS, waitid.
//
// Start reading at [Supervisor], then life.go for what happens to one child,
// and [Conn].
package proc
