package sched

// need is what a job takes from a device.
type need struct {
	memory, data int64
	hash         string // of its data; "" when nobody shares it
	alone        bool
	ward         int64 // whose members may be company all the same; 0: nobody's
	never        bool  // the job cannot run on such a device
}

// kindGPU is the [Device.Kind] on which a job's reservation is its GPUBytes.
const kindGPU = "gpu"

// need is what the job takes from a device of that kind.
func (j *Job) need(kind string) need {
	if kind == kindGPU {
		n := newNeed(j.GPUBytes, j.DataBytes, j.DataHash, j.Alone, j.Ward)
		n.never = j.GPUBytes <= 0
		return n
	}
	return newNeed(j.MemoryBytes, j.DataBytes, j.DataHash, j.Alone, j.Ward)
}

func (r *Running) need() need {
	return newNeed(r.MemoryBytes, r.DataBytes, r.DataHash, r.Alone, r.Ward)
}

func newNeed(memory, data int64, hash string, alone bool, ward int64) need {
	if hash == "" {
		return need{memory: memory + data, alone: alone, ward: ward}
	}
	return need{memory: memory, data: data, hash: hash, alone: alone, ward: ward}
}

// ledger is the account of a device's slots and memory.
type ledger struct {
	slots, jobs  int
	memory, used int64 // used counts every data set once
	taken        int64 // of memory, by others than weft
	alone        int   // jobs that must have no company
	ward         int64 // of those
	data         map[string]dataset
}

// dataset is one that is on a device.
type dataset struct {
	bytes int64
	jobs  int
}

func newLedger(d *Device) ledger {
	return ledger{slots: d.Slots, memory: d.MemoryBytes, taken: max(d.TakenBytes, 0),
		data: make(map[string]dataset, len(d.Running))}
}

// total is the memory that n would take in addition.
func (l *ledger) total(n need) int64 {
	if have, ok := l.data[n.hash]; ok && n.hash != "" {
		return n.memory + max(n.data-have.bytes, 0)
	}
	return n.memory + n.data
}

func (l *ledger) free() int64 { return max(l.memory-l.taken-l.used, 0) }

// admits reports whether n may be there at all beside those that are.
func (l *ledger) admits(n need) bool {
	if l.jobs == 0 || !n.alone {
		return l.alone == 0
	}
	return n.ward != 0 && n.ward == l.ward && l.alone == l.jobs
}

// holds reports whether the memory suffices for n.
func (l *ledger) holds(n need) bool { return l.used+l.taken+l.total(n) <= l.memory }

func (l *ledger) fits(n need) bool {
	return !n.never && l.jobs < l.slots && l.admits(n) && l.holds(n)
}

// could reports whether n would fit if the device were empty, and nobody but
// weft used it.
func (l *ledger) could(n need) bool {
	return !n.never && l.slots > 0 && n.memory+n.data <= l.memory
}

func (l *ledger) add(n need) {
	l.used += l.total(n)
	l.jobs++
	if n.alone {
		l.alone++
		l.ward = n.ward
	}
	if n.hash != "" {
		have := l.data[n.hash]
		l.data[n.hash] = dataset{max(have.bytes, n.data), have.jobs + 1}
	}
}

// remove takes back what add did. A data set stays until its last job leaves.
func (l *ledger) remove(n need) {
	l.used -= n.memory
	l.jobs--
	if n.alone {
		l.alone--
	}
	if n.hash == "" {
		return
	}
	have := l.data[n.hash]
	if have.jobs--; have.jobs > 0 {
		l.data[n.hash] = have
		return
	}
	l.used -= have.bytes
	delete(l.data, n.hash)
}

// copyTo makes into equal to l, reusing its map.
func (l *ledger) copyTo(into *ledger) {
	data := into.data
	if data == nil {
		data = make(map[string]dataset, len(l.data))
	}
	clear(data)
	for hash, have := range l.data {
		data[hash] = have
	}
	*into = *l
	into.data = data
}
