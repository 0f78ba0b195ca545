package fetch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"weak"

	"weft/cpuwork"
)

// Work fetches one item: "URL<TAB>NAME", the name relative to [Spec].To, to an
// [Answer] in JSON.
var Work = cpuwork.Work{Name: "fetch", New: newFunc}

// engines are those in use, by their parameters: all workers of a job that are
// in one process have one. It is forgotten when the last of them is gone.
var engines = struct {
	sync.Mutex
	known map[string]weak.Pointer[engine]
}{known: map[string]weak.Pointer[engine]{}}

// shared returns the engine for parameters.
func shared(data []byte) (*engine, error) {
	key := string(data)
	engines.Lock()
	defer engines.Unlock()
	if e := engines.known[key].Value(); e != nil {
		return e, nil
	}
	p, err := decodeParams(data)
	if err != nil {
		return nil, err
	}
	e, err := newEngine(p)
	if err != nil {
		return nil, err
	}
	mine := weak.Make(e)
	engines.known[key] = mine
	runtime.AddCleanup(e, func(t *http.Transport) {
		t.CloseIdleConnections()
		engines.Lock()
		defer engines.Unlock()
		if engines.known[key] == mine {
			delete(engines.known, key)
		}
	}, e.transport)
	return e, nil
}

// running is the engine for parameters if there is one in this process.
func running(data []byte) *engine {
	engines.Lock()
	defer engines.Unlock()
	return engines.known[string(data)].Value()
}

func newFunc(data []byte) (cpuwork.Func, error) {
	e, err := shared(data)
	if err != nil {
		return nil, fmt.Errorf("make fetcher: %w", err)
	}
	return e.item, nil
}

// item is the engine's [cpuwork.Func].
func (e *engine) item(ctx context.Context, in, out []byte) ([]byte, error) {
	text, name, _ := strings.Cut(string(in), "\t")
	u, failed := parseURL(text)
	if failed == nil && e.dir != nil {
		failed = checkName(name)
	}
	if failed != nil {
		return out, failed
	}
	answer, failed := e.do(ctx, item{text: text, name: name, url: u})
	if failed != nil {
		if err := ctx.Err(); err != nil && failed.Code == CodeCancelled {
			return out, err
		}
		return out, failed
	}
	data, err := json.Marshal(answer)
	if err != nil {
		return out, fmt.Errorf("encode answer: %w", err)
	}
	return append(out, data...), nil
}
