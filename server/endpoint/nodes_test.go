package endpoint_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// A node's ID belongs to the secret that it was first registered with, and a node that lacks
// what the scheduler needs is refused.
func TestRegisterNode(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	lease, err := w.RegisterNode(t.Context(), newNode(0))
	if err != nil || lease.HeartbeatTTL != 10*time.Second || lease.Index == 0 {
		t.Fatalf("got %+v, %v", lease, err)
	}
	stored, _, err := w.Node(t.Context(), nil, nodeID(0))
	if err != nil || stored.Status != nomadish.NodeStatusReady || stored.SchedulingEligibility != nomadish.NodeEligible {
		t.Errorf("stored %+v, %v", stored, err)
	}
	thief := newNode(0)
	thief.SecretID, thief.Name = "other", "thief"
	_, err = w.RegisterNode(t.Context(), thief)
	wantKind(t, err, nomadish.KindDenied, "node secret ID does not match. Not registering node.")
	if stored, _, _ = w.Node(t.Context(), nil, nodeID(0)); stored.Name != "n0" {
		t.Errorf("the thief got through: %+v", stored)
	}
	bad := newNode(1)
	bad.ID = "1"
	for _, pool := range []string{nomadish.NodePoolAll, "${pool}", "a/b", strings.Repeat("x", 129)} {
		n := newNode(3)
		n.NodePool = pool
		if _, err := w.RegisterNode(t.Context(), n); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("pool %s: error %v, want that it is invalid", pool, err)
		}
	}
	if _, err := w.RegisterNode(t.Context(), bad); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("bad ID: %v", err)
	}
	empty := &nomadish.Node{ID: nodeID(1), SecretID: "s"}
	_, err = w.RegisterNode(t.Context(), empty)
	wantKind(t, err, nomadish.KindInvalid, "node "+nodeID(1)+": SecretID, Name, Datacenter and NodeResources must be set")
	if diff := cmp.Diff([]string{nodeID(0)}, w.renewed); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}
}

// down has a node taken for down.
func (w *world) down(id string) error {
	_, err := w.Down(w.t.Context(), &nomadish.NodeVerdict{NodeID: id, Cause: nomadish.NodeGoneLease, Silent: time.Minute})
	return err
}

// Nodes that are taken for gone are counted by why and as what, and those that are back.
func TestEvictionsAreCounted(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.node(1)
	for _, what := range []func() error{
		func() error { return w.down(nodeID(0)) },
		func() error { return w.down(nodeID(0)) }, // it is
		func() error { return w.Up(t.Context(), nodeID(0)) },
		func() error { return w.Up(t.Context(), nodeID(0)) }, // it is
		func() error { return w.down(nodeID(1)) },
	} {
		if err := what(); err != nil {
			t.Fatal(err)
		}
	}
	want := endpoint.Evictions{
		Gone: map[endpoint.Eviction]uint64{{Cause: nomadish.NodeGoneLease, Status: nomadish.NodeStatusDown}: 2}, Back: 1,
	}
	if diff := cmp.Diff(w.Evictions(), want); diff != "" {
		t.Errorf("got - want +:\n%s", diff)
	}
}

// A node that is silent too long is down and its jobs are evaluated, once; a heartbeat or a
// registration brings it back, with evaluations again.
func TestDownAndBack(t *testing.T) {
	for name, back := range map[string]func(w *world) error{
		"heartbeat":           func(w *world) error { _, err := w.Heartbeat(w.t.Context(), nodeID(0), "ready"); return err },
		"heartbeat of no say": func(w *world) error { _, err := w.Heartbeat(w.t.Context(), nodeID(0), ""); return err },
		"session":             func(w *world) error { return w.Up(w.t.Context(), nodeID(0)) },
		"registration":        func(w *world) error { _, err := w.RegisterNode(w.t.Context(), newNode(0)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			w.node(0)
			w.register(newJob("web"))
			w.register(newBatch("sum"))
			w.place("web", 0, nomadish.AllocClientRunning)
			w.place("web", 0, nomadish.AllocClientRunning)
			w.place("sum", 0, nomadish.AllocClientComplete)
			for _, what := range []func() error{
				func() error { return w.down(nodeID(0)) },
				func() error { return back(w) },
			} {
				since := w.read().Index()
				if err := what(); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"web node-update"}, w.newEvals(since)); diff != "" {
					t.Errorf("evaluations while the node is %s (-want +got):\n%s", w.nodeStatus(0), diff)
				}
			}
			if got := w.nodeStatus(0); got != nomadish.NodeStatusReady {
				t.Errorf("the node is %s, want ready", got)
			}
			index := w.read().Index()
			if _, err := w.Heartbeat(t.Context(), nodeID(0), "ready"); err != nil || w.read().Index() != index {
				t.Errorf("a heartbeat that says nothing new: index %d after %d, %v", w.read().Index(), index, err)
			}
		})
	}
}

// A node is disconnected, and not down, as long as something that runs there may do without the
// servers. It is so once, and its next report brings it back.
func TestDisconnectedNode(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	j := newJob("web")
	j.TaskGroups[0].Disconnect = &nomadish.DisconnectStrategy{LostAfter: nomadish.Ptr(time.Hour)}
	w.register(j)
	alloc := w.place("web", 0, nomadish.AllocClientRunning)
	gone := &nomadish.NodeVerdict{NodeID: nodeID(0), Cause: nomadish.NodeGoneSilent, Witnesses: []string{"s1"}}
	since := w.read().Index()
	for range 2 {
		left, err := w.Down(t.Context(), gone)
		if err != nil || left <= 59*time.Minute || left > time.Hour+time.Second || w.nodeStatus(0) != nomadish.NodeStatusDisconnected {
			t.Fatalf("the node is %s for %s, %v; want it disconnected for an hour", w.nodeStatus(0), left, err)
		}
	}
	if diff := cmp.Diff([]string{"web node-update"}, w.newEvals(since)); diff != "" {
		t.Errorf("evaluations (-want +got):\n%s", diff)
	}
	w.apply(&fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{fsm.NewNodeReport(nodeID(0), []*nomadish.Allocation{
		{ID: alloc, ClientStatus: nomadish.AllocClientUnknown},
	})}})
	since = w.read().Index()
	_, err := w.UpdateAllocations(t.Context(), nodeID(0), []*nomadish.Allocation{{ID: alloc, ClientStatus: nomadish.AllocClientRunning}})
	if err != nil || w.nodeStatus(0) != nomadish.NodeStatusReady {
		t.Fatalf("a node that reports is %s, %v; want it ready", w.nodeStatus(0), err)
	}
	if diff := cmp.Diff([]string{"web node-update", "web reconnect"}, w.newEvals(since)); diff != "" {
		t.Errorf("evaluations of what is back (-want +got):\n%s", diff)
	}
}

// What can't go down doesn't: a node that is gone or down already. An unknown node's heartbeat
// is an error by which it knows that it has to register.
func TestUnknownNode(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	if err := w.down(nodeID(0)); err != nil {
		t.Error(err)
	}
	_, err := w.Heartbeat(t.Context(), nodeID(0), "ready")
	wantKind(t, err, nomadish.KindNotFound, "node not found")
	w.node(0)
	if err := w.down(nodeID(0)); err != nil {
		t.Fatal(err)
	}
	index := w.read().Index()
	if err := w.down(nodeID(0)); err != nil || w.read().Index() != index {
		t.Errorf("down twice: %v", err)
	}
	if _, err := w.Heartbeat(t.Context(), nodeID(0), "sleepy"); nomadish.KindOf(err) != nomadish.KindInvalid {
		t.Errorf("a status that is none: %v", err)
	}
}

// What a node says of its allocations is stored; of others' it can't say anything. Those that
// end early are evaluated, each job once, whatever else the report holds.
func TestUpdateAllocations(t *testing.T) {
	const running, complete, failed = nomadish.AllocClientRunning, nomadish.AllocClientComplete, nomadish.AllocClientFailed
	for _, tt := range []struct {
		name  string
		now   []string // client status of allocations of the batch job "sum" on the node
		said  []string // what it says next
		stop  bool     // the job is stopped
		want  []string
		evals []string
	}{
		{"nothing ended", []string{"pending"}, []string{running}, false, []string{running}, []string{}},
		{"done", []string{running}, []string{complete}, false, []string{complete}, []string{}},
		{"failed", []string{running}, []string{failed}, false, []string{failed}, []string{"sum alloc-failure"}},
		{"one done, one failed", []string{running, running}, []string{complete, failed}, false, []string{complete, failed}, []string{"sum alloc-failure"}},
		{"two failed", []string{running, running}, []string{failed, failed}, false, []string{failed, failed}, []string{"sum alloc-failure"}},
		{"failed of a stopped job", []string{running}, []string{failed}, true, []string{failed}, []string{}},
		{"what ended stays so", []string{failed}, []string{running}, false, []string{failed}, []string{}},
		{"said again", []string{failed}, []string{failed}, false, []string{failed}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			w.node(0)
			w.register(newBatch("sum"))
			var report []*nomadish.Allocation
			for i, status := range tt.now {
				report = append(report, said(tt.said[i], w.place("sum", 0, status))...)
			}
			if tt.stop {
				if _, _, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{JobID: "sum", WriteRequest: inDefault}); err != nil {
					t.Fatal(err)
				}
			}
			since := w.read().Index()
			if _, err := w.UpdateAllocations(t.Context(), nodeID(0), append(report, nil)); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range report {
				got = append(got, w.alloc(a.ID).ClientStatus)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.evals, w.newEvals(since)); diff != "" {
				t.Errorf("evaluations (-want +got):\n%s", diff)
			}
		})
	}
}

// A service whose allocation ends by itself is evaluated: it is to go on.
func TestServiceThatEnds(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newJob("web"))
	id := w.place("web", 0, nomadish.AllocClientRunning)
	since := w.read().Index()
	if _, err := w.UpdateAllocations(t.Context(), nodeID(0), said(nomadish.AllocClientComplete, id)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web alloc-failure"}, w.newEvals(since)); diff != "" {
		t.Errorf("evaluations (-want +got):\n%s", diff)
	}
}

func TestOthersAllocations(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.node(1)
	w.register(newJob("web"))
	id := w.place("web", 0, nomadish.AllocClientRunning)
	index := w.read().Index()
	got, err := w.UpdateAllocations(t.Context(), nodeID(1), said(nomadish.AllocClientFailed, id, nomadish.NewID()))
	if err != nil || got != index || w.read().Index() != index || w.alloc(id).ClientStatus != nomadish.AllocClientRunning {
		t.Errorf("index %d, %v, status %s", got, err, w.alloc(id).ClientStatus)
	}
}

// A node's wait for its allocations ends when the servers change one, not when it has reported.
func TestNodeAllocationsIndex(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	index := func() uint64 {
		_, index, err := w.NodeAllocations(t.Context(), nil, nodeID(0), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	if got := index(); got != 1 {
		t.Errorf("without allocations: index %d, want 1", got)
	}
	w.register(newJob("web"))
	id := w.place("web", 0, "")
	placed := index()
	w.say(0, nomadish.AllocClientRunning, id)
	if got := index(); got != placed {
		t.Errorf("after a report: index %d, want %d", got, placed)
	}
	_, stopped, err := w.StopAllocation(t.Context(), &nomadish.AllocStopRequest{AllocID: id})
	if got := index(); err != nil || got != stopped {
		t.Errorf("after a stop: index %d, want %d", got, stopped)
	}
}

// A node that may be used again has its jobs evaluated; one that may not goes on as it is.
func TestEligibility(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newJob("web"))
	w.place("web", 0, nomadish.AllocClientRunning)
	for _, tt := range []struct {
		eligibility string
		evals       int
	}{
		{nomadish.NodeEligible, 0}, // it is already
		{nomadish.NodeIneligible, 0},
		{nomadish.NodeEligible, 1},
	} {
		resp, index, err := w.SetNodeEligibility(t.Context(), &nomadish.NodeEligibilityRequest{NodeID: nodeID(0), Eligibility: tt.eligibility})
		if err != nil || len(resp.EvalIDs) != tt.evals {
			t.Errorf("%s: %+v, %v, want %d evaluations", tt.eligibility, resp, err, tt.evals)
		}
		node, _, _ := w.Node(t.Context(), nil, nodeID(0))
		if node.SchedulingEligibility != tt.eligibility || node.ModifyIndex != index {
			t.Errorf("%s: the node is %s at %d, answered %d", tt.eligibility, node.SchedulingEligibility, node.ModifyIndex, index)
		}
	}
	_, _, err := w.SetNodeEligibility(t.Context(), &nomadish.NodeEligibilityRequest{NodeID: nodeID(0), Eligibility: "maybe"})
	wantKind(t, err, nomadish.KindInvalid, `node eligibility "maybe" is neither "eligible" nor "ineligible"`)
	_, _, err = w.SetNodeEligibility(t.Context(), &nomadish.NodeEligibilityRequest{NodeID: nodeID(9), Eligibility: "eligible"})
	wantKind(t, err, nomadish.KindNotFound, "node not found")
}

// Evaluating a node evaluates what runs on it; purging forgets it besides, and its ID is free.
func TestEvaluateAndPurgeNode(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	idle, _, err := w.EvaluateNode(t.Context(), nodeID(0))
	if err != nil || len(idle.EvalIDs) != 0 {
		t.Errorf("nothing runs: %+v, %v", idle, err)
	}
	w.register(newJob("web"))
	w.place("web", 0, nomadish.AllocClientRunning)
	busy, index, err := w.EvaluateNode(t.Context(), nodeID(0))
	if err != nil || len(busy.EvalIDs) != 1 || busy.EvalCreateIndex != index || w.eval(busy.EvalIDs[0]).NodeID != nodeID(0) {
		t.Errorf("a job runs: %+v, %v", busy, err)
	}
	purged, _, err := w.PurgeNode(t.Context(), nodeID(0))
	if err != nil || len(purged.EvalIDs) != 1 {
		t.Errorf("purged: %+v, %v", purged, err)
	}
	if _, _, err := w.Node(t.Context(), nil, nodeID(0)); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("the node is still there: %v", err)
	}
	_, _, err = w.PurgeNode(t.Context(), nodeID(0))
	wantKind(t, err, nomadish.KindNotFound, "node not found")
	fresh := newNode(0)
	fresh.SecretID = "another"
	if _, err := w.RegisterNode(t.Context(), fresh); err != nil {
		t.Error(err)
	}
}

// A node that is answered after an allocation was deleted can tell that it is gone, and does
// not only miss it in an answer that is older than the allocation.
func TestNodeAllocationsAfterADeletion(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newBatch("sum"))
	id, stays := w.place("sum", 0, nomadish.AllocClientComplete), w.place("sum", 0, nomadish.AllocClientRunning)
	given := w.given(0, nil)
	deleted := w.apply(&fsm.DeleteEvaluations{AllocIDs: []string{id}})
	if got := w.given(0, nil); got.Count != 1 || len(got.Ended) != 0 || got.Index != deleted {
		t.Errorf("who asks for all: got %+v, want one that runs as of index %d", got, deleted)
	}
	got := w.given(0, given)
	want := &nomadish.NodeAllocations{Index: deleted, Since: given.Index, Listed: []string{stays}, Count: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("who had both (-want +got):\n%s", diff)
	}
	if got := w.given(0, got); got.Listed != nil {
		t.Errorf("who knows: got %+v, want no list", got)
	}
}

// given is what a node is told after an earlier answer, nil for all.
func (w *world) given(node int, known *nomadish.NodeAllocations) *nomadish.NodeAllocations {
	w.t.Helper()
	if known == nil {
		known = &nomadish.NodeAllocations{}
	}
	answer, _, err := w.NodeAllocations(w.t.Context(), nil, nodeID(node), known.Index, known.Count)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

// What a node is told of a change does not grow with the allocations that ended before, and
// an ended allocation is no more than an ID even to a node that asks for all.
func TestNodeAllocationsTellWhatChanged(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newJob("web"))
	w.place("web", 0, nomadish.AllocClientRunning)
	var sizes []int
	for _, ended := range []int{0, 1, 50} {
		for range ended {
			w.place("web", 0, nomadish.AllocClientComplete)
		}
		given := w.given(0, nil)
		if len(given.Allocs) != 1 || len(given.Ended) != given.Count-1 {
			t.Errorf("all: %d that run, %d that have ended of %d", len(given.Allocs), len(given.Ended), given.Count)
		}
		placed := w.place("web", 0, nomadish.AllocClientRunning)
		changes := w.given(0, given)
		if len(changes.Allocs) != 1 || changes.Allocs[0].ID != placed || len(changes.Ended) != 0 || changes.Listed != nil {
			t.Errorf("one was placed: got %+v", changes)
		}
		sizes = append(sizes, len(codec.Marshal(changes)))
		w.say(0, nomadish.AllocClientComplete, placed)
		if again := w.given(0, changes); len(again.Allocs)+len(again.Ended) != 0 {
			t.Errorf("the node has reported: got %+v", again)
		}
	}
	for _, size := range sizes {
		if size > sizes[0]+8 { // indexes and counts are longer numbers
			t.Errorf("answers to one change: %d bytes, want as many with any number of ended allocations", sizes)
		}
	}
}

// Whichever answers a node misses, what it puts together of changes is what the state holds.
func TestNodeAllocationsAddUp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newBatch("sum"))
	known, have := w.given(0, nil), map[string]bool{}
	for round := range 200 {
		for range rnd.IntN(4) {
			w.place("sum", 0, []string{nomadish.AllocClientRunning, nomadish.AllocClientComplete}[rnd.IntN(2)])
		}
		if ids := slices.Sorted(maps.Keys(have)); len(ids) > 0 && rnd.IntN(3) == 0 {
			w.apply(&fsm.DeleteEvaluations{AllocIDs: ids[:1+rnd.IntN(len(ids))]}) // those that run stay
		}
		known = w.given(0, known)
		for _, a := range known.Allocs {
			have[a.ID] = true
		}
		for _, id := range known.Ended {
			have[id] = true
		}
		if known.Listed != nil {
			maps.DeleteFunc(have, func(id string, _ bool) bool { return !slices.Contains(known.Listed, id) })
		}
		var want []string
		for a := range w.read().AllocationsByNode(nil, nodeID(0)) {
			want = append(want, a.ID)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(have)), cmpopts.EquateEmpty()); diff != "" || known.Count != len(want) {
			t.Fatalf("round %d, %d counted (-want +got):\n%s", round, known.Count, diff)
		}
	}
}

// A server that leads no more, and so does not know an allocation that a node reports, takes no report
// only to drop it: the node asks another server.
func TestReportOfUnknownAllocationNeedsTheNewestState(t *testing.T) {
	deposed := nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	var synced error
	w := newWorld(t, endpoint.Config{Sync: func(context.Context) error { return synced }})
	report := []*nomadish.Allocation{{ID: nomadish.NewID(), ClientStatus: nomadish.AllocClientRunning}}
	if _, err := w.UpdateAllocations(t.Context(), nomadish.NewID(), report); err != nil {
		t.Errorf("%v, want what no server knows to be dropped", err)
	}
	synced = deposed
	if _, err := w.UpdateAllocations(t.Context(), nomadish.NewID(), report); nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("%v, want %v", err, deposed)
	}
}

// A node that has just started learns what it is to run of a state that is up to date alone: it ends what that
// does not hold.
func TestAllAllocationsOfANodeAreOfTheNewestState(t *testing.T) {
	var synced error
	w := newWorld(t, endpoint.Config{Sync: func(context.Context) error { return synced }})
	if _, _, err := w.NodeAllocations(t.Context(), nil, nodeID(0), 0, 0); err != nil {
		t.Errorf("with a leader: %v", err)
	}
	synced = nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	if _, _, err := w.NodeAllocations(t.Context(), nil, nodeID(0), 0, 0); nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("of a server that does not know the newest state: %v, want %v", err, synced)
	}
	if _, _, err := w.NodeAllocations(t.Context(), nil, nodeID(0), 1, 0); err != nil {
		t.Errorf("what has changed since: %v, want an answer of what the server knows", err)
	}
}
