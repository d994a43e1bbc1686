package fsm

import "github.com/nomadish/nomadish/server/state"

// ReleaseLock ends a lock at its holder's wish: anybody may have it at once.
type ReleaseLock struct {
	Namespace string
	Path      string
	LockID    string
}

// Kind implements Command.
func (*ReleaseLock) Kind() Kind { return KindReleaseLock }

// Apply implements Command.
func (c *ReleaseLock) Apply(w *state.Writer) (any, error) {
	old, err := variable(w, c.Namespace, c.Path)
	if err != nil {
		return nil, err
	}
	if old == nil || !old.Holds(c.LockID) {
		return &VariableResult{Refused: RefusedLocked, Variable: old}, nil
	}
	next := *old
	next.Lock = nil
	return putVariable(w, &next)
}
