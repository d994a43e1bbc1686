package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Spaces keeps namespaces, and quotas of what they may use. Writes return their index.
type Spaces interface {
	UpsertNamespace(ctx context.Context, ns *nomadish.Namespace) (uint64, error)
	DeleteNamespace(ctx context.Context, name string) (uint64, error)
	Quotas(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.QuotaSpec], uint64, error) // by name
	Quota(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.QuotaSpec, uint64, error)
	UpsertQuota(ctx context.Context, quota *nomadish.QuotaSpec) (uint64, error)
	DeleteQuota(ctx context.Context, name string) (uint64, error)
	QuotaUsages(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.QuotaUsage], uint64, error) // by name
	QuotaUsage(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.QuotaUsage, uint64, error)
}

// bodyNamespace lets in a namespace with all that it may hold.
const bodyNamespace = 256 << 10

// spaceRoutes is the part of the table about writing namespaces, and about quotas. Who may
// do something in a namespace may read its quota; the backend looks.
func (a *API) spaceRoutes() []Route {
	return []Route{
		{write, "/v1/namespace", nomadish.PermManagement, OnLeader, Shared, bodyNamespace, a.upsertNamespace},
		{write, "/v1/namespace/:name", nomadish.PermManagement, OnLeader, Shared, bodyNamespace, a.upsertNamespace},
		{destroy, "/v1/namespace/:name", nomadish.PermManagement, OnLeader, Shared, 0, a.deleteNamespace},
		{get, "/v1/quotas", nomadish.PermByItem, OnServer, Read, 0, a.quotas},
		{get, "/v1/quota-usages", nomadish.PermByItem, OnServer, Read, 0, a.quotaUsages},
		{get, "/v1/quota/:name", nomadish.PermByItem, OnServer, Read, 0, a.quota},
		{get, "/v1/quota/usage/:name", nomadish.PermByItem, OnServer, Read, 0, a.quotaUsage},
		{write, "/v1/quota", nomadish.PermQuotaWrite, OnLeader, Shared, bodyNamespace, a.upsertQuota},
		{write, "/v1/quota/:name", nomadish.PermQuotaWrite, OnLeader, Shared, bodyNamespace, a.upsertQuota},
		{destroy, "/v1/quota/:name", nomadish.PermQuotaWrite, OnLeader, Shared, 0, a.deleteQuota},
	}
}

func (a *API) upsertNamespace(r *Request) (any, error) {
	ns := &nomadish.Namespace{}
	if err := r.Decode(ns); err != nil {
		return nil, err
	}
	if err := samePath("Namespace name", r.Param("name"), &ns.Name); err != nil {
		return nil, err
	}
	index, err := a.back.Server.Spaces.UpsertNamespace(r.Context(), ns)
	return wrote(r, index, err)
}

func (a *API) deleteNamespace(r *Request) (any, error) {
	index, err := a.back.Server.Spaces.DeleteNamespace(r.Context(), r.Param("name"))
	return wrote(r, index, err)
}
