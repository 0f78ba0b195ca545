package sched

import (
	"cmp"
	"fmt"
	"slices"

	"weft/daemon/api"
)

// filter puts the jobs that may run now into p.queue, and says of the others
// why they may not.
func (p *planner) filter() {
	for i := range p.snap.Queue {
		job := &p.snap.Queue[i]
		after, others, fault := p.dependencies(job)
		switch {
		case fault != nil:
			p.refuse(job.ID, *fault)
		case job.Held:
			p.plan.Reasons[job.ID] = Reason{kind: held}
		case after != 0:
			p.plan.Reasons[job.ID] = Reason{kind: afterJob, a: after, b: int64(others)}
		case job.At.After(p.snap.Now):
			p.plan.Reasons[job.ID] = Reason{kind: notBefore, a: job.At.UnixNano()}
			p.wakeAt(job.At)
		default:
			p.queue = append(p.queue, entry{job: job, class: p.classOf(job.WantDevice), owner: p.owner(job.Owner)})
		}
	}
	slices.SortFunc(p.plan.Refuse, func(a, b Refuse) int { return cmp.Compare(a.Job, b.Job) })
	for i := range p.classes {
		for j := range p.classes {
			if i == j || meet(p.classes[i].devices, p.classes[j].devices) {
				p.classes[i].meets = append(p.classes[i].meets, j)
			}
		}
	}
}

// dependencies returns the first job that this one waits for, how many others
// there are, and why it would wait in vain.
func (p *planner) dependencies(job *Job) (first int64, others int, fault *api.Error) {
	for _, id := range job.After {
		state, ok := p.snap.States[id]
		switch {
		case !ok:
			return 0, 0, &api.Error{Code: api.CodeDependency,
				Message: fmt.Sprintf("job %d, which this waits for, no longer exists", id),
				Hint:    "submit it again without --after"}
		case state == api.Succeeded:
		case state.Final():
			return 0, 0, &api.Error{Code: api.CodeDependency, Message: dependencyMessage(id, state),
				Hint: fmt.Sprintf("weft retry %d, and this job when that has succeeded", id)}
		case first == 0:
			first = id
		default:
			others++
		}
	}
	return first, others, nil
}

func dependencyMessage(id int64, state api.State) string {
	if state == api.Cancelled {
		return fmt.Sprintf("job %d, which this waits for, was cancelled", id)
	}
	return fmt.Sprintf("job %d, which this waits for, %s", id, state)
}

func meet(a, b []int) bool {
	return slices.ContainsFunc(a, func(i int) bool { return slices.Contains(b, i) })
}
