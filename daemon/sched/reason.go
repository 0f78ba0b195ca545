package sched

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// Reason is why a job waits. It is small and becomes words only in String,
// for most are never looked at.
type Reason struct {
	kind   reasonKind
	a, b   int64
	device string
}

type reasonKind uint8

// The kinds; the obstacles on a device, from slotsShort to companyBarred, go
// from the one that ends soonest to the one that ends last.
const (
	_             reasonKind = iota
	held                     //
	afterJob                 // a: the first job it waits for, b: how many others
	notBefore                // a: unix nanoseconds
	draining                 //
	noDevice                 // device: what it asks for
	notReady                 // device: what it asks for
	tooLarge                 // a: needs, b: memory of device, the largest
	leaving                  // device: where jobs are stopping for it
	slotsShort               // a: slots of device
	memoryShort              // a: needs, b: free on device
	memoryTaken              // a: what other processes hold of device's memory
	keptFree                 // a: the job that device is kept for
	companyWanted            // the job must have device for itself
	companyBarred            // another job must have device for itself
	behindHigher             // a: jobs of higher priority
	behind                   // a: jobs
)

// String says it in a few words, without a period.
func (r Reason) String() string {
	switch r.kind {
	case held:
		return "held"
	case afterJob:
		if r.b > 0 {
			return fmt.Sprintf("after job %d and %s", r.a, count(r.b, "other"))
		}
		return fmt.Sprintf("after job %d", r.a)
	case notBefore:
		return "not before " + time.Unix(0, r.a).UTC().Format(time.RFC3339)
	case draining:
		return "daemon is draining"
	case noDevice:
		return "there is no " + wish(r.device)
	case notReady:
		if r.device == "" || r.device == "auto" {
			return "no worker is ready"
		}
		return "no worker for " + wish(r.device) + " is ready"
	case tooLarge:
		return fmt.Sprintf("needs %s, %s has %s in all", size(r.a), r.device, size(r.b))
	case leaving:
		return "a job is leaving " + r.device + " for it"
	case memoryShort:
		return fmt.Sprintf("needs %s, %s free on %s", size(r.a), size(r.b), r.device)
	case memoryTaken:
		return fmt.Sprintf("waits for memory on %s: another process holds %s", r.device, size(r.a))
	case slotsShort:
		return fmt.Sprintf("%s of %s in use", count(r.a, "slot"), r.device)
	case keptFree:
		return fmt.Sprintf("%s is kept free for job %d", r.device, r.a)
	case companyWanted:
		return "waits to have " + r.device + " for itself"
	case companyBarred:
		return "another job needs " + r.device + " for itself"
	case behindHigher:
		return "behind " + count(r.a, "job") + " of higher priority"
	case behind:
		return "behind " + count(r.a, "job")
	}
	return ""
}

// Classes are the values of [Reason.Class].
var Classes = []string{"held", "dependency", "not_before", "draining", "no_device", "no_worker", "too_large",
	"leaving", "slots", "memory", "memory_taken", "kept_free", "company", "behind"}

// classOf is what a kind counts as.
var classOf = [...]string{held: "held", afterJob: "dependency", notBefore: "not_before", draining: "draining",
	noDevice: "no_device", notReady: "no_worker", tooLarge: "too_large", leaving: "leaving", slotsShort: "slots",
	memoryShort: "memory", memoryTaken: "memory_taken", keptFree: "kept_free", companyWanted: "company",
	companyBarred: "company", behindHigher: "behind", behind: "behind"}

// Class is what a job waits for in one word, one of Classes, for counting.
func (r Reason) Class() string { return classOf[r.kind] }

// WaitsForWorker reports whether the job waits for a device that is not ready,
// and which it asks for.
func (r Reason) WaitsForWorker() (want string, waits bool) { return r.device, r.kind == notReady }

// wish is what a job asks for, in words.
func wish(want string) string {
	if want == "" || want == "auto" {
		return "device"
	}
	return strings.Replace(want, ":", "", 1)
}

func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
