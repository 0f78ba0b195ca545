package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weft/daemon/api"
)

func TestCompletionScriptsParse(t *testing.T) {
	for shell, script := range completionScripts {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here", shell)
			continue
		}
		cmd := exec.CommandContext(t.Context(), path, "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}

// The bash script asks weft for candidates and hands them to bash.
func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	bin := t.TempDir()
	fake := "#!" + bash + "\nprintf 'cancel\\tend jobs\\ncompletion\\tx\\n'; echo \"$*\" >&2\n"
	if err := os.WriteFile(filepath.Join(bin, "weft"), []byte(fake), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", completionScripts["bash"]+
		"\nCOMP_WORDS=(weft c); COMP_CWORD=1; _weft; echo \"${COMPREPLY[*]}\"")
	cmd.Env = []string{"PATH=" + bin}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "cancel completion\n" {
		t.Errorf("completing gives %q, %v", out, err)
	}
}

func TestSaveFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "m")
	text := func(s string) func(io.Writer) error {
		return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
	}
	broken := errors.New("the connection broke")
	half := func(w io.Writer) error { _ = text("ha")(w); return broken }
	expect := func(step, want string) {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			got += e.Name() + "=" + string(b)
		}
		if got != want {
			t.Errorf("%s: directory holds %q, want %q", step, got, want)
		}
	}
	if err := saveFile(name, false, half); !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
	expect("broken", "")
	if err := saveFile(name, false, text("one")); err != nil {
		t.Error(err)
	}
	expect("new", "m=one")
	if err := saveFile(name, false, text("two")); err == nil || exitCode(err) != exitFailed {
		t.Errorf("existing: %v", err)
	}
	if err := saveFile(name, true, half); !errors.Is(err, broken) {
		t.Errorf("broken over existing: %v", err)
	}
	expect("broken over existing", "m=one")
	if err := saveFile(name, true, text("two")); err != nil {
		t.Error(err)
	}
	expect("forced", "m=two")

	// Somebody makes the file while it is written.
	other := filepath.Join(dir, "n")
	err := saveFile(other, false, func(w io.Writer) error {
		if err := os.WriteFile(other, []byte("theirs"), 0o600); err != nil {
			return err
		}
		return text("ours")(w)
	})
	if !errors.Is(err, fs.ErrExist) {
		t.Errorf("made meanwhile: %v", err)
	}
	expect("made meanwhile", "m=twon=theirs")
}

func TestModelThatEndsEarlyIsNotSaved(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jobs/1/model", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	dir := inDir(t, nil)
	r := weft(t.Context(), serveHandler(t, mux), "", "model", "1", "-o", "m")
	if r.code != exitFailed || r.stderr != "weft: the daemon's answer broke off after 4 bytes\ntry: the same command once more\n" {
		t.Errorf("got %s", r)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left behind %v, %v", entries, err)
	}
}

// An interrupt ends what waits with 130 and leaves the jobs alone.
func TestInterrupt(t *testing.T) {
	for _, args := range []string{"follow 6", "wait 6", "logs 6 -f", "ls -w -o jsonl", "train - --wait"} {
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan struct{}, 8)
		hang := func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			waiting <- struct{}{}
			<-r.Context().Done()
		}
		mux := http.NewServeMux()
		mux.Handle("/", newRecorded().handler())
		mux.HandleFunc("GET /v1/events", hang)
		mux.HandleFunc("GET /v1/jobs/6/logs", hang)
		host := serveHandler(t, mux)
		done := make(chan ran)
		go func() { done <- weft(ctx, host, "name: x\n", line(args)...) }()
		<-waiting
		cancel()
		r := <-done
		if r.code != exitInterrupted {
			t.Errorf("weft %s: %s", args, r)
		}
		if want := "weft: interrupted; the job goes on\ntry: weft follow 6 to watch again, weft cancel to end\n"; args == "follow 6" && r.stderr != want {
			t.Errorf("weft %s says %q", args, r.stderr)
		}
	}
}

// A retried job's history holds an earlier end, which is not this one's.
func TestFollowIsNotMisledByHistory(t *testing.T) {
	mux := http.NewServeMux()
	looks := 0
	mux.HandleFunc("GET /v1/jobs", func(w http.ResponseWriter, _ *http.Request) {
		j := api.Job{ID: 1, Name: "again", State: api.Running, Attempt: 2, Progress: api.Progress{Epochs: 2}}
		if looks++; looks == 4 {
			j.State = api.Succeeded
		}
		answer(w, api.JobList{Jobs: []api.Job{j}})
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		for i, e := range []string{`"type":"started","state":"running"`, `"type":"failed","state":"failed"`,
			`"type":"retried","state":"queued"`,
			`"type":"started","state":"running"`,
			`"type":"epoch","state":"running","epoch":{"epoch":1,"step":9,"metrics":{"train_loss":0.5}}`,
			`"type":"succeeded","state":"succeeded"`} {
			fmt.Fprintf(w, "id: %d\nevent: e\ndata: {\"id\":%d,\"job\":1,%s}\n\n", i+1, i+1, e)
		}
	})
	r := weft(t.Context(), serveHandler(t, mux), "", "follow", "1")
	want := "1 again running\n1 again epoch 1/2 step 9 train_loss 0.5000\n1 again succeeded\nexit 0\n"
	if got := r.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestIDsText(t *testing.T) {
	for want, ids := range map[string][]int64{"": nil, "3": {3}, "3 4": {3, 4}, "3-5": {3, 4, 5},
		"1 3-6 9 12 13": {1, 3, 4, 5, 6, 9, 12, 13}} {
		if got := idsText(ids); got != want {
			t.Errorf("idsText(%v) = %q, want %q", ids, got, want)
		}
		if want == "" {
			continue
		}
		if back, err := parseIDs(strings.Fields(want)); err != nil || !cmp.Equal(back, ids) {
			t.Errorf("parseIDs(%q) = %v, %v", want, back, err)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0.00s", -time.Second: "0s",
		320 * time.Millisecond: "0.32s", 8440 * time.Millisecond: "8.4s",
		59990 * time.Millisecond: "59.9s", 185 * time.Second: "3m05s", 127 * time.Minute: "2h07m",
		99 * time.Hour: "4d03h"} {
		if got := durationText(d); got != want {
			t.Errorf("durationText(%v) = %s, want %s", d, got, want)
		}
	}
}

func TestNumberText(t *testing.T) {
	for v, want := range map[float64]string{0: "0.0000", 0.97123: "0.9712", 12.25: "12.2500", 1234.56: "1234.6",
		1e-5: "1.000e-05", 3e7: "3.000e+07", -0.5: "-0.5000"} {
		if got := numberText(v); got != want {
			t.Errorf("numberText(%v) = %s, want %s", v, got, want)
		}
	}
}

// The bars of many jobs fit the terminal; those that run are shown first.
func TestBars(t *testing.T) {
	b := newBars(globals{width: 90, height: 6}, func() time.Time { return moment })
	jobs := recordedJobs()
	for i := range jobs {
		b.Update(jobMsg(jobs[i]))
	}
	var out strings.Builder
	for _, height := range []int{6, 20} {
		b.height = height
		fmt.Fprintf(&out, "height %d\n%s\n", height, stripColour(b.render()))
		for l := range strings.Lines(stripColour(b.render())) {
			if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > b.width {
				t.Errorf("%d cells in %d: %q", n, b.width, l)
			}
		}
	}
	golden(t, "bars.txt", out.String())
}

func stripColour(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if i := strings.IndexByte(s, 'm'); strings.HasPrefix(s, "\x1b[") && i > 0 {
			s = s[i+1:]
			continue
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

// demo runs the recorded daemon in a process of its own.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(ctx context.Context, serve string, args ...string) ran {
		t.Setenv("WEFT_TEST_SERVE", serve)
		var stdout, stderr bytes.Buffer
		app := App{Version: "v0.1.0", Now: func() time.Time { return moment }, Program: self}
		code := Run(ctx, app, append([]string{"demo"}, args...), nil, &stdout, &stderr)
		return ran{code, stdout.String(), stderr.String()}
	}
	nothingLeft := func(what string) {
		t.Helper()
		if left, err := filepath.Glob(filepath.Join(tmp, "weft-demo-*")); err != nil || len(left) > 0 {
			t.Errorf("%s left %v, %v", what, left, err)
		}
	}
	golden(t, "demo.txt", run(t.Context(), "ok").String()+run(t.Context(), "ok", "--jobs", "2", "-o", "json").String())
	nothingLeft("demo")

	r := run(t.Context(), "fail")
	if r.code != exitUnreachable ||
		r.stderr != "weft: the daemon ended before it was ready; its last words: weft: no memory for a daemon\n"+
			"try: weft demo --keep keeps its log\n" {
		t.Errorf("a daemon that fails: %s", r)
	}
	nothingLeft("a daemon that fails")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := run(ctx, "ok"); r.code != exitInterrupted {
		t.Errorf("interrupted: %s", r)
	}
	nothingLeft("an interrupt")

	r = run(t.Context(), "ok", "--jobs", "1", "--keep")
	left, err := filepath.Glob(filepath.Join(tmp, "weft-demo-*"))
	if err != nil || len(left) != 1 || !strings.HasPrefix(r.stderr, "kept "+left[0]+";") {
		t.Errorf("--keep left %v, %v and said %s", left, err, r)
	}
	if r := run(t.Context(), "ok", "--jobs", "0"); r.code != exitUsage {
		t.Errorf("no jobs: %s", r)
	}
}

// The demo's daemon is stopped also where it ignores a polite request.
func TestOwnDaemonIsKilledInTheEnd(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not here")
	}
	cmd := exec.CommandContext(t.Context(), bash, "-c",
		"trap '' TERM; echo ready; while :; do read -t 60 <> <(:); done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	c, err := api.New("/none", api.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := &ownDaemon{client: c, cmd: cmd, ended: make(chan struct{}), grace: time.Millisecond}
	go func() {
		_ = cmd.Wait()
		close(d.ended)
	}()
	d.stop()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
		t.Errorf("ended by %v", cmd.ProcessState)
	}
}

func BenchmarkLs(b *testing.B) {
	d := &recorded{}
	for i := range 10_000 {
		j := recordedJobs()[3]
		j.ID, j.Name = int64(i+1), fmt.Sprintf("digits-mlp/lr=0.001,seed=%d", i)
		d.jobs = append(d.jobs, j)
	}
	var list bytes.Buffer
	r, _ := http.NewRequest("GET", "/v1/jobs", nil)
	d.list(recorder{&list}, r)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/jobs", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(list.Bytes()) })
	host := serveHandler(b, mux)
	b.ReportAllocs()
	for b.Loop() {
		app := App{Now: func() time.Time { return moment }}
		code := Run(context.Background(), app, []string{"ls", "-H", host}, nil, io.Discard, io.Discard)
		if code != 0 {
			b.Fatal(code)
		}
	}
	b.ReportMetric(float64(list.Len())/1e6, "MB")
}

type recorder struct{ w io.Writer }

func (r recorder) Header() http.Header         { return http.Header{} }
func (r recorder) WriteHeader(int)             {}
func (r recorder) Write(b []byte) (int, error) { return r.w.Write(b) }
