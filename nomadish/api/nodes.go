package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/nomadish/nomadish/nomadish"
)

// Nodes are the routes of client nodes.
type Nodes struct{ c *Client }

// Nodes returns the routes of client nodes.
func (c *Client) Nodes() Nodes { return Nodes{c} }

func (n Nodes) path(nodeID, rest string) string { return "/v1/node/" + id(nodeID) + rest }

// List lists nodes by ID. Query.Params may hold resources and os.
func (n Nodes) List(ctx context.Context, q *Query) ([]*nomadish.NodeListStub, Meta, error) {
	return get[[]*nomadish.NodeListStub](ctx, n.c, "/v1/nodes", q)
}

// Node reads a node.
func (n Nodes) Node(ctx context.Context, nodeID string, q *Query) (*nomadish.Node, Meta, error) {
	return get[*nomadish.Node](ctx, n.c, n.path(nodeID, ""), q)
}

// Allocations lists a node's allocations in full.
func (n Nodes) Allocations(ctx context.Context, nodeID string, q *Query) ([]*nomadish.Allocation, Meta, error) {
	return get[[]*nomadish.Allocation](ctx, n.c, n.path(nodeID, "/allocations"), q)
}

// SetEligibility lets the scheduler place on a node, or not.
func (n Nodes) SetEligibility(ctx context.Context, nodeID string, eligible bool) (*nomadish.NodeUpdateResponse, error) {
	req := &nomadish.NodeEligibilityRequest{NodeID: nodeID, Eligibility: nomadish.NodeIneligible}
	if eligible {
		req.Eligibility = nomadish.NodeEligible
	}
	return put[*nomadish.NodeUpdateResponse](ctx, n.c, n.path(nodeID, "/eligibility"), nil, req)
}

// Drain empties a node or, without a spec, stops doing so.
func (n Nodes) Drain(ctx context.Context, req *nomadish.NodeDrainRequest) (*nomadish.NodeUpdateResponse, error) {
	return put[*nomadish.NodeUpdateResponse](ctx, n.c, n.path(req.NodeID, "/drain"), nil, req)
}

// Evaluate makes new evaluations of all jobs on a node.
func (n Nodes) Evaluate(ctx context.Context, nodeID string) (*nomadish.NodeUpdateResponse, error) {
	return put[*nomadish.NodeUpdateResponse](ctx, n.c, n.path(nodeID, "/evaluate"), nil, nil)
}

// Purge forgets a node.
func (n Nodes) Purge(ctx context.Context, nodeID string) (*nomadish.NodeUpdateResponse, error) {
	return put[*nomadish.NodeUpdateResponse](ctx, n.c, n.path(nodeID, "/purge"), nil, nil)
}

// Stats tells what a node uses.
func (n Nodes) Stats(ctx context.Context, nodeID string) (*nomadish.HostStats, error) {
	var out *nomadish.HostStats
	_, err := n.c.do(ctx, call{
		method: http.MethodGet, path: "/v1/client/stats", params: url.Values{"node_id": {nodeID}}, out: &out,
	})
	return out, err
}

// CollectGarbage removes what ended allocations left on a node.
func (n Nodes) CollectGarbage(ctx context.Context, nodeID string) error {
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: "/v1/client/gc", params: url.Values{"node_id": {nodeID}}})
	return err
}

// Metadata reads the metadata of a node, or of that of the agent that is asked.
func (n Nodes) Metadata(ctx context.Context, nodeID string) (*nomadish.NodeMetaResponse, error) {
	var out *nomadish.NodeMetaResponse
	params := url.Values{}
	if nodeID != "" {
		params.Set("node_id", nodeID)
	}
	_, err := n.c.do(ctx, call{method: http.MethodGet, path: "/v1/client/metadata", params: params, out: &out})
	return out, err
}

// ApplyMetadata changes the metadata of a node while it runs.
func (n Nodes) ApplyMetadata(ctx context.Context, req *nomadish.NodeMetaApplyRequest) (*nomadish.NodeMetaResponse, error) {
	return put[*nomadish.NodeMetaResponse](ctx, n.c, "/v1/client/metadata", nil, req)
}

// Identity shows what the identity of a node says, or that of the agent that is asked.
func (n Nodes) Identity(ctx context.Context, nodeID string) (*nomadish.NodeIdentityResponse, error) {
	var out *nomadish.NodeIdentityResponse
	params := url.Values{}
	if nodeID != "" {
		params.Set("node_id", nodeID)
	}
	_, err := n.c.do(ctx, call{method: http.MethodGet, path: "/v1/client/identity", params: params, out: &out})
	return out, err
}

// RenewIdentity has a node ask the servers for a new identity.
func (n Nodes) RenewIdentity(ctx context.Context, nodeID string) error {
	_, err := put[struct{}](ctx, n.c, "/v1/client/identity/renew", nil, &nomadish.NodeIdentityRenewRequest{NodeID: nodeID})
	return err
}
