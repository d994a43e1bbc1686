package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) namespaces(r *Request) (any, error) {
	names := byName(func(n *nomadish.Namespace) string { return n.Name })
	return list(r, names, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.Namespace], uint64, error) {
		return a.back.Server.Catalog.Namespaces(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) namespace(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.Namespace, uint64, error) {
		return a.back.Server.Catalog.Namespace(ctx, ws, r.Param("name"))
	})
}

func (a *API) nodePools(r *Request) (any, error) {
	names := byName(func(p *nomadish.NodePool) string { return p.Name })
	return list(r, names, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.NodePool], uint64, error) {
		return a.back.Server.Catalog.NodePools(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) nodePool(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.NodePool, uint64, error) {
		return a.back.Server.Catalog.NodePool(ctx, ws, r.Param("name"))
	})
}
