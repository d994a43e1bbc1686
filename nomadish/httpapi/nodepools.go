package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// NodePools keeps the pools that nodes are in. Writes return their index.
type NodePools interface {
	UpsertNodePool(ctx context.Context, pool *nomadish.NodePool) (uint64, error)
	DeleteNodePool(ctx context.Context, name string) (uint64, error)
	NodePoolNodes(ctx context.Context, ws memdb.WatchSet, pool string, opts nomadish.NodeStubOptions) (iter.Seq[*nomadish.NodeListStub], uint64, error) // by id
	NodePoolJobs(ctx context.Context, ws memdb.WatchSet, namespace, pool string, meta bool) (iter.Seq[*nomadish.JobListStub], uint64, error)            // by namespace and id
}

// nodePoolRoutes is the part of the table about node pools. What may be done in which pool the
// backend looks up.
func (a *API) nodePoolRoutes() []Route {
	return []Route{
		{get, "/v1/node/pools", nomadish.PermNodePoolRead, OnServer, Read | ByObject, 0, a.nodePools},
		{write, "/v1/node/pools", nomadish.PermNodePoolWrite, OnLeader, ByObject | Shared, bodyNamespace, a.upsertNodePool},
		{get, "/v1/node/pool/:name", nomadish.PermNodePoolRead, OnServer, Read | ByObject, 0, a.nodePool},
		{write, "/v1/node/pool/:name", nomadish.PermNodePoolWrite, OnLeader, ByObject | Shared, bodyNamespace, a.upsertNodePool},
		{destroy, "/v1/node/pool/:name", nomadish.PermNodePoolDelete, OnLeader, ByObject | Shared, 0, a.deleteNodePool},
		{get, "/v1/node/pool/:name/nodes", nomadish.PermNodeRead, OnServer, Read, 0, a.nodePoolNodes},
		{get, "/v1/node/pool/:name/jobs", nomadish.PermListJobs, OnServer, Read, 0, a.nodePoolJobs},
	}
}

func (a *API) upsertNodePool(r *Request) (any, error) {
	pool := &nomadish.NodePool{}
	if err := r.Decode(pool); err != nil {
		return nil, err
	}
	if err := samePath("Node pool name", r.Param("name"), &pool.Name); err != nil {
		return nil, err
	}
	index, err := a.back.Server.NodePools.UpsertNodePool(r.Context(), pool)
	return wrote(r, index, err)
}

func (a *API) deleteNodePool(r *Request) (any, error) {
	index, err := a.back.Server.NodePools.DeleteNodePool(r.Context(), r.Param("name"))
	return wrote(r, index, err)
}

func (a *API) nodePoolNodes(r *Request) (any, error) {
	opts, err := nodeStubOptions(r)
	if err != nil {
		return nil, err
	}
	byID := byName(func(n *nomadish.NodeListStub) string { return n.ID })
	return list(r, byID, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.NodeListStub], uint64, error) {
		return a.back.Server.NodePools.NodePoolNodes(ctx, ws, r.Param("name"), opts)
	})
}

func (a *API) nodePoolJobs(r *Request) (any, error) {
	meta, err := r.Bool("meta")
	if err != nil {
		return nil, err
	}
	return list(r, jobOrder(r.Query), func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.JobListStub], uint64, error) {
		return a.back.Server.NodePools.NodePoolJobs(ctx, ws, r.Query.Namespace, r.Param("name"), meta)
	})
}
