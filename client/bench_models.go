package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"

	"golang.org/x/sync/errgroup"

	"weft/bench/load"
	"weft/daemon/api"
)

// modelReaders is how many models are read at once, after the clock.
const modelReaders = 4

// collect reads every model's file.
func (s *sharing) collect(ctx context.Context, c *api.Client, ids []int64, run *shareRun) error {
	shapes := run.Arm == s.o.baseline && run.Round == 1
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(modelReaders)
	for i, id := range ids {
		group.Go(func() error {
			body, size, err := c.Model(ctx, id)
			if err != nil {
				return err
			}
			defer body.Close()
			h := sha256.New()
			var header headCapture
			if err := copyBody(io.MultiWriter(h, &header), body, size); err != nil {
				return err
			}
			run.models[i].sha256 = [sha256.Size]byte(h.Sum(nil))
			if shapes {
				s.tensors[i] = header.tensors()
			}
			return nil
		})
	}
	return group.Wait()
}

// headCapture keeps the head of a safetensors file that is written to it: eight
// bytes of length, little-endian, and so many of JSON.
type headCapture struct{ head []byte }

// maxHead bounds what is kept; heads of models are a few kilobytes.
const maxHead = 1 << 20

func (h *headCapture) Write(b []byte) (int, error) {
	h.head = append(h.head, b[:min(len(b), maxHead-len(h.head))]...)
	return len(b), nil
}

// tensors are the shapes in the head; none where it cannot be read.
func (h *headCapture) tensors() load.Tensors {
	if len(h.head) < 8 {
		return nil
	}
	n := binary.LittleEndian.Uint64(h.head)
	if n > uint64(len(h.head)-8) {
		return nil
	}
	var entries map[string]json.RawMessage
	if json.Unmarshal(h.head[8:8+n], &entries) != nil {
		return nil
	}
	out := load.Tensors{}
	for name, entry := range entries {
		var t struct {
			Shape []int `json:"shape"`
		}
		if name != "__metadata__" && json.Unmarshal(entry, &t) == nil {
			out[name] = t.Shape
		}
	}
	return out
}
