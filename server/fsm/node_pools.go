package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertNodePools stores node pools, each in place of the one with its name.
type UpsertNodePools struct{ NodePools []*nomadish.NodePool }

// Kind implements Command.
func (*UpsertNodePools) Kind() Kind { return KindUpsertNodePools }

// Apply implements Command.
func (c *UpsertNodePools) Apply(w *state.Writer) (any, error) {
	return nil, each(c.NodePools, w.PutNodePool)
}

// DeleteNodePools removes node pools by name: all, or none if one does not exist or is in use.
type DeleteNodePools struct{ Names []string }

// Kind implements Command.
func (*DeleteNodePools) Kind() Kind { return KindDeleteNodePools }

// Apply implements Command.
func (c *DeleteNodePools) Apply(w *state.Writer) (any, error) {
	return nil, eachName(c.Names, w.DeleteNodePool)
}
