package endpoint

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Quotas lists quotas by name: those that the caller may read, or that are those of its namespaces.
func (e *Endpoint) Quotas(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.QuotaSpec], uint64, error) {
	r := e.store.Reader()
	rows := where(r.Quotas(ws, prefix), func(q *nomadish.QuotaSpec) bool { return readsQuota(ctx, r, ws, q.Name) })
	return rows, tableIndex(r, state.TableQuotas, state.TableNamespaces), nil
}

// Quota returns a quota.
func (e *Endpoint) Quota(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.QuotaSpec, uint64, error) {
	r := e.store.Reader()
	if !readsQuota(ctx, r, ws, name) {
		return nil, tableIndex(r, state.TableQuotas), nomadish.ErrDenied
	}
	quota, err := r.Quota(ws, name)
	if quota, err = found(quota, err, "Quota not found"); err != nil {
		return nil, tableIndex(r, state.TableQuotas), err
	}
	return quota, quota.ModifyIndex, nil
}

// readsQuota says whether the caller may read a quota: by right, or since it may do something
// in a namespace that has it.
func readsQuota(ctx context.Context, r state.Reader, ws memdb.WatchSet, name string) bool {
	caller := nomadish.CallerFrom(ctx)
	if caller.Allows(nomadish.PermQuotaRead, "", "") {
		return true
	}
	for ns := range r.Namespaces(ws) {
		if ns.Quota == name && caller.Allows(nomadish.PermNamespaceAny, ns.Name, "") {
			return true
		}
	}
	return false
}

// UpsertQuota stores a quota.
func (e *Endpoint) UpsertQuota(ctx context.Context, quota *nomadish.QuotaSpec) (uint64, error) {
	if !nomadish.CallerFrom(ctx).Allows(nomadish.PermQuotaWrite, "", "") {
		return 0, nomadish.ErrDenied
	}
	if err := quota.Validate(); err != nil {
		return 0, err
	}
	q := *quota
	q.Limits = make([]*nomadish.QuotaLimit, len(quota.Limits))
	for i, l := range quota.Limits {
		limit := *l
		limit.Hash = nil
		text, err := nomadish.EncodeJSON(&limit)
		if err != nil {
			return 0, err
		}
		sum := sha256.Sum256(text)
		limit.Hash = sum[:16]
		q.Limits[i] = &limit
	}
	_, index, err := propose[any](ctx, e, &fsm.UpsertQuotas{Quotas: []*nomadish.QuotaSpec{&q}})
	return index, err
}

// DeleteQuota removes a quota that no namespace has.
func (e *Endpoint) DeleteQuota(ctx context.Context, name string) (uint64, error) {
	if !nomadish.CallerFrom(ctx).Allows(nomadish.PermQuotaWrite, "", "") {
		return 0, nomadish.ErrDenied
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteQuotas{Names: []string{name}})
	_, err = found(name, err, "Quota not found")
	return index, err
}

// QuotaUsages lists what the namespaces of quotas use, by the quotas' names.
func (e *Endpoint) QuotaUsages(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.QuotaUsage], uint64, error) {
	quotas, _, err := e.Quotas(ctx, ws, prefix)
	if err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	used := usage(r, ws)
	return mapped(quotas, func(q *nomadish.QuotaSpec) *nomadish.QuotaUsage { return e.quotaUsage(q, used[q.Name]) }), usageIndex(r), nil
}

// QuotaUsage returns what the namespaces of a quota use.
func (e *Endpoint) QuotaUsage(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.QuotaUsage, uint64, error) {
	quota, _, err := e.Quota(ctx, ws, name)
	r := e.store.Reader()
	if err != nil {
		return nil, usageIndex(r), err
	}
	return e.quotaUsage(quota, usage(r, ws)[name]), usageIndex(r), nil
}

func usageIndex(r state.Reader) uint64 {
	return tableIndex(r, state.TableQuotas, state.TableNamespaces, state.TableAllocations)
}

// quotaUsage shows what is used beside the limit of this region.
func (e *Endpoint) quotaUsage(q *nomadish.QuotaSpec, used amount) *nomadish.QuotaUsage {
	u := &nomadish.QuotaUsage{Name: q.Name, Used: map[string]*nomadish.QuotaLimit{}, CreateIndex: q.CreateIndex, ModifyIndex: q.ModifyIndex}
	for _, l := range q.Limits {
		if l.Region != e.cfg.Region {
			continue
		}
		u.Used[base64.StdEncoding.EncodeToString(l.Hash)] = &nomadish.QuotaLimit{
			Region: l.Region, Hash: l.Hash,
			RegionLimit: &nomadish.QuotaResources{
				CPU: nomadish.Ptr(used.cpu), Cores: nomadish.Ptr(used.cores),
				MemoryMB: nomadish.Ptr(used.memory), MemoryMaxMB: nomadish.Ptr(used.memoryMax),
			},
		}
	}
	return u
}

// amount is how much of what can be limited is in use.
type amount struct{ cpu, cores, memory, memoryMax int }

// usage adds up, by quota, what the allocations of its namespaces hold that still run.
func usage(r state.Reader, ws memdb.WatchSet) map[string]amount {
	quotaOf := map[string]string{}
	for ns := range r.Namespaces(ws) {
		if ns.Quota != "" {
			quotaOf[ns.Name] = ns.Quota
		}
	}
	used := map[string]amount{}
	if len(quotaOf) == 0 {
		return used
	}
	for a := range r.Allocations(ws) {
		quota := quotaOf[a.Namespace]
		if quota == "" || a.Terminal() || a.AllocatedResources == nil {
			continue
		}
		sum := used[quota]
		for _, t := range a.AllocatedResources.Tasks {
			sum.cpu += int(t.Cpu.CpuShares)
			sum.cores += len(t.Cpu.ReservedCores)
			sum.memory += int(t.Memory.MemoryMB)
			sum.memoryMax += int(max(t.Memory.MemoryMB, t.Memory.MemoryMaxMB))
		}
		used[quota] = sum
	}
	return used
}
