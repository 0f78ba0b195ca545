package api

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Decoding in pieces gives what decoding as a whole does, whatever is in the
// names, and into however many pieces the list is cut.
func TestDecodePiecesIsDecoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`\`, `\"`, `"},{"`, `],"next":7`, `{[`}))).Draw(t, "names")
		in := JobList{Jobs: []Job{}, Next: rapid.Int64Range(0, 9).Draw(t, "next")}
		for i, n := range names {
			in.Jobs = append(in.Jobs, Job{ID: int64(i), Name: n, Labels: map[string]string{n: n}, Metrics: map[string]float64{"x": 1}, Error: &Error{Message: n}})
		}
		b, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var want JobList
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatal(err)
		}
		got, ok := decodePieces(b, rapid.IntRange(1, 8).Draw(t, "pieces"))
		if len(names) == 0 {
			return // an empty piece is no list; the whole is decoded instead
		}
		if !ok || !cmp.Equal(got, want) {
			t.Fatalf("ok %v\n%s", ok, cmp.Diff(got, want))
		}
	})
}

func TestDecodePiecesLeavesOtherFormsAlone(t *testing.T) {
	for _, s := range []string{``, `{}`, `{"next":1}`, `{"jobs":null}`, `{"jobs":[{"id":1}`, `{"jobs":[{"id":1},{"id":"x"}]}`, `{"a":{"jobs":[{"id":1}]}}`,
		`[{"jobs":[]}]`, `{"jobs":[{"name":"`, `{"jobs":[1,2]}`, `{"jobs":[{"id":1}]`, `{"jobs":[{"id":1}]}}`} {
		if got, ok := decodePieces([]byte(s), 2); ok {
			t.Errorf("%s: decoded %+v", s, got)
		}
	}
}

// No bytes make the pieces decode to something that the whole does not.
func FuzzDecodePieces(f *testing.F) {
	for _, s := range []string{`{"jobs":[{"id":1},{"id":2}],"next":3}`, `{"$schema":"x","jobs":[{"name":"\\\"]"}]}`, `{"jobs":[{}],"jobs":[{}]}`, `{"jobs":[,{}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := decodePieces(b, 3)
		if !ok {
			return
		}
		var want JobList
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("%q decodes in pieces, and not as a whole: %v", b, err)
		}
		if !cmp.Equal(got, want) {
			t.Fatalf("%q\n%s", b, cmp.Diff(got, want))
		}
	})
}

func BenchmarkDecodeJobs(b *testing.B) {
	in := JobList{}
	for i := range 10_000 {
		in.Jobs = append(in.Jobs, Job{ID: int64(i), Name: fmt.Sprintf("digits-mlp/lr=0.001,seed=%d", i), State: Queued, Reason: "behind 12 jobs"})
	}
	text, err := json.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var out JobList
		if err := decodeJobs(text, &out); err != nil {
			b.Fatal(err)
		}
	}
}
