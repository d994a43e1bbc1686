package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) quotas(r *Request) (any, error) {
	rows := byName(func(q *nomadish.QuotaSpec) string { return q.Name })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.QuotaSpec], uint64, error) {
		return a.back.Server.Spaces.Quotas(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) quota(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.QuotaSpec, uint64, error) {
		return a.back.Server.Spaces.Quota(ctx, ws, r.Param("name"))
	})
}

func (a *API) quotaUsages(r *Request) (any, error) {
	rows := byName(func(u *nomadish.QuotaUsage) string { return u.Name })
	return list(r, rows, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.QuotaUsage], uint64, error) {
		return a.back.Server.Spaces.QuotaUsages(ctx, ws, r.Query.Prefix)
	})
}

func (a *API) quotaUsage(r *Request) (any, error) {
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.QuotaUsage, uint64, error) {
		return a.back.Server.Spaces.QuotaUsage(ctx, ws, r.Param("name"))
	})
}

func (a *API) upsertQuota(r *Request) (any, error) {
	quota := &nomadish.QuotaSpec{}
	if err := r.Decode(quota); err != nil {
		return nil, err
	}
	if err := samePath("Quota name", r.Param("name"), &quota.Name); err != nil {
		return nil, err
	}
	index, err := a.back.Server.Spaces.UpsertQuota(r.Context(), quota)
	return wrote(r, index, err)
}

func (a *API) deleteQuota(r *Request) (any, error) {
	index, err := a.back.Server.Spaces.DeleteQuota(r.Context(), r.Param("name"))
	return wrote(r, index, err)
}
