# weft needs Go and gcc; the tests of the GPU's parts compile a driver simulator
# with g++ and are left out where it is missing. `make help` lists the targets.
GO      ?= go
TOOL    := $(GO) tool -modfile=.ci/tools.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s
BENCH_OUT ?= bench/out
# The GPU's parts need cgo and a header of our own, but neither CUDA's toolkit nor
# a driver: that is looked up when a worker process asks for it.
export CGO_ENABLED = 1
export CGO_CFLAGS = -O2 -g -Wno-deprecated-declarations -I$(CURDIR)/gpu/cuda/include
TAGS := -tags cuda

.DEFAULT_GOAL := help
.PHONY: help build demo test race lint fuzz bench generate gpu-check kernels kernels-check clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build ./weft: daemon, worker and client in one binary
	$(GO) build $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o weft .

demo: build ## train ten small models together on real data, live, then one after the other
	./weft demo

test: ## all tests, end to end included, on any machine; two minutes on 2 cores, most of them compiling
	$(GO) test $(TAGS) ./...

# A process with the detector in it sleeps for a second before it ends, so that other threads
# may still find a race; hundreds of processes end in these tests, and 50 ms are plenty.
race: export GORACE := atexit_sleep_ms=50 $(GORACE)
race: ## all tests under the race detector; RACEFLAGS=-short leaves out the longest
	$(GO) test $(TAGS) -race -timeout 20m $(RACEFLAGS) ./...

lint: ## gofmt, go vet, staticcheck, gosec
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "gofmt would change: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet $(TAGS) ./...
	$(TOOL) staticcheck $(TAGS) ./...
	@# G103: memory shared between processes is what cpuwork/proc is for. G104: an error thrown
	@# away is written as `_ =` with its reason. G304: reading the files that users name is the job.
	@# It cannot type-check cgo, so gpu/cuda is left to vet and staticcheck.
	$(TOOL) gosec -quiet -exclude=G103,G104,G304 -exclude-generated -exclude-dir=gpu/cuda $(TAGS) ./...

fuzz: ## run every fuzz target for FUZZTIME (30s) each
	.ci/fuzz $(FUZZTIME)

bench: build ## Go benchmarks, the load run and weft bench pools, into BENCH_OUT (bench/out)
	bench/run $(BENCH_OUT)

generate: ## write the generated assembly again
	$(GO) generate ./...

kernels: ## compile the CUDA kernels to PTX again, with clang++-19
	kernels/generate

gpu-check: ## build what checks weft on a GPU into build/gpu-check, and run it where there is one
	LDFLAGS='$(LDFLAGS)' bench/gpu-check

kernels-check: ## fail if the PTX that is checked in is not what the sources give
	kernels/generate --check

clean: ## remove what build and bench made
	rm -rf weft bench/out build
