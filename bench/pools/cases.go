package pools

import (
	"runtime"
	"slices"

	"weft/cpuwork"
)

// A Case is one workload at one size. Its numbers are defaults.
type Case struct {
	Name  string
	Group string // that it is chosen by, too
	About string
	Items int
	Quick int  // items with --quick
	Full  int  // items with --full
	Size  int  // bytes of an item; 0: it has none to speak of
	Exact bool // peers answer with the same bytes as arms do

	width, height int     // of pictures
	rate          float64 // of the server
	burst         int
	inFlight      []int // for the event pool; nil: as many as there are workers
}

// Names of cases that others look for.
const (
	SHA256       = "sha256-blobs"
	SHA256Files  = "sha256-files"
	JPEGSmall    = "jpeg-512"
	JPEGLarge    = "jpeg-1080p"
	Fetch        = "fetch-unlimited"
	FetchLimited = "fetch-limited"
	PrimesDoc    = "primes-doc"
	Primes64     = "primes-64"
	Handoff      = "handoff"
)

// Cases are all of them, in the order in which they run.
var Cases = []Case{
	{Name: SHA256, Group: "sha256", About: "SHA-256 of blobs made while it runs", Items: 2000, Quick: 200, Full: 10_000,
		Size: 1_000_000, Exact: true},
	{Name: SHA256Files, Group: "sha256", About: "SHA-256 of files, in the page cache", Items: 500, Quick: 50, Full: 2000,
		Size: 1_000_000, Exact: true},
	{Name: JPEGSmall, Group: "jpeg", About: "512x512 pixels to JPEG, q85, 4:2:0", Items: 2000, Quick: 200, Full: 10_000,
		width: 512, height: 512},
	{Name: JPEGLarge, Group: "jpeg", About: "1920x1080 pixels to JPEG, q85, 4:2:0", Items: 300, Quick: 30, Full: 1500,
		width: 1920, height: 1080},
	{Name: Fetch, Group: "fetch", About: "HTTP requests to one server on this machine", Items: 10_000, Quick: 1000, Full: 10_000,
		Exact: true, inFlight: []int{16, 64}},
	{Name: FetchLimited, Group: "fetch", About: "HTTP requests to a server that takes 2,000 a second", Items: 10_000, Quick: 1000,
		Full: 10_000, Exact: true, rate: 2000, burst: 100, inFlight: []int{16, 64}},
	{Name: PrimesDoc, Group: "primes", About: "the numbers of Python's example, twice", Items: 12, Quick: 12, Full: 12, Exact: true},
	{Name: Primes64, Group: "primes", About: "odd numbers of 64 bits: prime or not", Items: 200_000, Quick: 20_000, Full: 1_000_000,
		Exact: true},
	{Name: Handoff, Group: "handoff", About: "16 bytes to a worker that does nothing", Items: 200_000, Quick: 50_000, Full: 1_000_000,
		Exact: true},
}

// Names lists what a case may be called: groups, and the cases where they differ.
func Names() []string {
	var names []string
	for _, c := range Cases {
		if !slices.Contains(names, c.Group) {
			names = append(names, c.Group)
		}
	}
	for _, c := range Cases {
		if !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// Find returns the cases of a group, or the one of a name.
func Find(name string) []Case {
	var found []Case
	for _, c := range Cases {
		if c.Group == name || c.Name == name {
			found = append(found, c)
		}
	}
	return found
}

// Arms are the case's arms on these kinds of pools, for these numbers of workers. The
// sequential pool has one. given says that the numbers are the user's.
func (c Case) Arms(kinds []cpuwork.Kind, workers []int, given bool) []Arm {
	var arms []Arm
	for _, kind := range kinds {
		counts := workers
		switch {
		case kind == cpuwork.Sequential:
			counts = []int{1}
		case kind == cpuwork.Event && !given && c.inFlight != nil:
			counts = c.inFlight
		case c.rate > 0 && !given: // it cannot be faster with more
			counts = workers[len(workers)-1:]
		}
		for _, n := range counts {
			arms = append(arms, Arm{Pool: kind, Workers: n})
		}
	}
	return append(arms, c.variants(kinds, workers)...)
}

// variants are the arms that only this case has: other encoders, other handing over.
func (c Case) variants(kinds []cpuwork.Kind, workers []int) []Arm {
	var arms []Arm
	switch {
	case c.Group == "jpeg" && slices.Contains(kinds, cpuwork.Sequential):
		for _, encoder := range []string{VariantTurbo, VariantJpegn, VariantStd} {
			arms = append(arms, Arm{Pool: cpuwork.Sequential, Workers: 1, Variant: encoder})
		}
	case c.Name == Handoff:
		most := workers[0] // that are not more than there are cores, if there are such
		for _, n := range workers {
			if n <= runtime.NumCPU() {
				most = n
			}
		}
		for _, kind := range []cpuwork.Kind{cpuwork.Goroutine, cpuwork.Process} {
			if slices.Contains(kinds, kind) {
				arms = append(arms, Arm{Pool: kind, Workers: most, Variant: VariantOne})
			}
		}
	}
	return arms
}

// Same reports whether two arms must give the same answers: encoders differ.
func (c Case) Same(a, b Arm) bool { return c.Group != "jpeg" || a.Variant == b.Variant }

// Ideal is how long so many requests take at least at the server's rate, after the
// burst that it lets through at once, in seconds; 0 where nothing limits.
func (c Case) Ideal(items int) float64 {
	if c.rate == 0 || items <= c.burst {
		return 0
	}
	return float64(items-c.burst) / c.rate
}
