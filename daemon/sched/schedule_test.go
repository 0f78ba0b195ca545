package sched

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

const gib = 1 << 30

func cpu(running ...Running) Device {
	return Device{ID: "cpu", Kind: "cpu", Ready: true, MemoryBytes: 4 * gib, Slots: 4, Running: running}
}

// roomy has memory for all, but few slots.
func roomy(running ...Running) Device {
	return with(cpu(running...), func(d *Device) { d.MemoryBytes = 64 * gib })
}

func gpu(id string, running ...Running) Device {
	return Device{ID: id, Kind: "gpu", Ready: true, MemoryBytes: 8 * gib, Slots: 4, Running: running}
}

func running(id int64, priority int, memory int64) Running {
	return Running{Job: id, Owner: "ada", Priority: priority, MemoryBytes: memory,
		Since: noon.Add(time.Duration(id) * time.Second)}
}

func queued(id int64, change ...func(*Job)) Job {
	j := Job{ID: id, Owner: "ada", MemoryBytes: gib, GPUBytes: gib}
	for _, f := range change {
		f(&j)
	}
	return j
}

func priority(p int) func(*Job)       { return func(j *Job) { j.Priority = p } }
func memory(bytes int64) func(*Job)   { return func(j *Job) { j.MemoryBytes, j.GPUBytes = bytes, bytes } }
func onGPU(bytes int64) func(*Job)    { return func(j *Job) { j.GPUBytes = bytes } }
func ward(id int64) func(*Job)        { return func(j *Job) { j.Alone, j.Ward = true, id } }
func want(device string) func(*Job)   { return func(j *Job) { j.WantDevice = device } }
func of(name string) func(*Job)       { return func(j *Job) { j.Owner = name } }
func blocked(at time.Time) func(*Job) { return func(j *Job) { j.Blocked = at } }
func alone(j *Job)                    { j.Alone = true }

func after(ids ...int64) func(*Job) { return func(j *Job) { j.After = ids } }

func stopping(r Running) Running { r.Stopping = true; return r }

func with(d Device, change func(*Device)) Device { change(&d); return d }

// late is long enough ago for a device to be kept.
var late = noon.Add(-Patience)

func TestSchedule(t *testing.T) {
	on := func(device string, ids ...int64) (starts []Start) {
		for _, id := range ids {
			starts = append(starts, Start{id, device})
		}
		return starts
	}
	for name, c := range map[string]struct {
		snap    Snapshot
		start   []Start
		preempt []Preempt
		reasons map[int64]string
		blocked map[int64]time.Time
		wake    time.Time
	}{
		"in order of submission": {
			snap: Snapshot{Devices: []Device{roomy(running(1, 0, gib), running(2, 0, gib))},
				Queue: []Job{queued(9), queued(7), queued(8)}},
			start:   on("cpu", 7, 8),
			reasons: map[int64]string{9: "4 slots of cpu in use"},
		},
		"what may not run": {
			snap: Snapshot{Devices: []Device{cpu()}, States: map[int64]api.State{1: api.Running, 2: api.Succeeded,
				3: api.Queued},
				Queue: []Job{queued(10, func(j *Job) { j.Held = true }), queued(11, after(2, 1)), queued(12, after(3, 1, 2)),
					queued(13, func(j *Job) { j.At = noon.Add(time.Hour) }), queued(14, func(j *Job) { j.At = noon }),
					queued(15, after(2))}},
			start: on("cpu", 14, 15),
			reasons: map[int64]string{10: "held", 11: "after job 1", 12: "after job 3 and 1 other",
				13: "not before 2026-01-02T13:00:00Z"},
			wake: noon.Add(time.Hour),
		},
		"draining": {
			snap: Snapshot{Draining: true, Devices: []Device{cpu()}, Queue: []Job{queued(1), queued(2,
				func(j *Job) { j.Held = true })}},
			reasons: map[int64]string{1: "daemon is draining", 2: "held"},
		},
		"priority first": {
			snap: Snapshot{Devices: []Device{roomy(running(1, 9, gib), running(2, 9, gib))},
				Queue: []Job{queued(7), queued(8, priority(1)), queued(9, priority(2)), queued(10), queued(11, priority(-1))}},
			start: on("cpu", 9, 8),
			reasons: map[int64]string{7: "4 slots of cpu in use", 10: "behind 1 job",
				11: "behind 2 jobs of higher priority"},
		},
		"owners alternate in a burst": {
			snap: Snapshot{Devices: []Device{roomy()}, Queue: []Job{queued(1), queued(2), queued(3), queued(4,
				of("bob")), queued(5, of("bob"))}},
			start:   []Start{{1, "cpu"}, {4, "cpu"}, {2, "cpu"}, {5, "cpu"}},
			reasons: map[int64]string{3: "4 slots of cpu in use"},
		},
		"running jobs count before their use is known": {
			snap: Snapshot{Devices: []Device{roomy(running(1, 0, gib), running(2, 0, gib))},
				Queue: []Job{queued(3), queued(4), queued(5, of("bob")), queued(6, of("bob"))}},
			start:   on("cpu", 5, 6),
			reasons: map[int64]string{3: "4 slots of cpu in use", 4: "behind 1 job"},
		},
		"the least share first": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, 0), running(2, 0, 0), running(3, 0, 0))},
				Owners: map[string]Owner{"ada": {Seconds: 90}, "bob": {Seconds: 200, Weight: 4}},
				Queue:  []Job{queued(5), queued(6, of("bob"))}},
			start:   on("cpu", 6),
			reasons: map[int64]string{5: "4 slots of cpu in use"},
		},
		"small ones pass, and the first passed is noted": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, 2*gib))},
				Queue: []Job{queued(2, memory(3*gib)), queued(3), queued(4, memory(3*gib)), queued(5, memory(gib/2))}},
			start:   on("cpu", 3, 5),
			reasons: map[int64]string{2: "needs 3.0 GiB, 2.0 GiB free on cpu", 4: "behind 1 job"},
			blocked: map[int64]time.Time{2: noon},
			wake:    noon.Add(Patience),
		},
		"kept free after its patience": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, 2*gib))},
				Queue: []Job{queued(2, memory(3*gib), blocked(late)), queued(3), queued(4, priority(1)), queued(5,
					priority(-1))}},
			start: on("cpu", 4),
			reasons: map[int64]string{2: "needs 3.0 GiB, 1.0 GiB free on cpu", 3: "cpu is kept free for job 2",
				5: "cpu is kept free for job 2"},
			blocked: map[int64]time.Time{2: late},
		},
		"not yet kept free": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, 2*gib))},
				Queue: []Job{queued(2, memory(3*gib), blocked(late.Add(1))), queued(3)}},
			start:   on("cpu", 3),
			reasons: map[int64]string{2: "needs 3.0 GiB, 2.0 GiB free on cpu"},
			blocked: map[int64]time.Time{2: late.Add(1)},
			wake:    noon.Add(1),
		},
		"what has waited too long goes first": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, gib))},
				Queue: []Job{queued(2), queued(3, memory(3*gib), blocked(late))}},
			start:   on("cpu", 3),
			reasons: map[int64]string{2: "needs 1.0 GiB, 0 B free on cpu"},
			blocked: map[int64]time.Time{2: noon},
			wake:    noon.Add(Patience),
		},
		"the device with the least to free is kept": {
			snap: Snapshot{Devices: []Device{gpu("gpu1", running(1, 0, 2*gib)), gpu("gpu0", running(2, 0, 5*gib))},
				Queue: []Job{queued(4, memory(7*gib), blocked(late)), queued(5)}},
			start:   on("gpu0", 5),
			reasons: map[int64]string{4: "needs 7.0 GiB, 6.0 GiB free on gpu1"},
			blocked: map[int64]time.Time{4: late},
		},
		"data counts once": {
			snap: Snapshot{Devices: []Device{cpu(Running{Job: 1, Owner: "ada", MemoryBytes: gib, DataBytes: 2 * gib,
				DataHash: "d"})},
				Queue: []Job{
					queued(2, func(j *Job) { j.DataBytes, j.DataHash, j.MemoryBytes = 2*gib, "other", 0 }),
					queued(3, func(j *Job) { j.DataBytes = 1; j.MemoryBytes = gib }),
					queued(4, func(j *Job) { j.DataBytes, j.DataHash, j.MemoryBytes = 2*gib, "d", gib })}},
			start:   on("cpu", 4),
			reasons: map[int64]string{2: "needs 2.0 GiB, 1.0 GiB free on cpu", 3: "behind 1 job"},
			blocked: map[int64]time.Time{2: noon},
			wake:    noon.Add(Patience),
		},
		"choice of device": {
			snap: Snapshot{
				Devices: []Device{cpu(), gpu("gpu0", running(1, 0, 0), running(2, 0, 0)), gpu("gpu1", running(3, 0, 0))},
				Queue: []Job{queued(4), queued(5, want("gpu")), queued(6, want("gpu:0")), queued(7, want("cpu")),
					queued(8, want("gpu1"))},
			},
			start: []Start{{4, "gpu1"}, {5, "gpu0"}, {6, "gpu0"}, {7, "cpu"}, {8, "gpu1"}},
		},
		"devices that are not there": {
			snap: Snapshot{Devices: []Device{with(cpu(), func(d *Device) { d.Ready = false })},
				Queue: []Job{queued(1), queued(2, want("cpu")), queued(3, want("gpu:1")), queued(4, memory(5*gib))}},
			reasons: map[int64]string{1: "no worker is ready", 2: "no worker for cpu is ready", 3: "there is no gpu1",
				4: "needs 5.0 GiB, cpu has 4.0 GiB in all"},
		},
		"too large for ever keeps nothing free": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, gib))},
				Queue: []Job{queued(2, memory(5*gib), blocked(late)), queued(3)}},
			start:   on("cpu", 3),
			reasons: map[int64]string{2: "needs 5.0 GiB, cpu has 4.0 GiB in all"},
			blocked: map[int64]time.Time{2: late},
		},
		"preempts the lowest, then the youngest": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 1, gib), running(2, 0, gib), running(3, 0, gib),
				running(4, 2, gib))},
				Queue: []Job{queued(5, priority(2))}},
			preempt: []Preempt{{3, "cpu", 5}},
			reasons: map[int64]string{5: "a job is leaving cpu for it"},
		},
		"preempts no more than it needs": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 1, 2*gib), running(2, 0, gib/2), running(3, 0, gib/2),
				running(4, 9, gib))},
				Queue: []Job{queued(5, priority(2), memory(2*gib))}},
			preempt: []Preempt{{1, "cpu", 5}},
			reasons: map[int64]string{5: "a job is leaving cpu for it"},
		},
		"preempts nobody in vain": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, gib), running(2, 5, 3*gib))},
				Queue: []Job{queued(5, priority(2), memory(2*gib))}},
			reasons: map[int64]string{5: "needs 2.0 GiB, 0 B free on cpu"},
			blocked: map[int64]time.Time{5: noon},
			wake:    noon.Add(Patience),
		},
		"never preempts its equals": {
			snap:    Snapshot{Devices: []Device{cpu(running(1, 2, 4*gib))}, Queue: []Job{queued(5, priority(2))}},
			reasons: map[int64]string{5: "needs 1.0 GiB, 0 B free on cpu"},
			blocked: map[int64]time.Time{5: noon},
			wake:    noon.Add(Patience),
		},
		"each preempts for itself": {
			snap: Snapshot{Devices: []Device{roomy(running(1, 0, gib), running(2, 0, gib), running(3, 0, gib),
				running(4, 0, gib))},
				Queue: []Job{queued(5, priority(2)), queued(6, priority(1)), queued(7)}},
			preempt: []Preempt{{4, "cpu", 5}, {3, "cpu", 6}},
			reasons: map[int64]string{5: "a job is leaving cpu for it", 6: "a job is leaving cpu for it",
				7: "behind 2 jobs of higher priority"},
		},
		"what stopping jobs leave is promised": {
			snap: Snapshot{Devices: []Device{cpu(stopping(running(1, 0, 2*gib)), running(2, 0, gib))},
				Queue: []Job{queued(5, priority(2), memory(3*gib)), queued(6), queued(7, priority(3), memory(gib/2),
					want("gpu"))}},
			reasons: map[int64]string{5: "a job is leaving cpu for it", 6: "behind 1 job of higher priority",
				7: "there is no gpu"},
			blocked: map[int64]time.Time{6: noon},
			wake:    noon.Add(Patience),
		},
		"alone": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, gib)), gpu("gpu0")},
				Queue: []Job{queued(2, alone, want("cpu")), queued(3, alone, want("gpu")), queued(4, want("gpu")), queued(5)}},
			start:   []Start{{3, "gpu0"}, {5, "cpu"}},
			reasons: map[int64]string{2: "waits to have cpu for itself", 4: "another job needs gpu0 for itself"},
			blocked: map[int64]time.Time{2: noon, 4: noon},
			wake:    noon.Add(Patience),
		},
		"each kind of device by its own measure": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, 2*gib)), gpu("gpu0", running(2, 0, 2*gib))},
				Queue: []Job{queued(3, memory(3*gib), onGPU(gib)), queued(4, onGPU(9*gib)), queued(5, onGPU(0)),
					queued(6, memory(gib), onGPU(9*gib), want("gpu")), queued(7, onGPU(6*gib), func(j *Job) { j.MemoryBytes = 5 * gib }),
					queued(8, onGPU(0), want("gpu"))}},
			start: []Start{{3, "gpu0"}, {4, "cpu"}, {5, "cpu"}},
			reasons: map[int64]string{6: "needs 9.0 GiB, gpu0 has 8.0 GiB in all", 7: "needs 6.0 GiB, 5.0 GiB free on gpu0",
				8: "there is no gpu"},
			blocked: map[int64]time.Time{7: noon},
			wake:    noon.Add(Patience),
		},
		"another process has the memory": {
			snap: Snapshot{Devices: []Device{with(gpu("gpu0", running(1, 0, gib)), func(d *Device) { d.TakenBytes = 6 * gib })},
				Queue: []Job{queued(2, memory(2*gib)), queued(3), queued(4, memory(8*gib))}},
			start: on("gpu0", 3),
			reasons: map[int64]string{2: "waits for memory on gpu0: another process holds 6.0 GiB",
				4: "behind 1 job"},
			blocked: map[int64]time.Time{2: noon},
			wake:    noon.Add(Patience),
		},
		"a ward keeps itself company": {
			snap: Snapshot{Devices: []Device{cpu(Running{Job: 1, Owner: "ada", Alone: true, Ward: 7}), gpu("gpu0")},
				Queue: []Job{queued(2, ward(8), want("cpu")), queued(3, ward(7), want("cpu")), queued(4, want("cpu")),
					queued(5, ward(9), want("gpu")), queued(6, ward(9), want("gpu")), queued(7, ward(0), want("gpu"))}},
			start: []Start{{3, "cpu"}, {5, "gpu0"}, {6, "gpu0"}},
			reasons: map[int64]string{2: "waits to have cpu for itself", 4: "behind 1 job",
				7: "waits to have gpu0 for itself"},
			blocked: map[int64]time.Time{2: noon, 7: noon},
			wake:    noon.Add(Patience),
		},
		"who must be alone does not wait for ever": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 0, gib), running(2, 0, gib))},
				Queue: []Job{queued(3, ward(7), blocked(late)), queued(4, ward(7)), queued(5)}},
			preempt: []Preempt{{1, "cpu", 3}, {2, "cpu", 3}},
			reasons: map[int64]string{3: "a job is leaving cpu for it", 4: "behind 1 job",
				5: "cpu is kept free for job 3"},
			blocked: map[int64]time.Time{3: late, 5: noon},
			wake:    noon.Add(Patience),
		},
		"who must be alone waits for its betters": {
			snap: Snapshot{Devices: []Device{cpu(running(1, 1, gib), running(2, 0, gib))},
				Queue: []Job{queued(3, alone, blocked(late))}},
			reasons: map[int64]string{3: "waits to have cpu for itself"},
			blocked: map[int64]time.Time{3: late},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.snap.Now = noon
			plan := Schedule(c.snap)
			if err := checkPlan(c.snap, plan); err != nil {
				t.Error(err)
			}
			reasons := map[int64]string{}
			for id, why := range plan.Reasons {
				reasons[id] = why.String()
			}
			for what, pair := range map[string][2]any{
				"start": {c.start, plan.Start}, "preempt": {c.preempt, plan.Preempt},
				"reasons": {orEmpty(c.reasons), reasons}, "blocked": {orEmpty(c.blocked), plan.Blocked}, "wake": {c.wake,
					plan.Wake},
			} {
				if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
					t.Errorf("%s (-want +got) %s", what, diff)
				}
			}
		})
	}
}

func orEmpty[V any](m map[int64]V) map[int64]V {
	if m == nil {
		return map[int64]V{}
	}
	return m
}

func TestRefuse(t *testing.T) {
	plan := Schedule(Snapshot{Now: noon, Devices: []Device{cpu()},
		States: map[int64]api.State{1: api.Failed, 2: api.Cancelled, 3: api.Succeeded, 4: api.Running},
		Queue: []Job{queued(12, after(9)), queued(11, after(3, 4, 2)), queued(10, after(1),
			func(j *Job) { j.Held = true })}})
	want := []Refuse{
		{10, api.Error{Code: api.CodeDependency, Message: "job 1, which this waits for, failed",
			Hint: "weft retry 1, and this job when that has succeeded"}},
		{11, api.Error{Code: api.CodeDependency, Message: "job 2, which this waits for, was cancelled",
			Hint: "weft retry 2, and this job when that has succeeded"}},
		{12, api.Error{Code: api.CodeDependency, Message: "job 9, which this waits for, no longer exists",
			Hint: "submit it again without --after"}},
	}
	if diff := cmp.Diff(want, plan.Refuse); diff != "" || len(plan.Start)+len(plan.Reasons) != 0 {
		t.Error(diff, plan)
	}
}

func TestFits(t *testing.T) {
	devices := []Device{cpu(running(1, 0, 4*gib)), with(gpu("gpu0"), func(d *Device) { d.Ready = false })}
	for _, c := range []struct {
		job  Job
		code api.Code
		want string
	}{
		{queued(1, memory(4*gib), want("cpu")), "", ""}, // full now, and down: could one day
		{queued(1, memory(8*gib)), "", ""},
		{queued(1, memory(6*gib), want("cpu")), api.CodeTooLarge, "needs 6.0 GiB, cpu has 4.0 GiB in all"},
		{queued(1, memory(9*gib)), api.CodeTooLarge, "needs 9.0 GiB, gpu0 has 8.0 GiB in all"},
		{queued(1, func(j *Job) { j.DataBytes, j.DataHash = 8*gib, "d" }), api.CodeTooLarge,
			"needs 9.0 GiB, gpu0 has 8.0 GiB in all"},
		{queued(1, want("gpu:1")), api.CodeNotFound, "there is no gpu1"},
	} {
		err := Fits(devices, c.job)
		if c.code == "" {
			if err != nil {
				t.Error(c.job, err)
			}
			continue
		}
		failure, ok := errors.AsType[*api.Error](err)
		if !ok || failure.Code != c.code || failure.Message != c.want || failure.Hint == "" {
			t.Error(c.job, err)
		}
	}
}
