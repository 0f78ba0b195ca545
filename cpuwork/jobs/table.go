package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"

	"weft/cpuwork"
	"weft/cpuwork/batch"
	"weft/cpuwork/fetch"
	"weft/cpuwork/files"
	"weft/cpuwork/jpeg"
	"weft/cpuwork/primes"
	"weft/cpuwork/sha256"
)

// kinds are the workloads by name, with the pool that suits each: docs/parallelism.md
// says why, and has the measurements.
var kinds = map[string]kind{
	"sha256": {parse: parseSHA256, works: []cpuwork.Work{sha256.Work, sha256.Blob}},
	"jpeg":   {parse: parseJPEG, works: []cpuwork.Work{jpeg.Work}},
	"fetch":  {parse: parseFetch, works: []cpuwork.Work{fetch.Work}},
	"primes": {parse: parsePrimes, works: []cpuwork.Work{primes.Work}},
}

func parseSHA256(js json.RawMessage) (task, error) {
	var s sha256.Spec
	if err := Strict(js, &s); err != nil {
		return task{}, err
	}
	if err := s.Check(); err != nil {
		return task{}, withTry(err)
	}
	counted := s
	counted.Output = "" // nothing is written by who only counts
	return task{
		spec: s, name: nameOf("sha256", &s.Files), open: func() (batch.Load, error) { return sha256.New(s) },
		list: func() (batch.Load, error) { return sha256.New(counted) }, freeze: freezing(&s.Files),
		lists: listsOf(&s.Files, s.Verify), pool: cpuwork.Goroutine, perItem: 4 << 20,
	}, nil
}

// jpegTask is jpeg's own specification with files as all kinds name them.
type jpegTask struct {
	jpeg.Options
	Files  files.Spec `json:"files"`
	Output string     `json:"output,omitempty"` // a directory
}

func parseJPEG(js json.RawMessage) (task, error) {
	var t jpegTask
	if err := Strict(js, &t); err != nil {
		return task{}, err
	}
	if err := t.Files.Check(); err != nil {
		return task{}, withTry(err)
	}
	s := jpeg.Spec{Options: t.Options, Output: t.Output, Files: &t.Files}
	if err := s.Check(); err != nil {
		return task{}, withTry(err)
	}
	t.Options = s.Options
	open := func() (batch.Load, error) { return jpeg.New(s) }
	return task{
		spec: t, name: nameOf("jpeg", &t.Files), open: open, list: open, freeze: freezing(&t.Files), lists: listsOf(&t.Files, false),
		// A C library that reads what strangers wrote belongs into a process of its own.
		pool: cpuwork.Process, perItem: 256 << 20,
	}, nil
}

func parseFetch(js json.RawMessage) (task, error) {
	var s fetch.Spec
	if err := Strict(js, &s); err != nil {
		return task{}, err
	}
	if err := s.Check(); err != nil {
		if e, ok := errors.AsType[*fetch.SpecError](err); ok {
			return task{}, &SpecError{"/" + e.Field, e.Message, e.Hint}
		}
		return task{}, err
	}
	name := "fetch"
	if len(s.Lists) > 0 {
		name += " " + filepath.Base(s.Lists[0])
	}
	return task{
		spec: s, name: name, open: func() (batch.Load, error) { return fetch.New(s) }, freeze: freezingLists(s.Lists),
		lists: listsAt("/lists", s.Lists), spread: func(processes int) { s.Processes = processes },
		pool: cpuwork.Event, workers: s.Concurrency, retries: 4, perItem: 256 << 10,
	}, nil
}

func parsePrimes(js json.RawMessage) (task, error) {
	var s primes.Spec
	if err := Strict(js, &s); err != nil {
		return task{}, err
	}
	if err := s.Check(); err != nil {
		return task{}, withTry(err)
	}
	name := "primes"
	var lists []list
	var freeze func(context.Context, string) error
	if s.Files != nil {
		name, freeze, lists = nameOf("primes", s.Files), freezing(s.Files), listsOf(s.Files, true)
	}
	if len(s.Numbers) > 0 {
		name = "primes " + s.Numbers[0]
	}
	open := func() (batch.Load, error) { return primes.New(s) }
	t := task{spec: s, name: name, open: open, list: open, freeze: freeze, lists: lists,
		pool: cpuwork.Goroutine, perItem: 1 << 20}
	if s.First {
		t.stop, t.answers = cpuwork.StopOnSuccess, notPrime
	}
	return t, nil
}

// nameOf names a job after the first of its files.
func nameOf(kind string, f *files.Spec) string {
	for _, names := range [][]files.Name{f.Paths, f.Globs, f.Lists} {
		if len(names) > 0 {
			return kind + " " + strings.ToValidUTF8(filepath.Base(string(names[0])), "?")
		}
	}
	return kind
}

// withTry divides an error's text from what it says to try.
func withTry(err error) error {
	if message, hint, found := strings.Cut(err.Error(), "\ntry: "); found {
		return &SpecError{"", message, hint}
	}
	return err
}
