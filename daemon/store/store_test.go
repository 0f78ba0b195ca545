package store

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/daemon/api"
)

var epoch0 = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func open(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "weft.db"))
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newJob(name string) NewJob {
	return NewJob{
		Submission: api.Submission{Kind: api.KindTrain, Name: name, Labels: map[string]string{"sweep": "a"},
			Spec: []byte(`{"name":"` + name + `","data":{"source":"digits"},"model":[{"linear":64},"relu",{"linear":10}]}`)},
		Owner: "ada", Node: "here", MemoryBytes: 1 << 20, DataBytes: 2 << 20, DataHash: "d1",
		Totals: api.Progress{Epochs: 20, Steps: 900}, Device: "auto",
	}
}

func newJobs(n int) []NewJob {
	jobs := make([]NewJob, n)
	for i := range jobs {
		jobs[i] = newJob("digits-mlp")
	}
	return jobs
}
