package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"weft/daemon/api"
)

// smallDisk mounts a file system of its own size on dir.
func smallDisk(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatalf("make %s: %v", dir, err)
	}
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size)
	if errors.Is(err, unix.EPERM) {
		t.Skip("mounting a small file system needs root")
	}
	if err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// fill uses a disk up, and returns how to give the room back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatalf("fill disk: %v", err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatalf("free disk: %v", err)
		}
	}
}

const diskSpec = `{"name": "disk", "data": {"source": "digits"}, "model": [{"linear": 512}, "relu", {"linear": 10}],
	"epochs": %d, "checkpoint": {"every": "20ms"}}`

// A full disk makes checkpoints fail with words; the job goes on, and
// checkpoints come back with the room.
func TestDiskFullWhileCheckpointing(t *testing.T) {
	dir := t.TempDir()
	jobs := filepath.Join(dir, "jobs")
	smallDisk(t, jobs, "2m")
	s := serve(t, dir)
	defer s.stop()
	id := s.submit(train(fmt.Sprintf(diskSpec, 1_000_000)))[0]
	s.until(id, "a checkpoint", func(j api.JobDetail) bool { return hasEvent(j, "checkpoint") })

	free := fill(t, jobs)
	failed := s.until(id, "a checkpoint that fails", func(j api.JobDetail) bool {
		return strings.Contains(messages(j), "checkpoint not written")
	})
	if failed.State != api.Running || !strings.Contains(messages(failed), "the disk is full") {
		t.Errorf("job %s, history %s", failed.State, messages(failed))
	}
	step := failed.Progress.Step
	s.until(id, "progress without checkpoints", func(j api.JobDetail) bool { return j.Progress.Step > step+1000 })
	free()
	if _, err := s.client.Do(t.Context(), id, "pause"); err != nil {
		t.Fatalf("pause: %v", err)
	}
	s.until(id, "its pause", func(j api.JobDetail) bool { return j.State == api.Paused })
	if _, err := os.Stat(filepath.Join(jobs, fmt.Sprint(id), "checkpoint.safetensors")); err != nil {
		t.Errorf("no checkpoint after the disk had room again: %v", err)
	}
}

// A model that cannot be written fails its job with words, and a retry after
// there is room succeeds.
func TestDiskFullAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	jobs := filepath.Join(dir, "jobs")
	smallDisk(t, jobs, "2m")
	s := serve(t, dir)
	defer s.stop()
	free := fill(t, jobs)
	id := s.submit(train(fmt.Sprintf(diskSpec, 3)))[0]
	job := s.ended(id)
	if job.State != api.Failed || job.Error == nil || job.Error.Code != api.CodeDisk ||
		!strings.Contains(job.Error.Message, "the disk is full") || job.Error.Hint == "" {
		t.Fatalf("job %s: %+v", job.State, job.Error)
	}
	free()
	if _, err := s.client.Do(t.Context(), id, "retry"); err != nil {
		t.Fatalf("retry: %v", err)
	}
	s.succeeded(id)
}

// When the store itself has no room, submissions are refused with words, and
// the daemon is well again with the room.
func TestDiskFullOfTheStore(t *testing.T) {
	dir := t.TempDir()
	smallDisk(t, dir, "16m")
	s := serve(t, dir)
	defer s.stop()
	free := fill(t, dir)
	var refused error
	for range 2000 { // the journal may have room for some
		if _, refused = s.client.Submit(t.Context(), queued(10), ""); refused != nil {
			break
		}
	}
	if e := api.AsError(refused); e == nil || e.Code != api.CodeDisk || e.Hint == "" {
		t.Fatalf("refused with %#v", refused)
	}
	free()
	s.succeeded(s.submit(train(fmt.Sprintf(diskSpec, 1)))[0])
}

func messages(j api.JobDetail) string {
	var all []string
	for _, e := range j.Events {
		all = append(all, e.Message)
	}
	return strings.Join(all, "\n")
}
