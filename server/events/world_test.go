package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/state"
)

var start = time.Unix(1_700_000_000, 0)

// id is a UUID that starts with n.
func id(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

// world is a store with a node and a job "web", and a buffer that follows it.
type world struct {
	testing.TB
	store  *state.Store
	buffer *events.Buffer
	index  uint64
}

func newWorld(t testing.TB, cfg events.Config) *world {
	w := &world{TB: t, store: state.New()}
	w.buffer = events.New(cfg, w.store)
	w.write(func(w *state.Writer) error {
		if err := w.PutNode(&nomadish.Node{ID: id(1), Name: "node", SecretID: "hidden"}); err != nil {
			return err
		}
		_, _, err := w.PutJob(job("default", "web"))
		return err
	})
	return w
}

// run follows the store until the test ends, from its present state on.
func (w *world) run() *world {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.buffer.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.follow()
	return w
}

// follow returns once the buffer has seen what was written so far.
func (w *world) follow() {
	w.Helper()
	for deadline := time.Now().Add(time.Minute); w.buffer.Newest() < w.index; {
		if time.Now().After(deadline) {
			w.Fatalf("the buffer is at index %d, want %d", w.buffer.Newest(), w.index)
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *world) write(command func(*state.Writer) error) {
	w.Helper()
	w.index++
	txn := w.store.Begin()
	writer, err := txn.Writer(w.index, start.Add(time.Duration(w.index)*time.Second))
	if err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(command(writer), writer.Finish(), txn.Commit()); err != nil {
		w.Fatal(err)
	}
}

func job(namespace, id string) *nomadish.Job {
	return &nomadish.Job{
		Namespace: &namespace, ID: &id, Type: nomadish.Ptr("service"),
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("group"), Count: nomadish.Ptr(1)}},
	}
}

func alloc(n int) *nomadish.Allocation {
	return &nomadish.Allocation{
		ID: id(n), Namespace: "default", JobID: "web", TaskGroup: "group", Name: "web.group[0]", NodeID: id(1), EvalID: id(100),
		DesiredStatus: "run", AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{"task": {}}},
	}
}

func (w *world) place(n int) {
	w.Helper()
	w.write(func(w *state.Writer) error { return w.PlaceAllocation(alloc(n)) })
}

func (w *world) report(n int, status string) {
	w.Helper()
	w.write(func(w *state.Writer) error {
		return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(n), ClientStatus: status})
	})
}

// read returns the next n lines that are no heartbeats.
func (w *world) read(req *nomadish.EventRequest, n int) []*nomadish.Events {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	var out []*nomadish.Events
	enough := errors.New("enough")
	err := w.buffer.StreamEvents(ctx, req, func(line []byte) error {
		if len(out) < n {
			if e := w.decode(line); e != nil {
				out = append(out, e)
			}
		}
		if len(out) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		w.Fatalf("%d lines and then %v, want %d lines", len(out), err, n)
	}
	return out
}

// decode reads a line; nil is a heartbeat.
func (w *world) decode(line []byte) *nomadish.Events {
	w.Helper()
	if string(line) == "{}\n" {
		return nil
	}
	if !strings.HasSuffix(string(line), "}\n") || strings.Count(string(line), "\n") != 1 || !json.Valid(line) {
		w.Fatalf("line %q is no line of JSON", line)
	}
	e := &nomadish.Events{}
	if err := json.Unmarshal(line, e); err != nil {
		w.Fatal(err)
	}
	return e
}
