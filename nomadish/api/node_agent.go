package api

import (
	"context"
	"fmt"
	"net/http"

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

func (n NodeAgent) renew(ctx context.Context, path string, in any) (*nomadish.NodeLease, error) {
	out := &nomadish.NodeLease{}
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: path, in: in, out: out, binary: true})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Allocations returns the node's allocations with their jobs, once their index is past
// minIndex or a few minutes have gone by.
func (n NodeAgent) Allocations(ctx context.Context, nodeID string, minIndex uint64) (uint64, []*nomadish.Allocation, error) {
	out := &nomadish.NodeAllocations{}
	meta, err := n.c.do(ctx, call{
		method: http.MethodGet, path: n.path(nodeID, "/allocations"), query: &Query{MinIndex: minIndex, Stale: true}, out: out, binary: true,
	})
	if err != nil {
		return 0, nil, err
	}
	if err := out.Link(); err != nil {
		return 0, nil, fmt.Errorf("allocations of node %s: %w", nodeID, err)
	}
	return max(meta.Index, out.Index), out.Allocs, nil
}

// UpdateAllocations reports what the node says of its allocations.
func (n NodeAgent) UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) error {
	_, err := n.c.do(ctx, call{
		method: http.MethodPut, path: n.path(nodeID, "/allocations"), in: &nomadish.NodeAllocations{Allocs: allocs}, binary: true,
	})
	return err
}
