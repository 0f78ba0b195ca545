package measure

import (
	"net"
	"net/url"
	"os"
	"reflect"
	"testing"
	"time"

	"weft/cpuwork/advise"
)

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		most, items int
		want        []int
	}{
		{64, 4000, []int{2, 4, 8, 16, 32, 64}[5:]},
		{64, 5000, []int{2, 4, 8, 16, 32, 64}},
		{16, 4000, []int{2, 4, 8, 16}},
		{12, 4000, []int{2, 4, 8, 12}},
		{2, 4000, []int{2}},
		{1, 4000, nil}, // one at a time is what was seen before
		{64, 31, []int{10}},
		{64, 5, nil},
		{64, 0, nil},
	} {
		if got := levels(c.most, c.items); !reflect.DeepEqual(got, c.want) {
			t.Errorf("up to %d with %d items: %v, want %v", c.most, c.items, got, c.want)
		}
	}
}

// at makes levels of what was seen with 2, 4, 8… in flight.
func at(seconds ...float64) (all []advise.Level) {
	for i, s := range seconds {
		all = append(all, advise.Level{InFlight: 2 << i, Seconds: s})
	}
	return all
}

func TestJudge(t *testing.T) {
	idle, busyCores := share{known: true, idle: 0.6}, share{known: true, idle: 0.05}
	// Alone: 30 us here and 40 elsewhere.
	const took = 70e-6
	grows, stops := at(35e-6, 17.5e-6, 9e-6, 5e-6), at(35e-6, 30e-6, 29e-6, 29e-6)
	for name, c := range map[string]struct {
		seen   seen
		rate   float64
		levels bool
		farEnd float64
	}{
		"far away, answers as many as ask":      {seen{levels: grows, shared: idle}, 0, true, 0},
		"far away, answers so many":             {seen{levels: stops, shared: idle}, 0, true, 29e-6},
		"here, all cores busy":                  {seen{levels: stops, shared: busyCores, found: true, server: 25e-6}, 0, true, 0},
		"here, all cores busy, others too":      {seen{levels: stops, shared: busyCores, found: true, server: 25e-6, others: 0.5}, 0, false, 0},
		"here, but not found, all cores busy":   {seen{levels: stops, shared: busyCores}, 0, true, 29e-6},
		"here, answers so many, cores to spare": {seen{levels: stops, shared: idle, found: true, server: 1e-6}, 0, true, 29e-6},
		"the same beside others":                {seen{levels: stops, shared: idle, found: true, server: 1e-6, others: 0.3}, 0, true, 29e-6},
		"here, all cores busy with its helpers": {seen{levels: stops, shared: busyCores, found: true, server: 1e-6}, 0, true, 0},
		"few cores of many may be used":         {seen{levels: stops, cpu: 30e-6, shared: idle, found: true, server: 25e-6}, 0, true, 0},
		"only the rate was seen":                {seen{levels: at(500e-6), shared: idle}, 2000, false, 0},
		"slower than the rate":                  {seen{levels: at(75e-6), shared: idle}, 5000, true, 75e-6},
		"one level, answers as many as ask":     {seen{levels: at(40e-6), shared: idle}, 0, true, 0},
		"one level, one at a time":              {seen{levels: at(75e-6), shared: idle}, 0, true, 75e-6},
		"nothing":                               {seen{}, 0, false, 0},
	} {
		w := advise.Workload{Items: 1000, CPU: 30e-6, IO: 40e-6, Rate: c.rate}
		c.seen.cores = 2
		c.seen.judge(&w, took)
		if (w.Levels != nil) != c.levels || w.FarEnd != c.farEnd {
			t.Errorf("%s: levels %v, far end %g; want %t, %g", name, w.Levels, w.FarEnd, c.levels, c.farEnd)
		}
		if w.Server != c.seen.server || w.CPU != 30e-6 || w.IO != 40e-6 {
			t.Errorf("%s: an item takes %g + %g s, its server %g", name, w.CPU, w.IO, w.Server)
		}
		if err := w.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Many share what one request cannot.
	w := advise.Workload{CPU: 30e-6, IO: 40e-6}
	s := seen{levels: grows, cpu: 20e-6, shared: idle, cores: 2}
	if s.judge(&w, took); w.Together != 20e-6 || w.CPU != 30e-6 || w.IO != 40e-6 {
		t.Errorf("workload is %+v", w)
	}
}

// table is of a machine with a web server on all addresses, one on the loopback
// of each family, one on a network's, and a connection.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1586 1 00000000f7a0b744 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1587 1 00000000f7a0b745 100 0 0 10 0
   2: 0A00A8C0:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1588 1 00000000f7a0b746 100 0 0 10 0
   3: 0100007F:1F92 0100007F:A4CF 01 00000000:00000000 03:000004D5 00000000     0        0 1589 3 000000008f3411ec
   4: 00000000000000000000000001000000:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1590 1 0
   5: 0000000000000000FFFF00000100007F:1F94 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1591 1 0
   6: 01007F:1F95 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1592 1
   7: 0100007F:1F96FF 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1593 1
`

func TestListeners(t *testing.T) {
	want := map[string]uint16{"1586": 80, "1587": 8080, "1590": 8083, "1591": 8084}
	if got := listeners([]byte(table)); !reflect.DeepEqual(got, want) {
		t.Errorf("%v listen, want %v", got, want)
	}
}

func FuzzListeners(f *testing.F) {
	f.Add([]byte(table))
	f.Fuzz(func(t *testing.T, text []byte) {
		for inode := range listeners(text) {
			if inode == "" {
				t.Error("a socket without a number")
			}
		}
	})
}

// A process's clock is that of its kernel, and this one is not its own server.
func TestServers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if found := serving(map[uint16]bool{port: true}); found != nil {
		t.Errorf("%v serve this process, which listens itself", found)
	}
	me := servers{os.Getpid()}
	before, own := me.processorTime(), processorTime(0)
	for processorTime(0) < own+0.02 {
		// spend some
	}
	spent, least := me.processorTime()-before, 0.019
	if most := processorTime(0) - own + 0.001; spent < least || spent > most {
		t.Errorf("%g s were spent, between %g and %g", spent, least, most)
	}
	if gone := (servers{1 << 22}).processorTime(); gone != 0 {
		t.Errorf("a process that is not there used %g s", gone)
	}
}

func TestPortOf(t *testing.T) {
	for text, want := range map[string]uint16{"http://localhost/": 80, "https://[::1]": 443, "http://127.0.0.1:8080/x": 8080, "ftp://localhost/": 0,
		"http://localhost:99999/": 0} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := portOf(u); got != want || (err == nil) != (want > 0) {
			t.Errorf("%s asks port %d, %v; want %d", text, got, err, want)
		}
	}
}

// What is told of an item's time is of another than was measured with many.
func TestTake(t *testing.T) {
	measured := advise.Workload{Items: 10, CPU: 1, Group: 0.5, Together: 0.7, IO: 2, FarEnd: 0.1, Server: 0.2, Levels: at(1)}
	for name, c := range map[string]struct{ told, want advise.Workload }{
		"nothing": {advise.Workload{}, measured},
		"processor time": {advise.Workload{CPU: 3},
			advise.Workload{Items: 10, CPU: 3, IO: 2, FarEnd: 0.1, Server: 0.2}},
		"waiting": {advise.Workload{IO: 3}, advise.Workload{Items: 10, CPU: 1, Group: 0.5, Together: 0.7, IO: 3}},
		"items":   {advise.Workload{Items: 7}, advise.Workload{Items: 7, CPU: 1, Group: 0.5, Together: 0.7, IO: 2, FarEnd: 0.1, Server: 0.2, Levels: at(1)}},
	} {
		got := measured
		if take(&got, &c.told); !reflect.DeepEqual(got, c.want) {
			t.Errorf("told of %s: %+v, want %+v", name, got, c.want)
		}
	}
}

// With many answers it is how they follow each other, once all that are in flight
// have been answered; with few what they took.
func TestBetween(t *testing.T) {
	p := &part{}
	for i := range 100 {
		at := time.Second + time.Duration(i)*10*time.Millisecond // the first comes late
		p.n, p.times, p.ended = p.n+1, append(p.times, 0.08), append(p.ended, at)
	}
	for abreast, want := range map[int]float64{1: 0.01, 4: 0.01, 6: 0.01, 8: 0.01, 16: 0.005} { // 100 are few for 8
		if got := p.between(abreast); got < want*0.999 || got > want*1.001 {
			t.Errorf("%d in flight: one each %g s, want %g", abreast, got, want)
		}
	}
	p.times[0], p.times[1] = 50, 0.01
	if got := p.median(); got != 0.08 {
		t.Errorf("the one in the middle took %g s", got)
	}
}
