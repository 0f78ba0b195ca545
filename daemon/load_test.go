package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weft/daemon/api"
)

// sweep is a request of n jobs that differ in their seed.
func sweep(n int, extra string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		spec := strings.Replace(irisSpec, `"epochs":3`, fmt.Sprintf(`"epochs":3,"seed":%d`, i), 1)
		fmt.Fprintf(&b, `{"kind":"train","spec":%s%s}`, spec, extra)
	}
	b.WriteByte(']')
	return b.String()
}

func TestThousandJobsInOneRequest(t *testing.T) {
	r := newRig(t, 1)
	body := sweep(1000, `,"hold":true`)
	began := time.Now()
	got := ok[api.Submitted](r, 201, "POST", "/v1/jobs", body)
	took := time.Since(began)
	t.Logf("1,000 jobs in one request: %v", took)
	if len(got.Jobs) != 1000 || got.Jobs[999].ID != got.Jobs[0].ID+999 {
		t.Errorf("%d jobs, the last is %d", len(got.Jobs), got.Jobs[len(got.Jobs)-1].ID)
	}
	if r.loader.loads != 1 {
		t.Errorf("one data set is loaded %d times", r.loader.loads)
	}
}

func TestTenThousandQueuedJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of work")
	}
	r := newRig(t, 1)
	for range 10 {
		ok[api.Submitted](r, 201, "POST", "/v1/jobs", sweep(1000, ""))
	}
	began := time.Now()
	list := ok[api.JobList](r, 200, "GET", "/v1/jobs?spec=false&limit=100000", "")
	t.Logf("list of %d jobs: %v with its decoding", len(list.Jobs), time.Since(began))
	if len(list.Jobs) != 10_000 || list.Next != 0 {
		t.Fatalf("%d jobs, next %d", len(list.Jobs), list.Next)
	}
	for _, j := range list.Jobs[1:] {
		if j.State == api.Queued && j.Reason == "" {
			t.Fatalf("job %d waits for no reason", j.ID)
		}
	}
	page := ok[api.JobList](r, 200, "GET", "/v1/jobs?spec=false&limit=7&after=100&state=queued", "")
	if len(page.Jobs) != 7 || page.Jobs[0].ID != 101 || page.Next != 107 {
		t.Errorf("page is %d jobs from %d, next %d", len(page.Jobs), page.Jobs[0].ID, page.Next)
	}
}

func BenchmarkList10000(b *testing.B) {
	r := newRig(b, 1)
	for range 10 {
		ok[api.Submitted](r, 201, "POST", "/v1/jobs", sweep(1000, ""))
	}
	b.ReportAllocs()
	for b.Loop() {
		status, body := r.do("GET", "/v1/jobs?spec=false&limit=100000", "")
		if status != 200 {
			b.Fatalf("%d %s", status, body)
		}
		b.SetBytes(int64(len(body)))
	}
}

func BenchmarkSubmit1000(b *testing.B) {
	r := newRig(b, 1)
	body := sweep(1000, `,"hold":true`)
	b.ReportAllocs()
	for b.Loop() {
		if status, answer := r.do("POST", "/v1/jobs", body); status != 201 {
			b.Fatalf("%d %s", status, answer)
		}
	}
}

// BenchmarkSubmitToStart is the time from sending a job to its device being
// told of it.
func BenchmarkSubmitToStart(b *testing.B) {
	r := newRig(b, 1, func(r *rig) { r.dev.play = trains(1) })
	b.ReportAllocs()
	for b.Loop() {
		id := r.submit("")
		if got := r.arrived(); got != id {
			b.Fatalf("job %d starts", got)
		}
		b.StopTimer()
		r.until(id, "succeeded")
		b.StartTimer()
	}
}
