package api

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Witness tells the leader what a server sees of nodes. Servers alone may.
func (n NodeAgent) Witness(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error) {
	return put[*nomadish.WitnessAnswer](ctx, n.c, "/v1/internal/witness", nil, r)
}

// Probe has a server see whether the machines of nodes answer. Servers alone may ask.
func (n NodeAgent) Probe(ctx context.Context, ids []string) ([]nomadish.ProbeResult, error) {
	return put[[]nomadish.ProbeResult](ctx, n.c, "/v1/internal/probe", nil, &nomadish.ProbeRequest{NodeIDs: ids})
}

// Neighbours has a node see whether machines of others answer it. Servers alone may ask.
func (n NodeAgent) Neighbours(ctx context.Context, addrs []string) ([]bool, error) {
	return put[[]bool](ctx, n.c, "/v1/internal/neighbours", nil, &nomadish.NeighbourRequest{Addrs: addrs})
}

// Holder asks the leader which server has a session with a node. Servers alone may ask.
func (n NodeAgent) Holder(ctx context.Context, nodeID string) (string, error) {
	out, _, err := get[string](ctx, n.c, n.path(nodeID, "/holder"), nil)
	return out, err
}
