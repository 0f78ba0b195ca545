package daemon

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

// The table answers what the store would have answered, page by page.
func TestListFromTableIsTheStores(t *testing.T) {
	r := newRig(t, 1)
	for i := range 12 {
		r.submit(fmt.Sprintf(`,"labels":{"odd":"%d"},"hold":%t,"name":"j%d"`, i%2, i%3 == 0, i))
	}
	r.arrived()
	for deadline := time.Now().Add(limit); ; { // the last of them to be planned gets its reason
		all := ok[api.JobList](r, 200, "GET", "/v1/jobs?state=queued&spec=false", "").Jobs
		if !slices.ContainsFunc(all, func(j api.Job) bool { return j.Reason == unplanned }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("not all jobs are planned")
		}
	}
	lists := func(query string) (table, store []api.Job) {
		for _, l := range []struct {
			states string
			jobs   *[]api.Job
		}{
			{"state=queued&state=running&state=paused", &table},
			{"state=queued&state=running&state=paused&state=failed", &store}, // none has ended
		} {
			for after := int64(0); ; {
				page := ok[api.JobList](r, 200, "GET", fmt.Sprintf("/v1/jobs?spec=false&%s&%s&after=%d", l.states, query, after), "")
				*l.jobs = append(*l.jobs, page.Jobs...)
				if after = page.Next; after == 0 {
					break
				}
			}
		}
		return table, store
	}
	for query, want := range map[string]int{"limit=5": 12, "limit=12": 12, "label=odd=1": 6, "label=even=1": 0,
		"name=j3": 1, "id=4&id=5&limit=1": 2, "kind=none": 0, "kind=none&kind=train": 12, "kind=sha256&kind=jpeg": 0, "limit=100&owner=nobody-of-that-name": 0} {
		table, store := lists(query)
		if len(table) != want {
			t.Errorf("%s: %d jobs, want %d", query, len(table), want)
		}
		if diff := cmp.Diff(plain(t, store), plain(t, table)); diff != "" {
			t.Errorf("%s: store (-) and table (+):\n%s", query, diff)
		}
	}
}

// plain is jobs as JSON without what the clock changes.
func plain(t *testing.T, jobs []api.Job) string {
	for i := range jobs {
		jobs[i].Usage.WallSeconds = 0
	}
	b, err := json.MarshalIndent(jobs, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
