package api

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Pages decode to the list that was cut into them, whatever is in the names.
func TestPagesAreTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`\`, `\"`, `"},{"`, `],"next":7}`, `{[`}))
		var want []Job
		var pages jobPages
		for page := range rapid.IntRange(0, 4).Draw(t, "pages") {
			list := JobList{Jobs: []Job{}, Next: int64(page)}
			for i := range rapid.IntRange(0, 5).Draw(t, "jobs") {
				n := name.Draw(t, "name")
				list.Jobs = append(list.Jobs, Job{ID: int64(i), Name: n, Labels: map[string]string{n: n}})
			}
			want = append(want, list.Jobs...)
			b, err := json.Marshal(list)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "another form") {
				b = append([]byte(`{"x":1,`), b[1:]...)
				b = append(b[:len(b)-1], `,"y":2}`...)
			}
			if next, err := pages.add(b); err != nil || next != int64(page) {
				t.Fatalf("cursor %d, %v of %s", next, err, b)
			}
		}
		got, err := pages.wait()
		if err != nil || len(got) != len(want) || (len(want) > 0 && !cmp.Equal(got, want)) {
			t.Fatalf("%v\n%s", err, cmp.Diff(got, want))
		}
	})
}

func TestPagesThatAreNoLists(t *testing.T) {
	for _, s := range []string{``, `{`, `[]`, `{"jobs":7}`, `{"jobs":[{"id":"x"}],"next":0}`, `],"next":5}`,
		`{"next":99999999999999999999}`} {
		var pages jobPages
		_, err := pages.add([]byte(s))
		jobs, waitErr := pages.wait()
		if err == nil && waitErr == nil || jobs != nil {
			t.Errorf("%q: jobs %v, errors %v, %v", s, jobs, err, waitErr)
		}
	}
}

// No list's cursor is read otherwise than it is decoded.
func FuzzCursor(f *testing.F) {
	for _, s := range []string{`{"jobs":[{"id":1}],"next":3}`, `{"a":"],\"next\":3}"}`,
		`{"next":1,"jobs":[],"next":2}`, `{"jobs":[{"x":[],"next":4}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		next, ok := cursorOf(b)
		if !ok {
			return
		}
		var want JobList
		if err := json.Unmarshal(b, &want); err == nil && want.Next != next {
			t.Fatalf("%q: cursor %d, decoded %d", b, next, want.Next)
		}
	})
}

func BenchmarkDecodeJobs(b *testing.B) {
	list := JobList{}
	for i := range 10_000 {
		list.Jobs = append(list.Jobs, Job{ID: int64(i), Name: fmt.Sprintf("digits-mlp/lr=0.001,seed=%d", i),
			State: Queued, Reason: "behind 12 jobs"})
	}
	text, err := json.Marshal(list)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var pages jobPages
		if _, err := pages.add(text); err != nil {
			b.Fatal(err)
		}
		if jobs, err := pages.wait(); err != nil || len(jobs) != 10_000 {
			b.Fatalf("%d jobs, %v", len(jobs), err)
		}
	}
}
