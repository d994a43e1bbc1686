package fsm

import "github.com/nomadish/nomadish/server/state"

// ExpireLocks ends locks that nobody has renewed, and the delays after such locks. Each is
// known by its ID: one that has ended or was replaced meanwhile is left alone.
type ExpireLocks struct{ Locks []ExpiredLock }

// ExpiredLock is a lock whose time is over.
type ExpiredLock struct {
	Namespace string
	Path      string
	ID        string
	Delay     bool // the lock was lost before, and now its delay is over as well
}

// Kind implements Command.
func (*ExpireLocks) Kind() Kind { return KindExpireLocks }

// Apply implements Command.
func (c *ExpireLocks) Apply(w *state.Writer) (any, error) {
	for _, l := range c.Locks {
		if err := l.expire(w); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (l *ExpiredLock) expire(w *state.Writer) error {
	old, err := w.Variable(nil, l.Namespace, l.Path)
	if err != nil {
		return nil // it is gone, with its lock
	}
	next := *old
	switch {
	case !l.Delay && old.Holds(l.ID):
		next.Lock, next.Lost = nil, old.Lock
	case l.Delay && old.Lost != nil && old.Lost.ID == l.ID:
		next.Lost = nil
	default:
		return nil
	}
	return w.PutVariable(&next)
}
