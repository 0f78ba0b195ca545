package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"weft/bench/peers"
	"weft/client/nearest"
	"weft/daemon/api"
)

const (
	peersAuto = "auto"
	peersNone = "none"

	probeTimeout = 2 * time.Minute // importing torch on a busy machine takes its time
	peerTimeout  = 10 * time.Minute
	// lossBand and lossLeast say when two final losses agree: within a tenth,
	// or 0.02 where they are small. Both trained the same model on the same
	// batches from the same parameters; thousands of steps of float32, rounded
	// differently, part further than one would think.
	lossBand  = 0.10
	lossLeast = 0.02
)

// sharePeer is what another program made of the load, or why it did not.
type sharePeer struct {
	Peer        string  `json:"peer"`
	About       string  `json:"about"`
	Runtime     string  `json:"runtime"`
	Skipped     string  `json:"skipped"` // why it did not run; "": it did
	Failed      string  `json:"failed"`  // what ended it; its runs before are kept
	Wall        *spread `json:"wall_seconds"`
	StepsPerS   *spread `json:"steps_per_second"`
	SamplesPerS *spread `json:"samples_per_second"`
	Speedup     *spread `json:"speedup"`      // the baseline's wall over the peer's, round by round
	FasterArm   string  `json:"faster_arm"`   // the arm that faster_by is of
	FasterBy    *spread `json:"faster_by"`    // the peer's wall over that arm's, round by round
	LossesApart *int    `json:"losses_apart"` // models whose final validation loss is not within loss_band
	LossRatio   *spread `json:"loss_ratio"`   // the peer's final validation losses over weft's, model by model
	LossBand    float64 `json:"loss_band"`
	armUse
	Runs []peerRun `json:"runs"`

	peer peers.Peer
}

// peerRun is one peer in one round.
type peerRun struct {
	Round int     `json:"round"`
	Place int     `json:"place"`
	Wall  float64 `json:"wall_seconds"` // by the script's clock: no imports, no warm-up
	Warm  float64 `json:"warm_seconds"`
	Whole float64 `json:"process_seconds"` // of the process from its start to its end
	Steps int64   `json:"steps"`
	// Losses are the models' final validation losses; null: not a number.
	Losses []*float64 `json:"val_loss"`
	deviceUse
}

// checkPeers reads --peers of weft bench share.
func checkPeers(names []string) ([]string, error) { return checkPeerNames(names, peers.Names()) }

// checkPeerNames reads --peers, where there are all.
func checkPeerNames(names, all []string) ([]string, error) {
	switch {
	case len(names) == 0 || slices.Equal(names, []string{peersNone}):
		return nil, nil
	case slices.Equal(names, []string{peersAuto}):
		return all, nil
	}
	for i, n := range names {
		switch {
		case n == peersAuto || n == peersNone:
			return nil, usagef("--peers "+n, "--peers %s goes with nothing else", n)
		case !slices.Contains(all, n):
			return nil, usagef("--peers "+firstOf(nearest.Name(n, all), peersAuto),
				"unknown peer %q; there are auto, none, %s", n, strings.Join(all, ", "))
		case slices.Contains(names[:i], n):
			return nil, usagef("--peers "+strings.Join(slices.Compact(slices.Sorted(slices.Values(names))), ","),
				"--peers has %s twice", n)
		}
	}
	return names, nil
}

// python is the interpreter that runs peers.
func python() (string, error) {
	if p := os.Getenv("WEFT_PYTHON"); p != "" {
		path, err := exec.LookPath(p)
		if err != nil {
			return "", fmt.Errorf("WEFT_PYTHON=%s is no program", p)
		}
		return path, nil
	}
	path, err := exec.LookPath("python3")
	if err != nil {
		return "", errors.New("python3 is not installed; WEFT_PYTHON names another")
	}
	return path, nil
}

// preparePeers writes the load for the peers and asks each whether it can run.
func (s *sharing) preparePeers(ctx context.Context) error {
	for _, name := range s.o.peers {
		p, _ := peers.Find(name) // checked with the flags
		s.result.Peers = append(s.result.Peers, sharePeer{Peer: name, About: p.About, LossBand: lossBand,
			Runs: []peerRun{}, peer: p})
	}
	if len(s.o.peers) == 0 {
		return nil
	}
	skipAll := func(reason string) error {
		for i := range s.result.Peers {
			s.result.Peers[i].Skipped = reason
		}
		return nil
	}
	var err error
	if s.python, err = python(); err != nil {
		return skipAll(err.Error())
	}
	s.peersDir = filepath.Join(s.dir, "peers")
	if err := os.Mkdir(s.peersDir, 0o700); err != nil {
		return fmt.Errorf("make peers' directory: %w", err)
	}
	specs := make([]json.RawMessage, len(s.load.drafts))
	for i := range specs {
		specs[i] = s.load.drafts[i].Spec
	}
	s.say.preparing("preparing peers")
	work, err := peers.Prepare(ctx, s.peersDir, specs)
	if cannot, ok := errors.AsType[*peers.CannotError](err); ok {
		return skipAll(cannot.Reason)
	} else if err != nil {
		return fmt.Errorf("prepare peers: %w", err)
	}
	s.peerSteps = work.Steps()
	if err := peers.WriteScripts(s.peersDir); err != nil {
		return err
	}
	for i := range s.result.Peers {
		p := &s.result.Peers[i]
		switch {
		case p.peer.GPU && s.result.Device.Kind != "gpu":
			p.Skipped = "needs a GPU"
		case p.peer.Same && !work.Same:
			p.Skipped = "needs models that differ by numbers only; these differ by " + work.Differ
		default:
			s.say.preparing("asking " + p.Peer)
			answer, err := s.runPeer(ctx, p.peer, probeTimeout, "--probe")
			if err != nil && ctx.Err() != nil {
				return err
			} else if err != nil {
				p.Skipped = err.Error()
				continue
			}
			p.Skipped, p.Runtime = answer.Skip, answer.Runtime
		}
	}
	return nil
}

// running are the peers that take part in the next round.
func (s *sharing) running() []string {
	var names []string
	for i := range s.result.Peers {
		if p := &s.result.Peers[i]; p.Skipped == "" && p.Failed == "" {
			names = append(names, p.Peer)
		}
	}
	return names
}

// measurePeer runs a peer once. One that fails is told and left out of further
// rounds: it is not what the benchmark is about.
func (s *sharing) measurePeer(ctx context.Context, round, place int, name string) error {
	i := slices.IndexFunc(s.result.Peers, func(p sharePeer) bool { return p.Peer == name })
	p := &s.result.Peers[i]
	run := peerRun{Round: round + 1, Place: place + 1}
	answer, err := s.watchPeer(ctx, p.peer, &run)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.Failed = err.Error()
		s.say.peerFailed(err, s.o.repeat-round-1)
		return nil
	}
	p.Runtime = firstOf(answer.Runtime, p.Runtime)
	run.Wall, run.Warm, run.Steps, run.Losses = answer.Wall, answer.Warm, answer.Steps, answer.Losses
	p.Runs = append(p.Runs, run)
	s.say.finished(answer.Wall)
	return nil
}

// watchPeer runs a peer's script beside a daemon that has no jobs and reads the
// device's sensors. Without one the peer is measured all the same.
func (s *sharing) watchPeer(ctx context.Context, peer peers.Peer, run *peerRun) (answer *peers.Answer, err error) {
	measure := func() {
		began := s.p.app.Now()
		if answer, err = s.runPeer(ctx, peer, s.o.peerTimeout); err == nil {
			err = s.checkAnswer(answer)
		}
		run.Whole = s.p.app.Now().Sub(began).Seconds()
	}
	watched := false
	unwatched := s.withDaemon(ctx, fmt.Sprintf("%d-%s", run.Round, peer.Name), s.device, armAuto,
		func(within context.Context, d *ownDaemon) error {
			watched = true
			if measure(); err == nil {
				run.deviceUse = s.sensorsOfPeer(within, d.client, answer)
			}
			return nil
		})
	if !watched && ctx.Err() == nil {
		measure()
		run.deviceUse = unknownUse(s.result.Device.Kind, fmt.Sprintf("the daemon that reads the sensors did not start: %v", unwatched))
	}
	return answer, err
}

// clockSlack is how far a script's two clocks may be apart.
const clockSlack = 100 * time.Millisecond

// sensorsOfPeer is what the sensors said while a script's clock ran.
func (s *sharing) sensorsOfPeer(ctx context.Context, c *api.Client, a *peers.Answer) deviceUse {
	if d := a.End - a.Begin; !(a.Begin > 0 && math.Abs(d-a.Wall) <= clockSlack.Seconds()) {
		return unknownUse(s.result.Device.Kind, "its answer does not say when it ran")
	}
	from := time.UnixMicro(int64(a.Begin * 1e6))
	return s.sensorsOf(ctx, c, window{from, from.Add(seconds(a.Wall))})
}

// checkAnswer refuses what no run can have come to.
func (s *sharing) checkAnswer(a *peers.Answer) error {
	switch {
	case a.Skip != "":
		return errors.New(a.Skip)
	case !(a.Wall > 0) || math.IsInf(a.Wall, 0):
		return fmt.Errorf("its answer has no time: wall_seconds is %g", a.Wall)
	case len(a.Losses) != len(s.load.drafts):
		return fmt.Errorf("its answer has %d losses for %s", len(a.Losses), counted(len(s.load.drafts), "model"))
	case a.Steps != s.peerSteps:
		return fmt.Errorf("it trained %d steps, not %d", a.Steps, s.peerSteps)
	}
	return nil
}

// peerGrace is how long a script's pipes may stay open after its end.
const peerGrace = 2 * time.Second

// runPeer runs a script and reads its answer, the last line that it writes.
// Its processes are a group, which ends with it.
func (s *sharing) runPeer(ctx context.Context, peer peers.Peer, limit time.Duration, more ...string) (*peers.Answer, error) {
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	device := "cpu"
	if n, ok := strings.CutPrefix(s.result.Device.ID, "gpu"); ok {
		device = "cuda:" + n
	}
	// #nosec G204 -- the interpreter is the user's, the script ours
	cmd := exec.CommandContext(within, s.python, append([]string{filepath.Join(s.peersDir, peer.Script), peer.Name,
		s.peersDir, device}, more...)...)
	var out, errs headTail
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	cmd.WaitDelay = peerGrace
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.python, err)
	}
	err := cmd.Wait()
	_ = kill() // what it left behind; nobody mostly
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case within.Err() != nil:
		return nil, fmt.Errorf("it had not ended after %s", limit)
	case err != nil:
		return nil, fmt.Errorf("%w: %s", err, firstOf(lastLine(errs.String()), "it said nothing"))
	}
	line := lastLine(out.String())
	var a peers.Answer
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		return nil, fmt.Errorf("its answer is no JSON: %s", firstOf(clipName(line), "there is none"))
	}
	return &a, nil
}

// headTail keeps the end of what is written to it.
type headTail struct{ b bytes.Buffer }

// tailKept is more than the line of ten thousand losses.
const tailKept = 1 << 20

func (t *headTail) Write(b []byte) (int, error) {
	t.b.Write(b) // never fails
	if extra := t.b.Len() - tailKept; extra > 0 {
		_, _ = io.CopyN(io.Discard, &t.b, int64(extra)) // it has so many
	}
	return len(b), nil
}

func (t *headTail) String() string { return t.b.String() }

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return strings.TrimSpace(s[strings.LastIndexByte(s, '\n')+1:])
}

// sumUpPeers fills in what follows from the peers' runs. The arms are summed
// up already.
func (r *shareResult) sumUpPeers() {
	find := func(name string) *shareArm {
		for i := range r.Arms {
			if r.Arms[i].Arm == name {
				return &r.Arms[i]
			}
		}
		return nil
	}
	best := find(armAuto)
	if best == nil {
		best = &r.Arms[len(r.Arms)-1]
	}
	baseline := find(r.Baseline)
	samples := int64(0)
	for i := range r.Jobs {
		samples += r.Jobs[i].Samples
	}
	for i := range r.Peers {
		p := &r.Peers[i]
		if len(p.Runs) == 0 {
			continue
		}
		of := func(f func(peerRun) float64) *spread {
			values := make([]float64, len(p.Runs))
			for i := range p.Runs {
				values[i] = f(p.Runs[i])
			}
			s := spreadOf(values)
			return &s
		}
		p.Wall = of(func(run peerRun) float64 { return run.Wall })
		p.StepsPerS = of(func(run peerRun) float64 { return float64(run.Steps) / run.Wall })
		p.SamplesPerS = of(func(run peerRun) float64 { return float64(samples) / run.Wall })
		p.Speedup = of(func(run peerRun) float64 { return wallOf(baseline, run.Round) / run.Wall })
		p.FasterArm = best.Arm
		p.FasterBy = of(func(run peerRun) float64 { return run.Wall / wallOf(best, run.Round) })
		p.armUse = sumUses(len(p.Runs), func(i int) *deviceUse { return &p.Runs[i].deviceUse })
		p.compareLosses(baseline.Runs[0].models)
	}
}

// wallOf is an arm's time in a round.
func wallOf(a *shareArm, round int) float64 {
	for i := range a.Runs {
		if a.Runs[i].Round == round {
			return a.Runs[i].Wall
		}
	}
	return math.NaN() // every arm runs in every round
}

// compareLosses counts the models whose losses are apart, in the worst round.
func (p *sharePeer) compareLosses(ours []modelRun) {
	var ratios []float64
	worst, compared := 0, false
	for _, run := range p.Runs {
		apart := 0
		for i, loss := range run.Losses {
			switch {
			case ours[i].valLoss == nil:
				continue
			case loss == nil:
				apart++
			default:
				if !lossesAgree(*loss, *ours[i].valLoss) {
					apart++
				}
				if ratio := *loss / *ours[i].valLoss; !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
					ratios = append(ratios, ratio)
				}
			}
			compared = true
		}
		worst = max(worst, apart)
	}
	if compared {
		p.LossesApart = &worst
	}
	if len(ratios) > 0 {
		s := spreadOf(ratios)
		p.LossRatio = &s
	}
}

// lossesAgree reports whether two final losses are within the band.
func lossesAgree(a, b float64) bool {
	return !math.IsInf(a, 0) && math.Abs(a-b) <= max(lossBand*max(math.Abs(a), math.Abs(b)), lossLeast)
}
