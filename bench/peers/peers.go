// Package peers holds the programs that weft bench share measures weft against,
// PyTorch and JAX doing the same work, and prepares that work for them.
//
// [Prepare] writes what the models of a load train on: the rows as weft cuts
// and standardizes them, the order in which weft visits them in every epoch,
// and the parameters that weft starts from. So a peer trains the same models on
// the same batches from the same numbers, and only its arithmetic's rounding
// differs. [WriteScripts] puts the scripts beside it.
//
// A script is run as
//
//	python3 SCRIPT PEER FOLDER DEVICE [--probe]
//
// with cpu or cuda:N for DEVICE, and answers one line of JSON, an [Answer]. The
// package imports gpu/train; the scripts import nothing of weft.
package peers

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
)

//go:embed share_load.py torch_peer.py jax_peer.py
var scripts embed.FS

// Peer is one way to train a load without weft.
type Peer struct {
	Name   string // torch-eager
	About  string // in a line
	Script string
	GPU    bool // needs one
	Same   bool // needs models that differ by numbers only
}

// All are the peers, from the plainest on.
var All = []Peer{
	{Name: "torch-eager", About: "PyTorch, one model after the other", Script: "torch_peer.py"},
	{Name: "torch-graphs", About: "PyTorch with CUDA graphs, one model after the other", Script: "torch_peer.py", GPU: true},
	{Name: "torch-vmap", About: "PyTorch, all models at once by torch.func.vmap", Script: "torch_peer.py", Same: true},
	{Name: "jax-vmap", About: "JAX, all models at once by vmap, epochs by lax.scan", Script: "jax_peer.py", Same: true},
	{Name: "torch-processes", About: "PyTorch, processes side by side", Script: "torch_peer.py"},
	{Name: "torch-mps", About: "PyTorch, processes side by side under MPS", Script: "torch_peer.py", GPU: true},
}

// Names lists the peers' names.
func Names() []string {
	names := make([]string, len(All))
	for i := range All {
		names[i] = All[i].Name
	}
	return names
}

// Find returns the peer of a name.
func Find(name string) (Peer, bool) {
	for _, p := range All {
		if p.Name == name {
			return p, true
		}
	}
	return Peer{}, false
}

// Answer is what a script says: of a probe Runtime or Skip, of a run the rest.
type Answer struct {
	Skip    string     `json:"skip"`    // why it cannot run here; "": it can
	Runtime string     `json:"runtime"` // torch 2.9.0, 1 thread
	Wall    float64    `json:"wall_seconds"`
	Begin   float64    `json:"begin_unix"` // when Wall began, in seconds since 1970; 0: not told
	End     float64    `json:"end_unix"`
	Warm    float64    `json:"warm_seconds"` // before the clock, without imports
	Steps   int64      `json:"steps"`        // of all models
	Losses  []*float64 `json:"val_loss"`     // of each model after its last step; null: none or not a number
}

// WriteScripts writes the scripts into a folder.
func WriteScripts(dir string) error {
	entries, err := scripts.ReadDir(".")
	if err != nil {
		return fmt.Errorf("read scripts: %w", err)
	}
	for _, e := range entries {
		b, err := scripts.ReadFile(e.Name())
		if err != nil {
			return fmt.Errorf("read script: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), b, 0o600); err != nil {
			return fmt.Errorf("write script: %w", err)
		}
	}
	return nil
}
