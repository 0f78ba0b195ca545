package client

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"weft/client/table"
	"weft/daemon/api"
)

// Whatever comes in whatever order, and however little room there is, items are
// shown in the order of the input, equal ones as they came; and nothing is left in
// the temporary directory.
func TestItemsAreOrdered(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	rapid.Check(t, func(t *rapid.T) {
		indices := rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 60).Draw(t, "indices")
		long := rapid.SampledFrom([]int{0, 10, 700, 70_000}).Draw(t, "length of names")
		var in strings.Builder
		items := make([]itemLine, len(indices))
		for i, index := range indices {
			items[i] = itemLine{Index: index, Item: fmt.Sprint(i) + strings.Repeat("x", long), OK: true}
			js, err := json.Marshal(&items[i])
			if err != nil {
				t.Fatal(err)
			}
			in.Write(js)
			in.WriteByte('\n')
		}
		text := in.String()
		if rapid.Bool().Draw(t, "the last line has no end") {
			text = strings.TrimSuffix(text, "\n")
		}
		o := &orderedItems{most: rapid.IntRange(1, 3000).Draw(t, "room")}
		defer o.close()
		seen := 0
		if err := o.read(strings.NewReader(text), func(it *itemLine) {
			if it.Item != items[seen].Item {
				t.Errorf("item %d is seen in place of %d", it.Index, items[seen].Index)
			}
			seen++
		}); err != nil {
			t.Fatal(err)
		}
		slices.SortStableFunc(items, func(a, b itemLine) int { return cmp.Compare(a.Index, b.Index) })
		for range 2 {
			n := 0
			err := o.each(func(it *itemLine) error {
				if it.Item != items[n].Item || it.Index != items[n].Index {
					t.Errorf("item %.9s of index %d is shown in place of %.9s", it.Item, it.Index, items[n].Item)
				}
				n++
				return nil
			})
			if err != nil || n != len(items) || seen != n || o.count != int64(n) {
				t.Errorf("%d of %d items, %v", n, len(items), err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left are %v, %v", left, err)
		}
	})
}

// What is not a result is said with its line, and a place for the temporary file
// that there is not, with what to do about it.
func TestItemsThatCannotBeOrdered(t *testing.T) {
	o := &orderedItems{most: 1}
	defer o.close()
	err := o.read(strings.NewReader("{\"index\":0}\nnonsense\n"), func(*itemLine) {})
	if err == nil || err.Error() != "line 2 is not what was expected" {
		t.Errorf("nonsense: %v", err)
	}
	t.Setenv("TMPDIR", t.TempDir()+"/gone")
	o = &orderedItems{most: 1}
	err = o.read(strings.NewReader("{\"index\":1}\n{\"index\":0}\n"), func(*itemLine) {})
	if e := api.AsError(err); e == nil || e.Code != api.CodeDisk || !strings.HasPrefix(e.Hint, "TMPDIR=DIR ") {
		t.Errorf("no directory: %v", err)
	}
	o = &orderedItems{most: 1}
	defer o.close()
	broken := io.MultiReader(strings.NewReader("{\"index\":1}\n"), iotestErr{})
	if err := o.read(broken, func(*itemLine) {}); err == nil || err.Error() != "it broke off" {
		t.Errorf("broken off: %v", err)
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, fmt.Errorf("it broke off") }

// Every way to write results writes the same from a file as from memory, and a table
// as one of all its rows at once.
func TestResultsAreWrittenAlikeFromFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var in strings.Builder
	_ = manyResults(&in, 150, nil)
	from := func(most int, job *api.JobDetail, failed bool, output string) string {
		var out bytes.Buffer
		p := &program{app: App{Now: time.Now}, stdout: &out, stderr: io.Discard}
		p.global.width, p.global.output = 70, output
		w := p.itemsWriter(job, failed)
		o := &orderedItems{most: most}
		defer o.close()
		if err := o.read(strings.NewReader(in.String()), w.see); err != nil {
			t.Fatal(err)
		}
		if err := w.write(o); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, kind := range api.Kinds {
		for _, failed := range []bool{false, true} {
			for _, output := range []string{outTable, outJSON} {
				job := &api.JobDetail{Job: api.Job{Kind: kind, Spec: []byte(`{"task":{"check":true}}`)}}
				if memory, file := from(1<<20, job, failed, output), from(1000, job, failed, output); memory != file || len(file) < 300 {
					t.Errorf("%s, failed %v, %s: from memory\n%s\nfrom a file\n%s", kind, failed, output, memory, file)
				}
			}
		}
	}
	var items []itemLine
	for line := range strings.Lines(in.String()) {
		var it itemLine
		if err := json.Unmarshal([]byte(line), &it); err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	slices.SortFunc(items, func(a, b itemLine) int { return cmp.Compare(a.Index, b.Index) })
	whole := &table.Table{Width: 70, Columns: []table.Column{{Head: "ITEM", Flexible: true}, {Head: "STATE"}, {Head: "SIZE", Right: true},
		{Head: "TIME", Right: true}, {Head: "RESULT", Flexible: true}}}
	for i := range items {
		it := &items[i]
		whole.Rows = append(whole.Rows, []string{it.Item, string(it.state()), sizeText(it.Bytes), durationText(seconds(it.Seconds)), it.result()})
	}
	var want, js bytes.Buffer
	if err := whole.Write(&want); err != nil {
		t.Fatal(err)
	}
	fetch := &api.JobDetail{Job: api.Job{Kind: api.KindFetch}}
	if got := from(1000, fetch, false, outTable); got != want.String() {
		t.Errorf("the table is\n%s\nwant\n%s", got, want.String())
	}
	p := &program{stdout: &js}
	p.global.output = outJSON
	if err := p.writeJSON(items); err != nil {
		t.Fatal(err)
	}
	if got := from(1000, fetch, false, outJSON); got != js.String() {
		t.Errorf("the JSON is\n%s\nwant\n%s", got, js.String())
	}
}

// manyResults writes n results in no order, calling now and then.
func manyResults(w io.Writer, n int, then func()) error {
	out := bufio.NewWriter(w)
	for i := range n {
		index := i * 7919 % n // a prime that does not divide n
		fmt.Fprintf(out, `{"index":%d,"item":"/data/items/%07d%s","ok":%t,"bytes":%d,"seconds":%g,"attempts":1,"output":{"sha256":"%064x","status":200}`,
			index, index, strings.Repeat("+", index%11), index%5 != 0, 1+index, float64(index)/1e4, index)
		if index%5 == 0 {
			fmt.Fprintf(out, `,"error":{"code":"gone","message":"item %d <is> gone","hint":"look elsewhere"}`, index)
		}
		out.WriteString("}\n")
		if i%20_000 == 0 && then != nil {
			then()
		}
	}
	return out.Flush()
}

// heapMost is how much a listing may hold in memory beside what was there before,
// whatever the number of items: what is sorted at once, and buffers.
const heapMost = 12 << 20

// TestResultsAreBounded lists jobs of 200,000 items, which are some 45 MB, and of
// 30,000, and looks at the live heap while they come and while they are written.
func TestResultsAreBounded(t *testing.T) {
	most, many := 200_000, 30_000
	if testing.Short() || raceEnabled { // which makes it take minutes
		most = many
	}
	t.Setenv("TMPDIR", t.TempDir())
	for _, c := range []struct {
		kind  api.Kind
		args  string
		n     int
		lines int
	}{
		{api.KindFetch, "results 1", most, most + 1}, {api.KindSHA256, "results 1", many, many - many/5},
		{api.KindFetch, "results 1 --failed", many, many/5 + 1}, {api.KindJPEG, "results 1 -o json", many, 0},
		{api.KindJPEG, "results 1 -o jsonl", most, most},
	} {
		t.Run(string(c.kind)+" "+c.args, func(t *testing.T) {
			peak, sample := heapMeter()
			mux := http.NewServeMux()
			mux.HandleFunc("GET /v1/jobs/1", func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(api.JobDetail{Job: api.Job{ID: 1, Kind: c.kind, State: api.Succeeded}})
			})
			mux.HandleFunc("GET /v1/jobs/1/results", func(w http.ResponseWriter, _ *http.Request) { _ = manyResults(w, c.n, sample) })
			host := serveHandler(t, mux)
			out := &inOrder{sample: sample, ordered: !strings.HasSuffix(c.args, "jsonl")}
			app := App{Now: func() time.Time { return moment }}
			if code := Run(context.Background(), app, append(line(c.args), "-H", host), nil, out, io.Discard); code != 0 || out.fault != "" {
				t.Fatalf("exit %d, %s", code, out.fault)
			}
			if c.lines != 0 && out.lines != c.lines || out.items == 0 {
				t.Errorf("%d lines, want %d; %d of them name an item", out.lines, c.lines, out.items)
			}
			t.Logf("%d items: at most %.1f MiB of live heap", c.n, float64(peak.Load())/(1<<20))
			if peak.Load() > heapMost {
				t.Errorf("the heap grows by %.1f MiB, more than %d MiB", float64(peak.Load())/(1<<20), heapMost>>20)
			}
		})
	}
}

// heapMeter measures the live heap at its samples; most is the largest growth.
func heapMeter() (most *atomic.Int64, sample func()) {
	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := live()
	most = &atomic.Int64{}
	return most, func() { most.Store(max(most.Load(), live()-before)) }
}

// inOrder checks the items of a listing as they are written, and keeps none.
type inOrder struct {
	sample  func()
	ordered bool
	writes  int
	lines   int
	items   int
	last    string
	rest    []byte
	fault   string
}

func (o *inOrder) Write(b []byte) (int, error) {
	if o.writes++; o.writes%40 == 0 {
		o.sample()
	}
	o.rest = append(o.rest, b...)
	for {
		text, rest, whole := bytes.Cut(o.rest, []byte("\n"))
		if !whole {
			break
		}
		o.lines++
		if _, name, named := strings.Cut(string(text), "/data/items/"); named {
			o.items++
			if name = name[:7]; o.ordered && name <= o.last && o.fault == "" {
				o.fault = fmt.Sprintf("item %s is written after %s", name, o.last)
			}
			o.last = name
		}
		o.rest = rest
	}
	o.rest = append([]byte(nil), o.rest...)
	return len(b), nil
}

func BenchmarkResults(b *testing.B) {
	b.Setenv("TMPDIR", b.TempDir())
	var in bytes.Buffer
	_ = manyResults(&in, 100_000, nil)
	p := &program{app: App{Now: time.Now}, stdout: io.Discard, stderr: io.Discard}
	for name, most := range map[string]int{"memory": 1 << 30, "file": sortBytes} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(in.Len()))
			for b.Loop() {
				w := p.kindsWriter(&api.JobDetail{Job: api.Job{Kind: api.KindFetch}})
				o := &orderedItems{most: most}
				if err := o.read(bytes.NewReader(in.Bytes()), w.see); err != nil {
					b.Fatal(err)
				}
				if err := w.write(o); err != nil {
					b.Fatal(err)
				}
				o.close()
			}
		})
	}
}
