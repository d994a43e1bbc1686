package fsm

import (
	"fmt"

	"github.com/nomadish/nomadish/server/state"
)

// RaiseClusterLevel raises the level of what may be written. The leader proposes it when
// all servers can speak the level; it never falls.
type RaiseClusterLevel struct{ Level uint32 }

// Kind implements Command.
func (*RaiseClusterLevel) Kind() Kind { return KindRaiseClusterLevel }

// Apply implements Command. It stops a program that can't speak the level.
func (c *RaiseClusterLevel) Apply(w *state.Writer) (any, error) {
	if c.Level > MaxLevel {
		return nil, fmt.Errorf("%w: the cluster level becomes %d, this program speaks up to %d", errUnsupported, c.Level, MaxLevel)
	}
	w.RaiseLevel(c.Level)
	return nil, nil
}
