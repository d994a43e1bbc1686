// Package fsm holds the commands that change the cluster's state and applies them in the
// order of the raft log. It is the only holder of a state writer.
//
//	f := fsm.New(state.New(), fsm.Config{OnFatal: stop})
//	entry, err := fsm.Encode(&fsm.RegisterJob{Job: job, Eval: eval}, requestID, now)
//	// raft replicates entry, and gives it to f.Apply on every server
//
// Applying depends on nothing but the state and the entry: ids and times are chosen before
// the log, the log's time never goes back. A command that this program does not know, or
// that panics, stops the FSM for good: going on would let servers drift apart.
package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// HashInterval is how many log indexes lie between two state hashes that are compared.
const HashInterval = 1024

// ErrStopped says that the FSM met a fault and applies nothing any more.
var ErrStopped = errors.New("fsm: stopped")

// errUnsupported stops the FSM when a command returns it.
var errUnsupported = errors.New("this program is too old")

// Config configures an FSM.
type Config struct {
	Logger *slog.Logger // default: discard
	// OnFatal is told, once, why the FSM has stopped. The server has to end: what follows
	// in the log is not applied. Default: nothing.
	OnFatal func(err error)
	// OnHash is told the state hash at every index that HashInterval divides and that
	// holds a command. Default: nothing.
	OnHash func(index uint64, level uint32, hash state.Hash)
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.OnFatal == nil {
		c.OnFatal = func(error) {}
	}
	if c.OnHash == nil {
		c.OnHash = func(uint64, uint32, state.Hash) {}
	}
	return c
}

// FSM applies the log to a store. It implements raft.FSM and raft.BatchingFSM.
type FSM struct {
	cfg   Config
	store *state.Store
	fatal atomic.Pointer[error]

	mu   sync.Mutex // held while entries are applied, or the state is replaced
	held *held      // nil: entries are applied as they come
}

var _ raft.BatchingFSM = (*FSM)(nil)

// New returns an FSM that writes to store. Nobody else may write to it.
func New(store *state.Store, cfg Config) *FSM {
	return &FSM{cfg: cfg.withDefaults(), store: store}
}

// Store returns the store.
func (f *FSM) Store() *state.Store { return f.store }

// Err says why the FSM has stopped; nil while it works.
func (f *FSM) Err() error {
	if err := f.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

// Result is what Apply and ApplyBatch return for a command.
type Result struct {
	Index uint64 // at which the command was applied; the first time, for a repeated request
	Value any    // what the command's Apply returned
	Err   error  // why the command changed nothing
}

// Apply implements raft.FSM. It returns a Result.
func (f *FSM) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM. Each of what it returns is a Result, or nil for
// a log entry that holds no command.
func (f *FSM) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		return f.hold(logs)
	}
	return f.applyAll(logs)
}

// applyAll applies entries, and stops the FSM when it can't. It is for who has locked mu.
func (f *FSM) applyAll(logs []*raft.Log) []any {
	results, err := f.applyBatch(logs)
	if err == nil {
		return results
	}
	if f.fatal.CompareAndSwap(nil, &err) {
		f.cfg.Logger.Error("the state machine stops", "err", err)
		f.cfg.OnFatal(err)
	}
	results = make([]any, len(logs))
	for i, l := range logs {
		results[i] = Result{Index: l.Index, Err: err}
	}
	return results
}

// applyBatch applies all entries in one transaction, or none and returns why not.
func (f *FSM) applyBatch(logs []*raft.Log) ([]any, error) {
	if err := f.Err(); err != nil {
		return nil, err
	}
	txn := f.store.Begin()
	defer txn.Abort() // does nothing after a commit
	results := make([]any, len(logs))
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		r, err := f.apply(txn, l)
		if err != nil {
			return nil, fmt.Errorf("%w at index %d: %w", ErrStopped, l.Index, err)
		}
		results[i] = r
	}
	if err := txn.Commit(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStopped, err)
	}
	return results, nil
}

// apply applies one entry. An error is fatal; a command that fails says so in the Result.
func (f *FSM) apply(txn *state.Txn, l *raft.Log) (result Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	entry, command, err := Decode(l.Data)
	if err != nil {
		return Result{}, err
	}
	w, err := txn.Writer(l.Index, time.Unix(0, entry.Time))
	if err != nil {
		return Result{}, err
	}
	result, err = f.run(w, entry, command)
	if err != nil {
		return Result{}, err
	}
	if err := w.Finish(); err != nil {
		return Result{}, err
	}
	if l.Index%HashInterval == 0 {
		f.cfg.OnHash(l.Index, w.Level(), w.Hash())
	}
	return result, nil
}

// Answered returns what a request was answered that has been carried out, if r still knows it.
func Answered(r state.Reader, requestID string, c Command) (result Result, ok bool, err error) {
	if requestID == "" {
		return Result{}, false, nil
	}
	index, b, ok := r.Result(requestID)
	if !ok {
		return Result{}, false, nil
	}
	result, err = decodeResult(c.Kind(), index, b)
	return result, err == nil, err
}

// run lets a command write, unless its request has been answered already.
func (f *FSM) run(w *state.Writer, entry Entry, command Command) (Result, error) {
	if result, ok, err := Answered(w.Reader, entry.RequestID, command); ok || err != nil {
		return result, err
	}
	result := Result{Index: w.Index()}
	result.Value, result.Err = f.attempt(w, entry, command)
	if errors.Is(result.Err, errUnsupported) {
		return Result{}, result.Err
	}
	if result.Err != nil {
		result.Value = nil
		if err := w.Undo(); err != nil {
			return Result{}, err
		}
	}
	if entry.RequestID == "" || nomadish.KindOf(result.Err) == nomadish.KindLimited && result.Err != nil {
		return result, nil
	}
	b, err := encodeResult(entry.Kind, result)
	if err != nil {
		return Result{}, err
	}
	return result, w.KeepResult(entry.RequestID, b)
}

func (f *FSM) attempt(w *state.Writer, entry Entry, command Command) (any, error) {
	if level := w.Level(); entry.Level > level {
		return nil, nomadish.Errorf(nomadish.KindConflict, "command %s needs cluster level %d, the cluster is at level %d",
			command.Kind(), entry.Level, level)
	}
	return command.Apply(w)
}

// Snapshot implements raft.FSM.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) {
	if err := f.Err(); err != nil {
		return nil, err // raft would drop log entries that were not applied
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held != nil {
		return nil, errHeld
	}
	return snapshot{f.store.Reader()}, nil
}

// Restore implements raft.FSM.
func (f *FSM) Restore(r io.ReadCloser) error {
	err := f.store.Restore(r)
	if err == nil {
		f.mu.Lock()
		f.held = nil // what was held is in the leader's state, or comes again
		f.mu.Unlock()
	}
	return errors.Join(err, r.Close())
}

// snapshot is the state at the moment of FSM.Snapshot.
type snapshot struct{ reader state.Reader }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.reader.WriteSnapshot(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
