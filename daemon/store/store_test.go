package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"weft/daemon/api"
)

var (
	ctx = context.Background()
	t0  = time.Date(2026, 1, 2, 15, 4, 5, 678901000, time.UTC)
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		crashChild(path)
		return
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "weft.db"))
}

func openAt(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(ctx, path)
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
		Owner: "ada", Node: "here", MemoryBytes: 1 << 20, GPUBytes: 3 << 20, DataBytes: 2 << 20, DataHash: "d1",
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

func submit(t testing.TB, s *Store, jobs ...NewJob) []Record {
	t.Helper()
	recs, replayed, err := s.Submit(ctx, "", "", jobs, t0)
	if err != nil || replayed || len(recs) != len(jobs) {
		t.Fatal(recs, replayed, err)
	}
	return recs
}

// apply makes changes that must not be refused.
func apply(t testing.TB, s *Store, changes ...Change) ([]Record, []api.Event) {
	t.Helper()
	recs, events, errs, err := s.Apply(ctx, changes)
	if err = errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
	return recs, events
}

func get(t testing.TB, s *Store, id int64) Record {
	t.Helper()
	rec, err := s.Job(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func isCode(err error, code api.Code, message string) error {
	failure, ok := errors.AsType[*api.Error](err)
	if !ok || failure.Code != code || message != "" && failure.Message != message {
		return fmt.Errorf("got %v, want code %s and %q", err, code, message)
	}
	return nil
}

func TestSubmitAndRead(t *testing.T) {
	s := open(t)
	first := submit(t, s, newJob("first"))[0]
	at := t0.Add(time.Hour)
	job := NewJob{
		Submission: api.Submission{Kind: api.KindTrain, Name: "a \"quoted\" \x1f naïve\nname", Priority: -3,
			Labels: map[string]string{`k"1`: `v\1`, "ü": ""}, After: []int64{first.ID}, At: &at, Hold: true, Retries: 2,
			Timeout: 0.1, Spec: []byte(`{"a": 1}`)},
		Owner: "o\\w", Node: "n", MemoryBytes: math.MaxInt64, GPUBytes: 8, DataBytes: 7, DataHash: "h", Device: "gpu:0",
		Totals: api.Progress{Epoch: 99, Epochs: 3, Step: 99, Steps: 30},
	}
	rec := submit(t, s, job)[0]
	want := Record{
		Job: api.Job{ID: first.ID + 1, Node: "n", Name: job.Name, Kind: api.KindTrain, State: api.Queued, Owner: "o\\w",
			Priority: -3, Labels: job.Labels, After: job.After, At: &at, Held: true, Retries: 2, Timeout: 0.1,
			SubmittedAt: t0, Progress: api.Progress{Epochs: 3, Steps: 30}, Metrics: map[string]float64{}},
		MemoryBytes: math.MaxInt64, GPUBytes: 8, DataBytes: 7, DataHash: "h", WantDevice: "gpu:0", Queued: t0,
	}
	if diff := cmp.Diff(want, rec); diff != "" {
		t.Error("submitted (-want +got)", diff)
	}
	want.Spec = job.Spec
	if diff := cmp.Diff(want, get(t, s, rec.ID)); diff != "" {
		t.Error("read (-want +got)", diff)
	}
	active, err := s.Active(ctx)
	want.Spec = nil
	if diff := cmp.Diff([]Record{first, want}, active); diff != "" || err != nil {
		t.Error("active (-want +got)", diff, err)
	}
	if _, err := s.Job(ctx, 99); isCode(err, api.CodeNotFound, "no job 99") != nil {
		t.Error(err)
	}
	job.After = []int64{98}
	if _, _, err := s.Submit(ctx, "", "", []NewJob{newJob("x"), job}, t0); isCode(err, api.CodeNotFound,
		"no job 98 to wait for") != nil {
		t.Error(err)
	}
	if jobs, _, err := s.List(ctx, Filter{}); len(jobs) != 2 || err != nil {
		t.Error("a refused submission left jobs behind", len(jobs), err)
	}
}

func TestIdempotencyKeys(t *testing.T) {
	s := open(t)
	try := func(owner, key, fingerprint string, now time.Time) ([]int64, bool, error) {
		a, b := newJob("a"), newJob("b")
		a.Owner, b.Owner = owner, owner
		recs, replayed, err := s.Submit(ctx, key, fingerprint, []NewJob{a, b}, now)
		var ids []int64
		for _, rec := range recs {
			ids = append(ids, rec.ID)
		}
		return ids, replayed, err
	}
	for _, step := range []struct {
		owner, key, fingerprint string
		after                   time.Duration
		ids                     []int64
		replayed                bool
	}{
		{"ada", "k", "f", 0, []int64{1, 2}, false},
		{"ada", "k", "f", 23 * time.Hour, []int64{1, 2}, true},
		{"bob", "k", "f", 2 * time.Hour, []int64{3, 4}, false},
		{"ada", "k", "f", 24 * time.Hour, []int64{5, 6}, false},
		{"ada", "", "f", 0, []int64{7, 8}, false},
		{"ada", "", "f", 0, []int64{9, 10}, false},
	} {
		ids, replayed, err := try(step.owner, step.key, step.fingerprint, t0.Add(step.after))
		if !cmp.Equal(ids, step.ids) || replayed != step.replayed || err != nil {
			t.Error(step, "got", ids, replayed, err)
		}
	}
	_, _, err := try("bob", "k", "g", t0.Add(time.Minute))
	if err := isCode(err, api.CodeInvalid, `idempotency key "k" was used for another submission`); err != nil {
		t.Error(err)
	}
	apply(t, s, Change{ID: 3, Do: api.Cancel, At: t0})
	if err := s.Delete(ctx, 3, t0); err != nil {
		t.Fatal(err)
	}
	if ids, replayed, err := try("bob", "k", "f", t0); !cmp.Equal(ids, []int64{4}) || !replayed || err != nil {
		t.Error("after removal", ids, replayed, err)
	}
}

func TestListPagesAndFilters(t *testing.T) {
	s := open(t)
	jobs := newJobs(10)
	for i := range jobs {
		jobs[i].Name = fmt.Sprint("job", i%2)
		jobs[i].Kind = []api.Kind{api.KindTrain, api.KindTrain, api.KindJPEG, api.KindFetch}[i%4]
		jobs[i].Owner = fmt.Sprint("owner", i%3)
		jobs[i].Labels = map[string]string{"i": fmt.Sprint(i), `odd."k`: fmt.Sprint(i % 2)}
	}
	submit(t, s, jobs...)
	apply(t, s, Change{ID: 4, Do: api.Cancel, At: t0}, Change{ID: 5, Do: api.Start, At: t0, Device: "cpu"})
	for name, c := range map[string]struct {
		f    Filter
		want []int64
		next int64
	}{
		"first page":  {Filter{Limit: 4}, []int64{1, 2, 3, 4}, 4},
		"second page": {Filter{Limit: 4, After: 4}, []int64{5, 6, 7, 8}, 8},
		"last page":   {Filter{Limit: 4, After: 8}, []int64{9, 10}, 0},
		"exact page":  {Filter{Limit: 2, After: 8}, []int64{9, 10}, 0},
		"beyond":      {Filter{After: 10}, nil, 0},
		"state":       {Filter{States: []api.State{api.Running, api.Cancelled}}, []int64{4, 5}, 0},
		"no state":    {Filter{States: []api.State{}}, nil, 0},
		"owner":       {Filter{Owner: "owner1"}, []int64{2, 5, 8}, 0},
		"name":        {Filter{Name: "job1", Limit: 2}, []int64{2, 4}, 4},
		"kind":        {Filter{Kinds: []api.Kind{api.KindJPEG}}, []int64{3, 7}, 0},
		"kinds":       {Filter{Kinds: []api.Kind{api.KindJPEG, api.KindFetch, "none"}}, []int64{3, 4, 7, 8}, 0},
		"no kind":     {Filter{Kinds: []api.Kind{}}, nil, 0},
		"label":       {Filter{Labels: map[string]string{`odd."k`: "1", "i": "3"}}, []int64{4}, 0},
		"label value": {Filter{Labels: map[string]string{"i": "11"}}, nil, 0},
		"ids":         {Filter{IDs: []int64{3, 99, 1}}, []int64{1, 3}, 0},
		"no ids":      {Filter{IDs: []int64{}}, nil, 0},
		"together":    {Filter{IDs: []int64{1, 2, 5}, States: []api.State{api.Queued}, Owner: "owner1"}, []int64{2}, 0},
	} {
		for _, c.f.Spec = range []bool{false, true} {
			list, next, err := s.List(ctx, c.f)
			var ids []int64
			for _, job := range list {
				if ids = append(ids, job.ID); (job.Spec != nil) != c.f.Spec {
					t.Error(name, "specification", job.Spec)
				}
			}
			if !cmp.Equal(ids, c.want) || next != c.next || err != nil {
				t.Error(name, "got", ids, next, err)
			}
		}
	}
	states, err := s.States(ctx, []int64{4, 5, 6, 77})
	want := map[int64]api.State{4: api.Cancelled, 5: api.Running, 6: api.Queued}
	if diff := cmp.Diff(want, states); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestListSeesWhatJobSees(t *testing.T) {
	s := open(t)
	submit(t, s, newJobs(3)...)
	apply(t, s, Change{ID: 1, Do: api.Start, At: t0, Device: "cpu", Metrics: map[string]float64{"a": 1e-300,
		`q"\`: -0.5}},
		Change{ID: 2, Do: api.Fail, At: t0, Error: &api.Error{Code: api.CodeNaN, Message: "loss\nis NaN",
			Hint: "lower lr"}})
	if _, err := s.Report(ctx, []Report{{ID: 1, DeviceSeconds: 0.1 + 0.2,
		At: t0.Add(7 * time.Microsecond)}}); err != nil {
		t.Fatal(err)
	}
	list, _, err := s.List(ctx, Filter{Spec: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range list {
		if diff := cmp.Diff(get(t, s, job.ID).Job, job); diff != "" {
			t.Error(diff)
		}
	}
	if got := list[0].Usage; got.DeviceSeconds != 0.1+0.2 || got.WallSeconds != 7e-6 {
		t.Error("numbers changed on their way", got)
	}
	if diff := cmp.Diff(&api.Error{Code: api.CodeNaN, Message: "loss\nis NaN", Hint: "lower lr"},
		list[1].Error); diff != "" {
		t.Error(diff)
	}
}

func TestDelete(t *testing.T) {
	s := open(t)
	submit(t, s, newJob("a"))
	waiting := newJob("b")
	waiting.After = []int64{1}
	submit(t, s, waiting)
	if err := isCode(s.Delete(ctx, 1, t0), api.CodeWrongState, "cannot remove a job that is queued"); err != nil {
		t.Error(err)
	}
	apply(t, s, Change{ID: 1, Do: api.Start, At: t0}, Change{ID: 1, Do: api.Succeed, At: t0, DeviceSeconds: 2})
	if err := isCode(s.Delete(ctx, 1, t0), api.CodeWrongState, "job 2 waits for job 1"); err != nil {
		t.Error(err)
	}
	apply(t, s, Change{ID: 2, Do: api.Cancel, At: t0})
	for _, id := range []int64{1, 2} {
		if err := s.Delete(ctx, id, t0); err != nil {
			t.Error(err)
		}
	}
	if err := isCode(s.Delete(ctx, 1, t0), api.CodeNotFound, "no job 1"); err != nil {
		t.Error(err)
	}
	for _, table := range []string{"jobs", "specs", "dependencies", "epochs", "events"} {
		var n int
		if err := s.read.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != 0 {
			t.Error(table, "still has", n, err)
		}
	}
	if id := submit(t, s, newJob("c"))[0].ID; id != 3 {
		t.Error("id given out again:", id)
	}
	if owners, err := s.OwnerSeconds(ctx); owners["ada"] != 2 || err != nil {
		t.Error("removal gave device time back", owners, err)
	}
}

func TestOwners(t *testing.T) {
	s := open(t)
	jobs := newJobs(2)
	jobs[1].Owner = "bob"
	submit(t, s, jobs...)
	apply(t, s, Change{ID: 1, Do: api.Start, At: t0}, Change{ID: 2, Do: api.Start, At: t0})
	day := t0.Add(HalfLife)
	for _, reports := range [][]Report{
		{{ID: 1, DeviceSeconds: 8, At: t0}, {ID: 2, DeviceSeconds: math.NaN(), At: t0}},
		{{ID: 1, DeviceSeconds: -1, At: t0}, {ID: 2, DeviceSeconds: 3, At: day}},
	} {
		if _, err := s.Report(ctx, reports); err != nil {
			t.Fatal(err)
		}
	}
	apply(t, s, Change{ID: 1, Do: api.Succeed, At: day, DeviceSeconds: 1})
	totals, err := s.OwnerSeconds(ctx)
	if diff := cmp.Diff(map[string]float64{"ada": 9, "bob": 3}, totals); diff != "" || err != nil {
		t.Error(diff, err)
	}
	shares, err := s.OwnerShares(ctx, day.Add(HalfLife))
	want := map[string]float64{"ada": (8/2.0 + 1) / 2, "bob": 1.5}
	if diff := cmp.Diff(want, shares, cmpopts.EquateApprox(1e-12, 0)); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
