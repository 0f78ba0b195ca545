package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weft/daemon/api"
)

// Edit makes edits in order, as [Store.Apply] makes changes. Labels can be
// edited in every state, the priority until the job has ended, and Held while
// it is queued or paused. An edit that asks for what is so already is no event.
func (s *Store) Edit(ctx context.Context, edits []Edit) (
	recs []Record, events []api.Event, errs []error, err error,
) {
	return s.each(ctx, "edit jobs", len(edits), func(t *tx, i int) (*row, *api.Event, error, error) {
		return t.edit(&edits[i])
	})
}

func (t *tx) edit(e *Edit) (r *row, ev *api.Event, refused, err error) {
	r, err = t.job(e.ID)
	if err != nil {
		return nil, nil, nil, err
	}
	if r == nil {
		return nil, nil, notFound(e.ID), nil
	}
	if refused := r.refuseEdit(e); refused != nil {
		return r, nil, refused, nil
	}
	kind, message := r.edit(e)
	if kind == "" {
		return r, nil, nil, nil
	}
	if err := t.save(r); err != nil {
		return nil, nil, nil, err
	}
	event, err := t.event(&r.Record, e.At, kind, message, nil)
	return r, &event, nil, err
}

func (r *row) refuseEdit(e *Edit) error {
	if e.Held != nil && *e.Held != r.Held && r.State != api.Queued && r.State != api.Paused {
		verb, hint := "hold", "only a queued job can be held; weft pause stops a running one"
		if !*e.Held {
			verb, hint = "release", "only a queued job can be released"
		}
		return &api.Error{Code: api.CodeWrongState, Message: fmt.Sprintf("cannot %s a job that is %s", verb, r.State),
			Hint: hint}
	}
	if e.Priority != nil && *e.Priority != r.Priority && r.State.Final() {
		return &api.Error{Code: api.CodeWrongState,
			Message: fmt.Sprintf("cannot change the priority of a job that is %s", r.State),
			Hint:    "the job has ended; weft retry starts it again"}
	}
	return nil
}

// edit changes the row and says which event tells of it: held or released
// when that is all, else changed; "" when nothing changed.
func (r *row) edit(e *Edit) (kind, message string) {
	var words []string
	if e.Priority != nil && *e.Priority != r.Priority {
		r.Priority = *e.Priority
		words = append(words, fmt.Sprintf("priority %d", r.Priority))
	}
	if e.Labels != nil && !maps.Equal(e.Labels, r.Labels) {
		r.Labels = maps.Clone(e.Labels)
		words = append(words, "labels "+labelWords(r.Labels))
	}
	if e.Held == nil || *e.Held == r.Held {
		if words == nil {
			return "", ""
		}
		return "changed", strings.Join(words, ", ")
	}
	r.Held = *e.Held
	if kind = "released"; r.Held {
		kind = "held"
	}
	return kind, strings.Join(words, ", ")
}

func labelWords(labels map[string]string) string {
	if len(labels) == 0 {
		return "none"
	}
	words := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+"="+labels[name])
	}
	return strings.Join(words, " ")
}
