package api

import (
	"context"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// NodePools are the routes of node pools.
type NodePools struct{ c *Client }

// NodePools returns the routes of node pools.
func (c *Client) NodePools() NodePools { return NodePools{c} }

// List lists node pools by name.
func (s NodePools) List(ctx context.Context, q *Query) ([]*nomadish.NodePool, Meta, error) {
	return get[[]*nomadish.NodePool](ctx, s.c, "/v1/node/pools", q)
}

// NodePool reads a node pool.
func (s NodePools) NodePool(ctx context.Context, name string, q *Query) (*nomadish.NodePool, Meta, error) {
	return get[*nomadish.NodePool](ctx, s.c, "/v1/node/pool/"+id(name), q)
}

// Put stores a node pool in place of the one with its name.
func (s NodePools) Put(ctx context.Context, pool *nomadish.NodePool) error {
	_, err := s.c.do(ctx, call{method: http.MethodPut, path: "/v1/node/pools", in: pool})
	return err
}

// Delete removes a node pool that nothing uses.
func (s NodePools) Delete(ctx context.Context, name string) error {
	return s.c.remove(ctx, "/v1/node/pool/"+id(name))
}

// Nodes lists the nodes of a pool by ID.
func (s NodePools) Nodes(ctx context.Context, name string, q *Query) ([]*nomadish.NodeListStub, Meta, error) {
	return get[[]*nomadish.NodeListStub](ctx, s.c, "/v1/node/pool/"+id(name)+"/nodes", q)
}

// Jobs lists the jobs of a pool by namespace and ID.
func (s NodePools) Jobs(ctx context.Context, name string, q *Query) ([]*nomadish.JobListStub, Meta, error) {
	return get[[]*nomadish.JobListStub](ctx, s.c, "/v1/node/pool/"+id(name)+"/jobs", q)
}
