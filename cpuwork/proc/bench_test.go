package proc

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"testing"
)

// startWorker starts a worker and returns a connection to it and the frames that
// come from it.
func startWorker(b *testing.B) (*Supervisor, chan Frame) {
	b.Helper()
	frames := make(chan Frame, 16)
	sup := New(Config{Path: self(), Env: []string{roleVar + "=worker"}, OnFrame: func(f Frame) { frames <- f }})
	if err := sup.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { sup.Kill(); <-sup.Done() })
	return sup, frames
}

// BenchmarkRoundTrip is 40 bytes to the child and back: as frames, through the
// supervisor and the child's handler, and bare, which is the floor for two Go
// programs and a socket.
func BenchmarkRoundTrip(b *testing.B) {
	payload := make([]byte, 40)
	b.Run("frames", func(b *testing.B) {
		sup, frames := startWorker(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := sup.Send(kindEcho, payload); err != nil {
				b.Fatal(err)
			}
			<-frames
		}
	})
	b.Run("bare", func(b *testing.B) {
		ours, theirs, err := Pair()
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = ours.Close() }()
		file, err := theirs.sock.File()
		if err != nil {
			b.Fatal(err)
		}
		cmd := exec.Command(self())
		cmd.Env = append(os.Environ(), roleVar+"=bare")
		cmd.ExtraFiles = []*os.File{file}
		if err := errors.Join(cmd.Start(), file.Close(), theirs.Close()); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		if _, err := ours.Recv(); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := ours.sock.Write(payload); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(ours.sock, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHandOver1MB gives the child a megabyte and waits until it has read it:
// copied through frames, and in an arena of which the descriptor is sent. The
// child answers with a small frame, and through the arena it also writes.
func BenchmarkHandOver1MB(b *testing.B) {
	const size = 1 << 20
	b.Run("frame", func(b *testing.B) {
		sup, frames := startWorker(b)
		payload := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			if err := sup.Send(kindSum, payload); err != nil {
				b.Fatal(err)
			}
			<-frames
		}
	})
	b.Run("arena mapped once", func(b *testing.B) {
		sup, frames := startWorker(b)
		arena := newArena(b, size)
		if err := sup.Send(kindKeep, nil, arena.File()); err != nil {
			b.Fatal(err)
		}
		<-frames
		payload := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			copy(arena.Bytes(), payload)
			if err := sup.Send(kindSum, nil); err != nil {
				b.Fatal(err)
			}
			<-frames
		}
	})
	b.Run("new arena each", func(b *testing.B) {
		sup, frames := startWorker(b)
		payload := make([]byte, size)
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			arena, err := NewArena("bench", size)
			if err != nil {
				b.Fatal(err)
			}
			copy(arena.Bytes(), payload)
			if err := sup.Send(kindKeep, nil, arena.File()); err != nil {
				b.Fatal(err)
			}
			<-frames
			if err := arena.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reading alone", func(b *testing.B) { // the floor: what the child does with it
		payload := make([]byte, size)
		b.SetBytes(size)
		for b.Loop() {
			crc32.ChecksumIEEE(payload)
		}
	})
}

// BenchmarkSpawn is from nothing to the ready frame, and the child's death.
func BenchmarkSpawn(b *testing.B) {
	for b.Loop() {
		sup := New(Config{Path: self(), Env: []string{roleVar + "=worker"}})
		if err := sup.Start(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		sup.Kill()
		<-sup.Done()
		b.StartTimer()
	}
}

// BenchmarkSend is the sending of small frames by one and by many goroutines,
// read on the other side as fast as it goes.
func BenchmarkSend(b *testing.B) {
	run := func(b *testing.B, send func(*testing.B, *Conn)) {
		x, y := connect(b)
		go func() {
			for {
				if _, err := y.Recv(); err != nil {
					return
				}
			}
		}()
		b.ReportAllocs()
		send(b, x)
	}
	payload := make([]byte, 40)
	b.Run("one", func(b *testing.B) {
		run(b, func(b *testing.B, c *Conn) {
			for b.Loop() {
				if err := c.Send(kindTold, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
	b.Run("many", func(b *testing.B) {
		run(b, func(b *testing.B, c *Conn) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := c.Send(kindTold, payload); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	})
}
