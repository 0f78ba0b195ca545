package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"weft/daemon/api"
)

const (
	lostClients = 8
	lostSeeds   = 5 // jobs of one seed must end with equal models
)

// lostLoad is how many jobs all clients submit together, and how many kills
// there are; the race detector makes each several times as slow.
func lostLoad() (jobs, kills int) {
	if raceEnabled {
		return 80, 12
	}
	return 200, 30
}

// TestNothingLost kills daemon and worker at random moments while clients
// submit. Every acknowledged job succeeds exactly once, with the model it would
// have had in peace.
func TestNothingLost(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	jobCount, kills := lostLoad()
	s := serve(t, t.TempDir())
	var clients sync.WaitGroup
	ids := make([][]int64, lostClients)
	for c := range lostClients {
		clients.Go(func() { ids[c] = submitThrough(t, s, c, jobCount/lostClients) })
	}
	killAtRandom(t, s, kills, rand.New(rand.NewPCG(seed, 1)))
	clients.Wait()

	models := map[int64][]byte{}
	seen := map[int64]bool{}
	for c := range ids {
		for i, id := range ids[c] {
			if seen[id] {
				t.Errorf("two submissions were answered with id %d", id)
			}
			seen[id] = true
			model := s.succeeded(id)
			if first := models[int64(i%lostSeeds)]; first == nil {
				models[int64(i%lostSeeds)] = model
			} else if !bytes.Equal(model, first) {
				t.Errorf("job %d has another model than its twin", id)
			}
			requireOneEnd(t, s, id)
		}
	}
	jobs, err := s.client.Jobs(t.Context(), api.Filter{})
	if err != nil || len(jobs) != jobCount || len(seen) != jobCount {
		t.Errorf("the daemon has %d jobs, %d were acknowledged, error %v", len(jobs), len(seen), err)
	}
	s.stop()
	checkIntegrity(t, filepath.Join(s.dir, "weft.db"))
}

// submitThrough submits one job after the other, each until it is acknowledged.
func submitThrough(t *testing.T, s *served, c, count int) []int64 {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var ids []int64
	for i := range count {
		job := train(fmt.Sprintf(`{"name": "lost", "data": {"source": "iris"}, "model":
			[{"linear": 16}, "relu", {"linear": 3}], "seed": %d, "epochs": 40, "checkpoint": {"every": "20ms"}}`, i%lostSeeds))
		for {
			jobs, err := s.client.Submit(ctx, []api.Submission{job}, fmt.Sprintf("client-%d-%d", c, i))
			if err == nil {
				ids = append(ids, jobs[0].ID)
				break
			}
			if ctx.Err() != nil {
				t.Errorf("client %d could not submit: %v", c, err)
				return ids
			}
		}
	}
	return ids
}

// killAtRandom kills the daemon, which is started again, or the worker, which
// the daemon starts again.
func killAtRandom(t *testing.T, s *served, kills int, rng *rand.Rand) {
	for range kills {
		select {
		case <-time.After(time.Duration(rng.IntN(250)) * time.Millisecond):
		case <-t.Context().Done():
			return
		}
		worker := 0
		if rng.IntN(2) == 0 {
			worker = s.worker(t.Context())
		}
		if worker != 0 {
			_ = syscall.Kill(worker, syscall.SIGKILL) // it may have gone in between
			continue
		}
		s.kill()
		s.start()
	}
}

// requireOneEnd checks that a job's history has one end and nothing after it.
func requireOneEnd(t *testing.T, s *served, id int64) {
	t.Helper()
	job, err := s.client.Job(t.Context(), id)
	if err != nil {
		t.Errorf("get job %d: %v", id, err)
		return
	}
	ends := 0
	for _, e := range job.Events {
		if e.State.Final() {
			ends++
		}
	}
	if last := job.Events[len(job.Events)-1]; ends != 1 || !last.State.Final() {
		t.Errorf("job %d ended %d times: %+v", id, ends, job.Events)
	}
}

func checkIntegrity(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	defer db.Close()
	var answer string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&answer); err != nil || answer != "ok" {
		t.Errorf("integrity check of the store: %q, %v", answer, err)
	}
}
