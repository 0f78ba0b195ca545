package store

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"weft/daemon/api"
)

// OnCommit tells of commits and of what the database refused; a request that was
// wrong, or given up, is neither.
func TestOnCommit(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "weft.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var told []string
	s.OnCommit(func(durability string, took time.Duration, failed bool) {
		if took <= 0 {
			t.Errorf("a transaction took %v", took)
		}
		if failed {
			durability = "failed " + durability
		}
		told = append(told, durability)
	})
	job := NewJob{Submission: api.Submission{Kind: api.KindTrain, Spec: []byte("{}")}, Owner: "a"}
	if _, _, err := s.Submit(t.Context(), "", "", []NewJob{job}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Report(t.Context(), []Report{{ID: 1, At: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	job.After = []int64{99}
	if _, _, err := s.Submit(t.Context(), "", "", []NewJob{job}, time.Now()); err == nil {
		t.Fatal("a job waits for one that does not exist")
	}
	over, stop := context.WithCancel(t.Context())
	err = s.write.do(over, synced, func(*tx) error { stop(); return nil })
	if err == nil {
		t.Fatal("a transaction that was given up is committed")
	}
	if err := s.write.do(t.Context(), written, func(t *tx) error { return t.exec(`DELETE FROM nowhere`) }); err == nil {
		t.Fatal("there is a table nowhere")
	}
	if want := []string{"synced", "written", "failed written"}; !slices.Equal(told, want) {
		t.Errorf("told %q, not %q", told, want)
	}
}
