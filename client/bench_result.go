package client

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// shareFormat is the version of share's JSON: fields may be added within one.
const shareFormat = 1

// shareResult is share's JSON, and what its table is made of. Times are in
// seconds.
type shareResult struct {
	Benchmark   string       `json:"benchmark"`
	Format      int          `json:"format"`
	Date        time.Time    `json:"date"`
	Weft        shareVersion `json:"weft"`
	Machine     machine      `json:"machine"`
	Device      shareDevice  `json:"device"`
	Load        shareAbout   `json:"load"`
	Rounds      int          `json:"rounds"`
	OrderSeed   uint64       `json:"order_seed"`
	Baseline    string       `json:"baseline"`
	Equal       bool         `json:"models_equal"` // all of them, byte for byte, in every run
	Arms        []shareArm   `json:"arms"`
	Peers       []sharePeer  `json:"peers,omitempty"` // without --peers there are none
	Floor       shareFloor   `json:"floor"`
	Jobs        []shareJob   `json:"jobs"`
	Differences []difference `json:"differences"` // at most maxDifferences
	Differing   int          `json:"differing"`   // how many there are
}

type shareVersion struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

type shareDevice struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
	Lanes int    `json:"lanes"`
}

type shareAbout struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	Models int    `json:"models"`
	Quick  bool   `json:"quick"` // shortened: not for comparison
}

// shareArm is what the runs of one arm came to.
type shareArm struct {
	Arm           string   `json:"arm"`
	About         string   `json:"about"`
	Wall          spread   `json:"wall_seconds"`
	Client        spread   `json:"client_wall_seconds"`
	StepsPerS     spread   `json:"steps_per_second"` // of all models together
	SamplesPerS   spread   `json:"samples_per_second"`
	Speedup       *spread  `json:"speedup"` // against the baseline, round by round; null: it is the baseline
	DeviceSeconds spread   `json:"device_seconds"`
	TimesFloor    *float64 `json:"times_floor"` // median wall over the floor's operations_seconds; null: not known
	armUse
	Runs []shareRun `json:"runs"` // by round
}

// shareRun is one arm in one round.
type shareRun struct {
	Round         int       `json:"round"` // from 1
	Place         int       `json:"place"` // in the round, from 1
	Arm           string    `json:"arm"`
	ReleasedAt    time.Time `json:"released_at"`  // the clock's start, by the daemon
	Wall          float64   `json:"wall_seconds"` // from then to the last end, by the daemon's timestamps
	Client        float64   `json:"client_wall_seconds"`
	ReadySeconds  float64   `json:"ready_seconds"`       // from the daemon's start to the end of the warm-up, not in the clock
	FirstStart    float64   `json:"first_start_seconds"` // after the release
	JobSeconds    spread    `json:"job_seconds"`         // from a model's start to its end
	DeviceSeconds float64   `json:"device_seconds"`      // summed over the models
	Steps         int64     `json:"steps"`
	Samples       int64     `json:"samples"`
	Differing     int       `json:"differing_models"` // from the baseline's first run
	deviceUse

	models []modelRun // by job
}

// modelRun is one model's end in one run.
type modelRun struct {
	sha256  [32]byte
	steps   int64
	samples int64
	metric  string
	value   float64
	valLoss *float64 // nil: not validated
}

// shareJob is one model of the load, as the baseline's first run had it.
type shareJob struct {
	Name       string          `json:"name"`
	Parameters int64           `json:"parameters"`
	Steps      int64           `json:"steps"`
	Samples    int64           `json:"samples"`
	Metric     string          `json:"metric"` // the most telling it has
	Value      float64         `json:"value"`
	ValLoss    *float64        `json:"val_loss"`
	SHA256     string          `json:"sha256"` // of its model file
	Equal      bool            `json:"equal"`  // in every run
	Spec       json.RawMessage `json:"spec"`
}

// difference is a model that is not the same as in the baseline's first run.
type difference struct {
	Job       int    `json:"job"` // place in jobs, from 0
	Name      string `json:"name"`
	Arm       string `json:"arm"`
	Round     int    `json:"round"`
	SHA256    string `json:"sha256"`
	Reference string `json:"reference_sha256"`
}

// maxDifferences is how many are told one by one.
const maxDifferences = 1000

// sumUp fills in what follows from the runs: arms, jobs and differences. Jobs
// have their names, parameters and specifications already, and the baseline
// ran.
func (r *shareResult) sumUp(arms []string, runs []shareRun) {
	byArm := map[string][]shareRun{}
	for _, run := range runs {
		byArm[run.Arm] = append(byArm[run.Arm], run)
	}
	r.compareModels(byArm[r.Baseline][0].models, byArm, arms)
	baseline := column(byArm[r.Baseline], func(s shareRun) float64 { return s.Wall })
	for _, name := range arms {
		of := byArm[name]
		wall := column(of, func(s shareRun) float64 { return s.Wall })
		a := shareArm{Arm: name, About: armAbout[name], Runs: of, Wall: spreadOf(wall),
			Client:        spreadOf(column(of, func(s shareRun) float64 { return s.Client })),
			StepsPerS:     spreadOf(column(of, func(s shareRun) float64 { return float64(s.Steps) / s.Wall })),
			SamplesPerS:   spreadOf(column(of, func(s shareRun) float64 { return float64(s.Samples) / s.Wall })),
			DeviceSeconds: spreadOf(column(of, func(s shareRun) float64 { return s.DeviceSeconds }))}
		a.armUse = sumUses(len(of), func(i int) *deviceUse { return &of[i].deviceUse })
		if name != r.Baseline {
			ratio := spreadOf(speedups(baseline, wall))
			a.Speedup = &ratio
		}
		if f := r.Floor.OperationsSeconds; f != nil && *f > 0 {
			times := a.Wall.Median / *f
			a.TimesFloor = &times
		}
		r.Arms = append(r.Arms, a)
	}
}

// compareModels compares every run's models with the baseline's first run's.
func (r *shareResult) compareModels(reference []modelRun, byArm map[string][]shareRun, arms []string) {
	r.Differences = []difference{}
	for i := range r.Jobs {
		ref := reference[i]
		j := &r.Jobs[i]
		j.SHA256, j.Steps, j.Samples = hex.EncodeToString(ref.sha256[:]), ref.steps, ref.samples
		j.Metric, j.Value, j.ValLoss, j.Equal = ref.metric, ref.value, ref.valLoss, true
		for _, arm := range arms {
			for k := range byArm[arm] {
				run := &byArm[arm][k]
				if run.models[i].sha256 == ref.sha256 {
					continue
				}
				j.Equal = false
				run.Differing++
				r.Differing++
				if len(r.Differences) < maxDifferences {
					r.Differences = append(r.Differences, difference{Job: i, Name: j.Name, Arm: arm,
						Round: run.Round, SHA256: hex.EncodeToString(run.models[i].sha256[:]), Reference: j.SHA256})
				}
			}
		}
	}
	r.Equal = !slices.ContainsFunc(r.Jobs, func(j shareJob) bool { return !j.Equal })
}

func column(runs []shareRun, f func(shareRun) float64) []float64 {
	out := make([]float64, len(runs))
	for i := range runs {
		out[i] = f(runs[i])
	}
	return out
}
