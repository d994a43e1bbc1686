package endpoint

import (
	"cmp"
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// UpsertNodePool stores a node pool.
func (e *Endpoint) UpsertNodePool(ctx context.Context, pool *nomadish.NodePool) (uint64, error) {
	if err := e.mayName(ctx, nomadish.PermNodePoolWrite, "", pool.Name); err != nil {
		return 0, err
	}
	if err := pool.Validate(); err != nil {
		return 0, err
	}
	if pool.BuiltIn() {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "modifying node pool %q is not allowed: it is built in", pool.Name)
	}
	_, index, err := propose[any](ctx, e, &fsm.UpsertNodePools{NodePools: []*nomadish.NodePool{pool}})
	return index, err
}

// DeleteNodePool removes a node pool that nothing uses.
func (e *Endpoint) DeleteNodePool(ctx context.Context, name string) (uint64, error) {
	if err := e.mayName(ctx, nomadish.PermNodePoolDelete, "", name); err != nil {
		return 0, err
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteNodePools{Names: []string{name}})
	_, err = found(name, err, "node pool not found")
	return index, err
}

// NodePoolNodes lists the nodes of a pool by id.
func (e *Endpoint) NodePoolNodes(ctx context.Context, ws memdb.WatchSet, pool string, opts nomadish.NodeStubOptions) (iter.Seq[*nomadish.NodeListStub], uint64, error) {
	if _, _, err := e.NodePool(ctx, ws, pool); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	stubs := mapped(r.NodesByPool(ws, pool), func(n *nomadish.Node) *nomadish.NodeListStub { return n.Stub(opts) })
	return stubs, tableIndex(r, state.TableNodes, state.TableNodePools), nil
}

// NodePoolJobs lists the jobs of a pool by namespace and id, those of one namespace or of all.
func (e *Endpoint) NodePoolJobs(ctx context.Context, ws memdb.WatchSet, namespace, pool string, meta bool) (iter.Seq[*nomadish.JobListStub], uint64, error) {
	if _, _, err := e.NodePool(ctx, ws, pool); err != nil {
		return nil, 0, err
	}
	jobs, _, err := e.Jobs(ctx, ws, namespace, "", meta)
	if err != nil {
		return nil, 0, err
	}
	inPool := where(jobs, func(j *nomadish.JobListStub) bool { return cmp.Or(j.NodePool, nomadish.NodePoolDefault) == pool })
	return inPool, tableIndex(e.store.Reader(), state.TableJobs, state.TableJobSummaries, state.TableNodePools), nil
}
