package endpoint

import (
	"cmp"
	"context"
	"iter"
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// ACLPolicies lists policies by name: all for management, its own for others.
func (e *Endpoint) ACLPolicies(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.ACLPolicyListStub], uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	rows, index := r.ACLPolicies(ws, prefix), tableIndex(r, state.TableACLPolicies)
	if !nomadish.CallerFrom(ctx).Management() {
		own, _ := e.own(ctx, r, ws)
		rows = where(rows, func(p *nomadish.ACLPolicy) bool { return own[p.Name] })
		index = tableIndex(r, ownTables...)
	}
	return mapped(rows, (*nomadish.ACLPolicy).Stub), index, nil
}

// ACLPolicy returns a policy: any to management, its own to others.
func (e *Endpoint) ACLPolicy(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.ACLPolicy, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	if !nomadish.CallerFrom(ctx).Management() {
		if own, _ := e.own(ctx, r, ws); !own[name] {
			return nil, tableIndex(r, ownTables...), nomadish.ErrDenied
		}
	}
	policy, err := r.ACLPolicy(ws, name)
	if policy, err = found(policy, err, "ACL policy not found"); err != nil {
		return nil, tableIndex(r, state.TableACLPolicies), err
	}
	return policy, policy.ModifyIndex, nil
}

// OwnACLPolicies lists the policies that the caller has by its token, or by being a workload.
func (e *Endpoint) OwnACLPolicies(ctx context.Context, ws memdb.WatchSet) ([]*nomadish.ACLPolicyListStub, uint64, error) {
	if !e.cfg.ACL.Enabled {
		return nil, 0, errACLDisabled
	}
	r := e.store.Reader()
	own, _ := e.own(ctx, r, ws)
	stubs := []*nomadish.ACLPolicyListStub{}
	for name := range own {
		if p, err := r.ACLPolicy(ws, name); err == nil {
			stubs = append(stubs, p.Stub())
		}
	}
	slices.SortFunc(stubs, func(a, b *nomadish.ACLPolicyListStub) int { return cmp.Compare(a.Name, b.Name) })
	return stubs, tableIndex(r, ownTables...), nil
}

// workloadPolicies lists the policies of a task of an allocation.
func (e *Endpoint) workloadPolicies(r state.Reader, ws memdb.WatchSet, allocID, task string) []*nomadish.ACLPolicy {
	alloc, err := r.Allocation(ws, allocID)
	if err != nil {
		return nil
	}
	id := alloc.JobID
	if job, err := r.JobVersion(nil, alloc.Namespace, alloc.JobID, alloc.JobVersion); err == nil {
		id = cmp.Or(nomadish.Val(job.ParentID), id)
	}
	return slices.Collect(r.ACLPoliciesOfJob(ws, alloc.Namespace, id, alloc.TaskGroup, task))
}

// UpsertACLPolicy stores a policy.
func (e *Endpoint) UpsertACLPolicy(ctx context.Context, policy *nomadish.ACLPolicy) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	if err := policy.Validate(); err != nil {
		return 0, err
	}
	if _, err := acl.Parse(policy.Rules); err != nil {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "policy %s: %w", policy.Name, err)
	}
	_, index, err := propose[any](ctx, e, &fsm.UpsertACLPolicies{Policies: []*nomadish.ACLPolicy{policy}})
	return index, err
}

// DeleteACLPolicy removes a policy.
func (e *Endpoint) DeleteACLPolicy(ctx context.Context, name string) (uint64, error) {
	if err := e.manage(ctx); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteACLPolicies{Names: []string{name}})
	_, err = found(name, err, "ACL policy not found")
	return index, err
}
