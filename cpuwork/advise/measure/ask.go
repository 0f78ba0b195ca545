package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"weft/cpuwork/proc"
)

// endTime is how long the process has to end when it has answered.
const endTime = 5 * time.Second

// Ask starts `weft worker advise` from the program, puts the request to it, and
// ends it. An error that says what the asker did wrong is a [*jobs.Fault]. When
// ctx ends the process is killed.
func Ask(ctx context.Context, program string, r Request, log *slog.Logger) (*Answer, error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	answers, died := make(chan *Answer, 1), make(chan error, 1)
	sup := proc.New(proc.Config{
		Name: "worker advise", Path: program, Args: []string{"worker", workerKind}, Backoff: &backoff.StopBackOff{}, Log: log,
		OnFrame: func(f proc.Frame) {
			defer f.Close()
			a := &Answer{}
			if err := json.Unmarshal(f.Payload, a); err != nil || f.Kind != kindAnswer {
				a = nil
			}
			select {
			case answers <- a:
			default: // it was asked once
			}
		},
		OnDown: func(e proc.Exit) {
			select {
			case died <- &e:
			default:
			}
		},
	})
	if err := sup.Start(ctx); err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		_ = sup.Stop(ctx) // otherwise it is killed, and that is as good
	}()
	if err := sup.Send(kindAsk, raw); err != nil {
		return nil, fmt.Errorf("measure: %w", err)
	}
	select {
	case a := <-answers:
		switch {
		case a == nil:
			return nil, errors.New("measure: the answer is unintelligible")
		case a.Fault != nil:
			return nil, a.Fault
		}
		return a, nil
	case err := <-died:
		return nil, fmt.Errorf("measure: an item took the process down: %w", err)
	case <-ctx.Done():
		sup.Kill()
		return nil, context.Cause(ctx)
	}
}
