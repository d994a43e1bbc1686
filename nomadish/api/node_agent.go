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
	return put[*nomadish.NodeLease](ctx, n.c, n.path(node.ID, ""), nil, node)
}

// Heartbeat says that the node lives.
func (n NodeAgent) Heartbeat(ctx context.Context, nodeID, status string) (*nomadish.NodeLease, error) {
	return put[*nomadish.NodeLease](ctx, n.c, n.path(nodeID, "/heartbeat"), nil, struct{ Status string }{status})
}

// Allocations returns the node's allocations with their jobs, once their index is past
// minIndex or a few minutes have gone by.
func (n NodeAgent) Allocations(ctx context.Context, nodeID string, minIndex uint64) (uint64, []*nomadish.Allocation, error) {
	q := &Query{MinIndex: minIndex, Stale: true}
	out, meta, err := get[nomadish.NodeAllocations](ctx, n.c, n.path(nodeID, "/allocations"), q)
	if err != nil {
		return 0, nil, err
	}
	if err := out.Link(); err != nil {
		return 0, nil, fmt.Errorf("allocations of node %s: %w", nodeID, err)
	}
	return meta.Index, out.Allocs, nil
}

// UpdateAllocations reports what the node says of its allocations.
func (n NodeAgent) UpdateAllocations(ctx context.Context, nodeID string, allocs []*nomadish.Allocation) error {
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: n.path(nodeID, "/allocations"), in: allocs})
	return err
}
