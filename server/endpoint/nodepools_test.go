package endpoint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// A node pool keeps all that it was stored with, is listed, and its age stays.
func TestUpsertNodePool(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	pool := &nomadish.NodePool{
		Name: "gpu", Description: "fast", Meta: map[string]string{"team": "a"}, NodeIdentityTTL: nomadish.TextDuration(720 * time.Hour),
		SchedulerConfiguration: &nomadish.NodePoolSchedulerConfiguration{SchedulerAlgorithm: nomadish.SchedulerSpread, MemoryOversubscriptionEnabled: nomadish.Ptr(true)},
	}
	created, err := w.UpsertNodePool(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	pool.Description = "faster"
	changed, err := w.UpsertNodePool(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := w.NodePool(ctx, nil, "gpu")
	if err != nil {
		t.Fatal(err)
	}
	want := *pool
	want.CreateIndex, want.ModifyIndex = created, changed
	if diff := cmp.Diff(got, &want); diff != "" {
		t.Errorf("stored pool, got - want +:\n%s", diff)
	}
}

// Node pools that make no sense, and those that are built in, are refused.
func TestUpsertNodePoolRefuses(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	for _, tt := range []struct {
		pool nomadish.NodePool
		want string
	}{
		{nomadish.NodePool{}, "missing node pool name"},
		{nomadish.NodePool{Name: "not a name"}, "a name is 1 to 128 letters"},
		{nomadish.NodePool{Name: "all"}, `modifying node pool "all" is not allowed`},
		{nomadish.NodePool{Name: "default"}, `modifying node pool "default" is not allowed`},
		{nomadish.NodePool{Name: "p", NodeIdentityTTL: -1}, "negative"},
		{nomadish.NodePool{Name: "p", SchedulerConfiguration: &nomadish.NodePoolSchedulerConfiguration{SchedulerAlgorithm: "luck"}}, "invalid scheduler algorithm"},
	} {
		_, err := w.UpsertNodePool(ctx, &tt.pool)
		if nomadish.KindOf(err) != nomadish.KindInvalid || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("pool %q: error %v, want one that says %q", tt.pool.Name, err, tt.want)
		}
	}
}

// A node pool goes when no node is in it and no job uses it, and not before.
func TestDeleteNodePool(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	refused := func(name, why string) {
		t.Helper()
		_, err := w.DeleteNodePool(ctx, name)
		wantKind(t, err, nomadish.KindInvalid, why)
	}
	refused("all", `node pool "all" is built in and can't be deleted`)
	refused("default", `node pool "default" is built in and can't be deleted`)
	if _, err := w.UpsertNodePool(ctx, &nomadish.NodePool{Name: "gpu"}); err != nil {
		t.Fatal(err)
	}
	job := newJob("train")
	job.NodePool = nomadish.Ptr("gpu")
	w.register(job)
	w.apply(&fsm.RegisterNode{Node: &nomadish.Node{ID: nodeID(7), Name: "n7", NodePool: "gpu"}})
	refused("gpu", `node pool "gpu" has nodes: node `+nodeID(7)+" (n7) is in it")
	w.apply(&fsm.DeregisterNode{NodeIDs: []string{nodeID(7)}})
	refused("gpu", `node pool "gpu" has non-terminal jobs: job "train" in namespace "default" is pending`)
	w.apply(&fsm.DeregisterJob{Namespace: "default", JobID: "train", Purge: true})
	if _, err := w.DeleteNodePool(ctx, "gpu"); err != nil {
		t.Error(err)
	}
	_, err := w.DeleteNodePool(ctx, "gpu")
	wantKind(t, err, nomadish.KindNotFound, "node pool not found")
}

// A pool lists the nodes and jobs that are in it; that of all nodes has every node.
func TestNodePoolMembers(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	w.apply(&fsm.RegisterNode{Node: &nomadish.Node{ID: nodeID(1), Name: "plain"}})
	w.apply(&fsm.RegisterNode{Node: &nomadish.Node{ID: nodeID(2), Name: "fast", NodePool: "gpu"}})
	job := newJob("train")
	job.NodePool = nomadish.Ptr("gpu")
	w.register(job)
	w.register(newJob("web"))
	for pool, want := range map[string][]string{
		"all": {"plain", "fast"}, "default": {"plain", "web"}, "gpu": {"fast", "train"},
	} {
		nodes, _, err := w.NodePoolNodes(ctx, nil, pool, nomadish.NodeStubOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for n := range nodes {
			got = append(got, n.Name)
		}
		jobs, _, err := w.NodePoolJobs(ctx, nil, "*", pool, false)
		if err != nil {
			t.Fatal(err)
		}
		for j := range jobs {
			got = append(got, j.ID)
		}
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("members of %s, got - want +:\n%s", pool, diff)
		}
	}
	_, _, err := w.NodePoolNodes(ctx, nil, "none", nomadish.NodeStubOptions{})
	wantKind(t, err, nomadish.KindNotFound, "node pool not found")
}
