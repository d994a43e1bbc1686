package fsm

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

const (
	heldMax   = 256 << 20 // bytes of entries that are held
	heldBatch = 64        // entries of what was held that are applied in one transaction
)

// errHeld is what commands are answered that are held: their outcome is not known.
var errHeld = fmt.Errorf("%w until the state of another server is here", ErrStopped)

// held are entries that wait for a better state to be applied to.
type held struct {
	logs  []*raft.Log
	bytes int
}

// Hold keeps the entries that follow for Replace, instead of applying them to a state that is known to be
// wrong. No snapshot is made of that.
func (f *FSM) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		f.held = &held{}
	}
}

// Held says whether entries are held.
func (f *FSM) Held() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held != nil
}

// hold is ApplyBatch while entries are held.
func (f *FSM) hold(logs []*raft.Log) []any {
	results := make([]any, len(logs))
	for i, l := range logs {
		kept := *l
		f.held.logs = append(f.held.logs, &kept)
		f.held.bytes += len(l.Data)
		results[i] = Result{Index: l.Index, Err: errHeld}
	}
	if f.held.bytes > heldMax {
		err := fmt.Errorf("%w: more than %d bytes of entries wait", errHeld, heldMax)
		if f.fatal.CompareAndSwap(nil, &err) {
			f.cfg.OnFatal(err)
		}
	}
	return results
}

// Replace replaces the state by another server's, which is not used any more, and applies what was held
// behind it. It returns false if that state is too new: the entries up to it are yet to come. One older than
// the state that it is to replace is an error.
func (f *FSM) Replace(next *state.Store) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	index, own := next.Reader().Index(), f.store.Reader().Index()
	switch {
	case f.held == nil:
		return true, nil // the leader has replaced it
	case index < own:
		return false, nomadish.Errorf(nomadish.KindConflict, "the other server's state is of index %d, ours of %d", index, own)
	case index > own && (len(f.held.logs) == 0 || f.held.logs[len(f.held.logs)-1].Index < index):
		return false, nil
	}
	f.store.Become(next)
	behind := slices.IndexFunc(f.held.logs, func(l *raft.Log) bool { return l.Index > index })
	if behind >= 0 {
		for batch := range slices.Chunk(f.held.logs[behind:], heldBatch) {
			f.applyAll(batch)
		}
	}
	f.held = nil
	return true, f.Err()
}
