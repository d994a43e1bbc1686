package locks_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/locks"
	"github.com/nomadish/nomadish/server/state"
)

// world is a log that goes straight to the state machine, in a bubble of testing/synctest.
type world struct {
	t     testing.TB
	store *state.Store

	mu      sync.Mutex
	machine *fsm.FSM
	index   uint64
	refuse  error // what the log answers instead of taking a command
}

func newWorld(t testing.TB) *world {
	store := state.New()
	return &world{t: t, store: store, machine: fsm.New(store, fsm.Config{})}
}

// Propose implements locks.Proposer.
func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return 0, nil, w.refuse
	}
	entry, err := fsm.Encode(c, "", time.Now())
	if err != nil {
		return 0, nil, err
	}
	w.index++
	result := w.machine.Apply(&raft.Log{Index: w.index, Type: raft.LogCommand, Data: entry}).(fsm.Result)
	return result.Index, result.Value, result.Err
}

func (w *world) setRefuse(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = err
}

func (w *world) do(c fsm.Command) *fsm.VariableResult {
	w.t.Helper()
	_, answer, err := w.Propose(w.t.Context(), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.(*fsm.VariableResult)
}

// acquire takes the lock of a variable and returns it; nil: somebody else has it.
func (w *world) acquire(path, id string) *nomadish.SealedVariable {
	w.t.Helper()
	lock := &nomadish.VariableLock{ID: id, TTL: "10s", LockDelay: "20s"}
	done := w.do(&fsm.AcquireLock{Namespace: "default", Path: path, Lock: lock})
	if done.Refused != fsm.NotRefused {
		return nil
	}
	return done.Variable
}

func (w *world) release(path, id string) bool {
	w.t.Helper()
	return w.do(&fsm.ReleaseLock{Namespace: "default", Path: path, LockID: id}).Refused == fsm.NotRefused
}

// holder is the ID of a variable's lock, "lost" while its delay runs, or "".
func (w *world) holder(path string) string {
	v, err := w.store.Reader().Variable(nil, "default", path)
	switch {
	case err != nil:
		return err.Error()
	case v.Lock != nil:
		return v.Lock.ID
	case v.Lost != nil:
		return "lost"
	}
	return ""
}

// lead runs timers as a leader does, until the function that it returns is called.
func (w *world) lead(timers *locks.Timers) (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- timers.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) timers() *locks.Timers { return locks.New(locks.Config{Batch: 3}, w.store, w) }
