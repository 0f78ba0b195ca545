package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"weft/daemon/api"
	"weft/daemon/store"
)

// inTable reports whether the owner's table holds all that f asks for: jobs
// that have not ended, without their specifications.
func inTable(f *store.Filter) bool {
	return !f.Spec && len(f.States) > 0 && !slices.ContainsFunc(f.States, api.State.Final)
}

// list is store.List for a filter that inTable allows. What people look at most
// is answered from memory: ten thousand queued jobs take the store 50 ms.
func (o *owner) list(ctx context.Context, f *store.Filter) (jobs []api.Job, next int64, err error) {
	var page []api.Job
	_, err = o.ask(ctx, func(answer reply) {
		page = o.page(f)
		answer(store.Record{}, nil)
	})
	if err != nil {
		return nil, 0, err // the owner may still be about to write page
	}
	if len(page) > f.Limit {
		return page[:f.Limit], page[f.Limit-1].ID, nil
	}
	return page, 0, nil
}

// page returns the jobs that match, by id, and one more than asked for if there
// are more.
func (o *owner) page(f *store.Filter) []api.Job {
	var found []*api.Job
	for _, j := range o.jobs {
		if matches(f, &j.rec.Job) {
			found = append(found, &j.rec.Job)
		}
	}
	slices.SortFunc(found, func(a, b *api.Job) int { return cmp.Compare(a.ID, b.ID) })
	found = found[:min(len(found), f.Limit+1)]
	jobs := make([]api.Job, len(found))
	for i, j := range found {
		jobs[i] = *j
		jobs[i].Metrics = maps.Clone(j.Metrics) // the reader adds the latest
	}
	return jobs
}

// matches is the store's filter on a job at hand.
func matches(f *store.Filter, j *api.Job) bool {
	if j.ID <= f.After || !slices.Contains(f.States, j.State) ||
		f.Kinds != nil && !slices.Contains(f.Kinds, j.Kind) || f.Owner != "" && f.Owner != j.Owner || f.Name != "" && f.Name != j.Name ||
		f.IDs != nil && !slices.Contains(f.IDs, j.ID) {
		return false
	}
	for name, value := range f.Labels {
		if have, ok := j.Labels[name]; !ok || have != value {
			return false
		}
	}
	return true
}
