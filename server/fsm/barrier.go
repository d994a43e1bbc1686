package fsm

import "github.com/nomadish/nomadish/server/state"

// Barrier changes nothing. It is applied after everything before it.
type Barrier struct{}

// Kind implements Command.
func (*Barrier) Kind() Kind { return KindBarrier }

// Apply implements Command.
func (*Barrier) Apply(*state.Writer) (any, error) { return nil, nil }
