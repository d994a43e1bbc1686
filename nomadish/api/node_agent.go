package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// NodeAgent are the routes that client nodes use among themselves and the servers. The
// client must be configured with the node's ID and secret.
type NodeAgent struct{ c *Client }

// NodeAgent returns the routes of client nodes.
func (c *Client) NodeAgent() NodeAgent { return NodeAgent{c} }

func (n NodeAgent) path(nodeID, rest string) string { return "/v1/internal/node/" + id(nodeID) + rest }

// Register makes the node known, or what has changed of it.
func (n NodeAgent) Register(ctx context.Context, node *nomadish.Node) (*nomadish.NodeLease, error) {
	return n.renew(ctx, n.path(node.ID, ""), node)
}

// Heartbeat says that the node lives.
func (n NodeAgent) Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error) {
	return n.renew(ctx, n.path(nodeID, "/heartbeat"), struct{ Status string }{status})
}

// ResolveToken says whom a token makes its bearer: nodes ask who their callers are.
func (n NodeAgent) ResolveToken(ctx context.Context, nodeID, token string) (*nomadish.ResolvedCaller, error) {
	out := &nomadish.ResolvedCaller{}
	in := struct{ Token string }{token}
	if _, err := n.c.do(ctx, call{method: http.MethodPut, path: n.path(nodeID, "/caller"), in: in, out: out}); err != nil {
		return nil, err
	}
	return out, nil
}

// Drain asks for the node to be emptied.
func (n NodeAgent) Drain(ctx context.Context, req *nomadish.NodeDrainRequest) error {
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: n.path(req.NodeID, "/drain"), in: req})
	return err
}

// SignNodeIdentity asks for a token that says which node its bearer is.
func (n NodeAgent) SignNodeIdentity(ctx context.Context, nodeID string) (*nomadish.SignedNodeIdentity, error) {
	return put[*nomadish.SignedNodeIdentity](ctx, n.c, n.path(nodeID, "/identity"), nil, struct{}{})
}

func (n NodeAgent) renew(ctx context.Context, path string, in any) (*nomadish.NodeLease, error) {
	out := &nomadish.NodeLease{}
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: path, in: in, out: out, binary: true})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Allocations returns what the servers have changed of the node's allocations, each with its
// job, since the answer of that index and count, once they have or a few minutes have gone by.
// With index 0 it returns all at once.
func (n NodeAgent) Allocations(ctx context.Context, nodeID string, index uint64, count int) (*nomadish.NodeAllocations, error) {
	out := &nomadish.NodeAllocations{}
	q := &Query{MinIndex: index, Stale: true, Params: map[string]string{"count": strconv.Itoa(count)}}
	_, err := n.c.do(ctx, call{method: http.MethodGet, path: n.path(nodeID, "/allocations"), query: q, out: out, binary: true})
	if err != nil {
		return nil, err
	}
	if err := out.Link(); err != nil {
		return nil, fmt.Errorf("allocations of node %s: %w", nodeID, err)
	}
	return out, nil
}

// UpdateAllocations reports what the node says of its allocations.
func (n NodeAgent) UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) error {
	_, err := n.c.do(ctx, call{
		method: http.MethodPut, path: n.path(nodeID, "/allocations"), in: &nomadish.NodeAllocations{Allocs: allocs}, binary: true,
	})
	return err
}
