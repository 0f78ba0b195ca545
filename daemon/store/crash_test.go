package store

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"weft/daemon/api"
)

const childEnv = "STORE_TEST_CRASH_CHILD"

// crashChild submits, starts and ends jobs for ever, and prints what was
// acknowledged: the id and the state that the job has from then on at least.
func crashChild(path string) {
	s, err := Open(ctx, path)
	if err != nil {
		panic(err)
	}
	if _, _, err := s.Recover(ctx, t0); err != nil {
		panic(err)
	}
	acknowledge := func(recs []Record, err error) {
		if err != nil {
			panic(err)
		}
		for _, rec := range recs {
			fmt.Println(rec.ID, rec.State)
		}
	}
	for {
		recs, _, err := s.Submit(ctx, "", "", newJobs(3), t0)
		acknowledge(recs, err)
		for _, do := range []api.Transition{api.Start, api.Succeed} {
			changes := make([]Change, 2)
			for i := range changes {
				changes[i] = Change{ID: recs[i].ID, Do: do, At: t0}
			}
			after, _, _, err := s.Apply(ctx, changes)
			acknowledge(after, err)
			reports := []Report{{ID: recs[0].ID, Progress: &api.Progress{Step: 1}, DeviceSeconds: 1, At: t0}}
			if _, err := s.Report(ctx, reports); err != nil {
				panic(err)
			}
		}
	}
}

// TestKill kills a writing process at random moments, again and again on the
// same file, and finds everything that it acknowledged.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weft.db")
	acknowledged := map[int64]api.State{}
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	for round := range rounds {
		runAndKill(t, path, 1+rand.IntN(120), acknowledged)
		s, err := Open(ctx, path)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var check string
		if err := s.read.QueryRow(`PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
			t.Fatalf("round %d: integrity %q, %v", round, check, err)
		}
		for id, state := range acknowledged {
			rec, err := s.Job(ctx, id)
			if err != nil {
				t.Fatalf("round %d: acknowledged job is lost: %v", round, err)
			}
			if rank(rec.State) < rank(state) {
				t.Fatalf("round %d: job %d is %s, was acknowledged as %s", round, id, rec.State, state)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for id, state := range acknowledged {
			if state == api.Running { // the next child recovers it
				acknowledged[id] = api.Queued
			}
		}
	}
}

func rank(state api.State) int {
	return map[api.State]int{api.Queued: 0, api.Running: 1, api.Succeeded: 2}[state]
}

// runAndKill runs a child until it has acknowledged n things, and SIGKILLs it
// in the middle of whatever it does then. What it still got out counts too.
func runAndKill(t *testing.T, path string, n int, acknowledged map[int64]api.State) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+path)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		var id int64
		var state api.State
		if _, err := fmt.Sscan(lines.Text(), &id, &state); err == nil {
			acknowledged[id] = state
		}
		if i == n {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
}
