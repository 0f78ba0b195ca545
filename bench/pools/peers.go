package pools

import (
	"bytes"
	"context"
	"embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

//go:embed peers/*.py peers/*.c
var programs embed.FS

// A Peer is another program that does a case's work.
type Peer struct {
	Name    string
	About   string
	Cases   []string
	Workers int // 0: as many as there are cores

	script  string // for Python
	program string // of the system
	source  string // of a program in C
}

// Peers are all of them, the plainest of each workload first.
var Peers = []Peer{
	{Name: "python-sequential", About: "Python, one item after the other", Workers: 1, script: "python_peer.py",
		Cases: []string{SHA256, SHA256Files, PrimesDoc, Primes64}},
	{Name: "python-threads", About: "concurrent.futures, threads", script: "python_peer.py",
		Cases: []string{SHA256, SHA256Files, PrimesDoc, Handoff}},
	{Name: "python-processes", About: "concurrent.futures, processes", script: "python_peer.py",
		Cases: []string{SHA256, PrimesDoc, Primes64, Handoff}},
	{Name: "python-shared-memory", About: "multiprocessing.shared_memory, processes", script: "python_peer.py",
		Cases: []string{SHA256}},
	{Name: "xargs", About: "xargs -P, sha256sum", program: "xargs", Cases: []string{SHA256Files}},
	{Name: "parallel", About: "GNU parallel, sha256sum", program: "parallel", Cases: []string{SHA256Files}},
	{Name: "pillow-sequential", About: "Pillow, one picture after the other", Workers: 1, script: "pillow_peer.py",
		Cases: []string{JPEGSmall, JPEGLarge}},
	{Name: "pillow-threads", About: "Pillow, threads", script: "pillow_peer.py", Cases: []string{JPEGSmall, JPEGLarge}},
	{Name: "pillow-processes", About: "Pillow, processes that have the pictures", script: "pillow_peer.py",
		Cases: []string{JPEGSmall, JPEGLarge}},
	{Name: "c-turbojpeg", About: "a loop in C around libturbojpeg", Workers: 1, source: "turbo_peer.c",
		Cases: []string{JPEGSmall, JPEGLarge}},
	{Name: "aiohttp", About: "asyncio and aiohttp, 64 at once; paced where there is a limit", Workers: 64, script: "fetch_peer.py",
		Cases: []string{Fetch, FetchLimited}},
	{Name: "requests-threads", About: "requests, 16 threads", Workers: 16, script: "fetch_peer.py", Cases: []string{Fetch}},
	{Name: "urllib-threads", About: "urllib, 16 threads, a connection for each request", Workers: 16, script: "fetch_peer.py",
		Cases: []string{Fetch}},
}

// NeedsPython says whether the peer is a script.
func (p Peer) NeedsPython() bool { return p.script != "" }

// PeerNames lists the peers' names.
func PeerNames() []string {
	names := make([]string, len(Peers))
	for i := range Peers {
		names[i] = Peers[i].Name
	}
	return names
}

// PeersOf are those of the names that do a case's work.
func PeersOf(c Case, names []string) []Peer {
	var found []Peer
	for _, p := range Peers {
		if slices.Contains(names, p.Name) && slices.Contains(p.Cases, c.Name) {
			found = append(found, p)
		}
	}
	return found
}

func writeScripts(dir string) error {
	entries, err := programs.ReadDir("peers")
	if err != nil {
		return fmt.Errorf("read scripts: %w", err)
	}
	for _, e := range entries {
		text, err := programs.ReadFile("peers/" + e.Name())
		if err != nil {
			return fmt.Errorf("read script: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o600); err != nil {
			return fmt.Errorf("write script: %w", err)
		}
	}
	return nil
}

// PeerWorkers is how many workers the peer has here.
func (b *Bench) PeerWorkers(p Peer) int {
	if p.Workers > 0 {
		return p.Workers
	}
	return max(b.Cores, 1)
}

// Probe asks whether a peer can run here: it says what it is, or why not.
func (b *Bench) Probe(ctx context.Context, p Peer) (*Answer, error) {
	switch {
	case p.script != "" && b.Python == "":
		return &Answer{Skip: "python3 is not installed; WEFT_PYTHON names another"}, nil
	case p.script != "":
		return b.script(ctx, p, b.task(Arm{}), "--probe")
	case p.source != "":
		return b.compile(ctx, p)
	}
	return probeProgram(ctx, p.program)
}

// Peer measures a peer once.
func (b *Bench) Peer(ctx context.Context, p Peer) (*Answer, error) {
	t := b.task(Arm{Workers: b.PeerWorkers(p)})
	switch {
	case p.script != "":
		return b.serving(ctx, t, func(t Task) (*Answer, error) { return b.script(ctx, p, t) })
	case p.source != "":
		return b.ask(ctx, t, filepath.Join(b.dir, p.Name), fmt.Sprint(t.Width), fmt.Sprint(t.Height), fmt.Sprint(t.Items), t.Input)
	}
	return b.overFiles(ctx, p, t)
}

func (b *Bench) script(ctx context.Context, p Peer, t Task, more ...string) (*Answer, error) {
	return b.ask(ctx, t, append([]string{b.Python, filepath.Join(b.peers, p.script), p.Name}, more...)...)
}

// compile makes the peer's program of its source.
func (b *Bench) compile(ctx context.Context, p Peer) (*Answer, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return &Answer{Skip: "gcc is not installed"}, nil
	}
	cmd := command(ctx, b.dir, []string{gcc, "-O2", "-o", p.Name, p.source, "-lturbojpeg"})
	if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil {
		text, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return &Answer{Skip: "it does not compile, turbojpeg.h and its library are needed: " + text}, nil
	}
	return &Answer{Runtime: "gcc -O2"}, nil
}

// probeProgram looks for a program, and asks for its version.
func probeProgram(ctx context.Context, name string) (*Answer, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return &Answer{Skip: name + " is not installed"}, nil
	}
	if _, err := exec.LookPath("sha256sum"); err != nil {
		return &Answer{Skip: "sha256sum is not installed"}, nil
	}
	out, err := command(ctx, "", []string{path, "--version"}).Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	version, _, _ := strings.Cut(string(out), "\n")
	if err != nil || !strings.Contains(version, "GNU") {
		return &Answer{Skip: path + " is not GNU's"}, nil
	}
	return &Answer{Runtime: version}, nil
}

// filesAtOnce is how many files each sha256sum is given.
const filesAtOnce = "16"

// overFiles runs a program that runs sha256sum. Its clock is the process's life.
func (b *Bench) overFiles(ctx context.Context, p Peer, t Task) (*Answer, error) {
	argv := []string{p.program, "-0", "-P", fmt.Sprint(t.Arm.Workers), "-n", filesAtOnce, "sha256sum"}
	if p.program == "parallel" {
		argv = []string{p.program, "--will-cite", "-0", "-j", fmt.Sprint(t.Arm.Workers), "-n", filesAtOnce, "sha256sum"}
	}
	var names bytes.Buffer
	for i := range b.Items {
		names.WriteString(fileName(i) + "\x00")
	}
	begin := time.Now()
	proc, err := start(ctx, b.files, argv)
	if err != nil {
		return nil, err
	}
	_, writeErr := proc.in.Write(names.Bytes())
	_ = proc.in.Close() // its end is the list's
	out, err := proc.wait(ctx)
	wall := time.Since(begin).Seconds()
	switch {
	case err != nil:
		return nil, err
	case writeErr != nil:
		return nil, fmt.Errorf("write names: %w", writeErr)
	}
	d, err := sumsDigest(out, b.Items)
	if err != nil {
		return nil, err
	}
	state := proc.cmd.ProcessState
	a := &Answer{Wall: wall, CPU: (state.UserTime() + state.SystemTime()).Seconds(), Peak: proc.peak,
		Digest: d.Sum(), Items: d.count, Bytes: d.bytes}
	return a, b.check(a)
}

// sumsDigest is the digest of what sha256sum wrote, in any order.
func sumsDigest(text string, items int) (*Digest, error) {
	d := NewDigest(items, 1)
	for line := range strings.Lines(text) {
		digits, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		var i int
		sum, err := hex.DecodeString(digits)
		if _, scan := fmt.Sscanf(name, "%d", &i); !ok || err != nil || scan != nil || i < 0 || i >= items || fileName(i) != name {
			return nil, fmt.Errorf("read digests: %.80q is none of these files", line)
		}
		d.Add(i, sum)
	}
	return d, nil
}
