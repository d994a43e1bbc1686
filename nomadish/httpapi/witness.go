package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Witness is what servers tell and ask each other of nodes.
type Witness interface {
	// Witness takes what another server sees of nodes, on the leader.
	Witness(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error)
	// ProbeNodes sees whether the machines of nodes answer this server.
	ProbeNodes(ctx context.Context, ids []string) ([]nomadish.ProbeResult, error)
	// NodeHolder returns the server that has a session with a node, on the leader.
	NodeHolder(ctx context.Context, nodeID string) (string, error)
}

// Neighbours sees from this node whether other machines are there.
type Neighbours interface {
	// Answer says of each address whether a machine answers there.
	Answer(ctx context.Context, addrs []string) []bool
}

// maxNeighbours bounds the addresses that a node is asked about at a time.
const maxNeighbours = 64

func (a *API) askNeighbours(r *Request) (any, error) {
	req := &nomadish.NeighbourRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	switch {
	case a.back.Node == nil || a.back.Node.Neighbours == nil:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "this agent runs no client")
	case len(req.Addrs) > maxNeighbours:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%d addresses are asked for at once, %d is the most", len(req.Addrs), maxNeighbours)
	}
	return a.back.Node.Neighbours.Answer(r.Context(), req.Addrs), nil
}

func (a *API) witness(r *Request) (any, error) {
	report := &nomadish.WitnessReport{}
	if err := r.Decode(report); err != nil {
		return nil, err
	}
	return a.back.Server.Witness.Witness(r.Context(), report)
}

func (a *API) probeNodes(r *Request) (any, error) {
	req := &nomadish.ProbeRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Server.Witness.ProbeNodes(r.Context(), req.NodeIDs)
}

func (a *API) nodeHolder(r *Request) (any, error) {
	return a.back.Server.Witness.NodeHolder(r.Context(), r.Param("node"))
}
