package cpuwork

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestFramesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Uint32().Draw(t, "number")
		var tasks []*task
		for range rapid.IntRange(1, 20).Draw(t, "items") {
			size := rapid.Int64Range(0, 100).Draw(t, "size")
			tasks = append(tasks, &task{at: rapid.Int64Range(0, 900).Draw(t, "offset"), in: make([]byte, size), alone: rapid.Bool().Draw(t, "alone")})
		}
		got, pieces, err := parseChunk(appendChunk(nil, number, tasks), 1000)
		if err != nil || got != number || len(pieces) != len(tasks) {
			t.Fatal(got, pieces, err)
		}
		for i, c := range pieces {
			if c != (piece{tasks[i].at, int64(len(tasks[i].in)), tasks[i].alone}) {
				t.Fatalf("piece %d: %+v", i, c)
			}
		}
		h := held{rapid.Uint32().Draw(t, "chunk"), rapid.Uint16().Draw(t, "first"), rapid.Uint16().Draw(t, "count")}
		if heldOf(h.word()) != h {
			t.Fatalf("%+v became %+v", h, heldOf(h.word()))
		}
	})
}

func TestAnswersComeBack(t *testing.T) {
	failed := &ItemError{Code: "busy", Message: "später", Hint: "try: later", Retry: true, After: time.Second}
	frame := appendAnswer([]byte{1, 2, 3, 4}, 3, time.Minute, []byte("yes"), nil)
	frame = appendAnswer(frame, 5, 0, nil, failed)
	frame = appendAnswer(frame, 6, 0, nil, errors.New("plain"))
	number, got, err := parseAnswers(frame)
	if err != nil || number != 0x04030201 {
		t.Fatal(number, err)
	}
	want := []answer{
		{place: 3, took: time.Minute, output: []byte("yes")},
		{place: 5, err: failed},
		{place: 6, err: &ItemError{Code: CodeFailed, Message: "plain"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(answer{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func FuzzParseChunk(f *testing.F) {
	f.Add(appendChunk(nil, 1, []*task{{in: make([]byte, 5), at: 64}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, pieces, err := parseChunk(p, 1000)
		for _, c := range pieces {
			if c.offset < 0 || c.size < 0 || c.offset+c.size > 1000 {
				t.Fatalf("%+v is not in the arena", c)
			}
		}
		if err == nil && len(pieces) == 0 {
			t.Fatal("nothing, and no error")
		}
	})
}

func FuzzParseAnswers(f *testing.F) {
	f.Add(appendAnswer([]byte{1, 2, 3, 4}, 3, time.Minute, []byte("yes"), nil))
	f.Add(appendAnswer([]byte{1, 2, 3, 4}, 3, time.Minute, nil, errors.New("no")))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, list, err := parseAnswers(p)
		if err != nil {
			return
		}
		sum := 0
		for _, a := range list {
			if a.place < 0 || a.place >= maxPieces || a.took < 0 {
				t.Fatalf("%+v", a)
			}
			sum += len(a.output)
		}
		if sum > len(p) {
			t.Fatal("outputs of more bytes than there were")
		}
	})
}
