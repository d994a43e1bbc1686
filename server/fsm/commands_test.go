package fsm_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/fsm"
)

// RegisterJob compares and sets, keeps counts and resources if asked to, and makes no
// version of what has not changed.
func TestRegisterJob(t *testing.T) {
	f := newFSM(t)
	enforce := func(index uint64) *fsm.RegisterJob {
		c := registerWeb(7)
		c.EnforceIndex, c.JobModifyIndex = true, index
		return c
	}
	if err := apply(t, f, 1, enforce(5)).Err; err == nil || err.Error() != "Enforcing job modify index 5: job does not exist" {
		t.Errorf("index of a job that is none: %v", err)
	}
	got := mustApply(t, f, 2, registerWeb(1))
	if diff := cmp.Diff(&fsm.RegisterJobResult{JobModifyIndex: 2, Changed: true}, got); diff != "" {
		t.Errorf("new (-want +got):\n%s", diff)
	}
	for index, want := range map[uint64]string{
		0: "Enforcing job modify index 0: job already exists",
		1: "Enforcing job modify index 1: job exists with conflicting job modify index: 2",
	} {
		err := apply(t, f, 3, enforce(index)).Err
		if err == nil || err.Error() != want || nomadish.KindOf(err) != nomadish.KindConflict {
			t.Errorf("index %d: error %v, want %s", index, err, want)
		}
	}
	got = mustApply(t, f, 4, registerWeb(1))
	if diff := cmp.Diff(&fsm.RegisterJobResult{JobModifyIndex: 2}, got); diff != "" {
		t.Errorf("unchanged (-want +got):\n%s", diff)
	}
	if e, err := f.Store().Reader().Evaluation(nil, id('e', 1)); err != nil || e.JobModifyIndex != 2 || e.ModifyIndex != 4 {
		t.Errorf("evaluation %+v (error %v)", e, err)
	}
	keep := registerWeb(9)
	keep.PreserveCounts, keep.PreserveResources = true, true
	keep.Job.Priority = nomadish.Ptr(90)
	mustApply(t, f, 5, keep)
	job, err := f.Store().Reader().Job(nil, "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	if g := job.TaskGroups[0]; *g.Count != 1 || *g.Tasks[0].Resources.CPU != 10 || *job.Priority != 90 || *job.Version != 1 {
		t.Errorf("count %d, cpu %d, priority %d, version %d; want 1, 10, 90, 1", *g.Count, *g.Tasks[0].Resources.CPU, *job.Priority, *job.Version)
	}
}

// The first node of a pool makes it, later ones leave it as it is, and the pools that always
// are need no row.
func TestRegisterNodeMakesItsPool(t *testing.T) {
	f := newFSM(t)
	for i, pool := range []string{"storage", "storage", "", nomadish.NodePoolDefault} {
		mustApply(t, f, uint64(1+i), &fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', 1+i), SecretID: "s", NodePool: pool}})
	}
	var got []string
	for p := range f.Store().Reader().NodePools(nil) {
		got = append(got, fmt.Sprintf("%s %d %d", p.Name, p.CreateIndex, p.ModifyIndex))
	}
	if want := []string{"all 1 1", "default 1 1", "storage 1 1"}; !slices.Equal(got, want) {
		t.Errorf("pools with indexes: got %v, want %v", got, want)
	}
}

// A node keeps what servers and operators decided when it registers again, and nobody
// registers it without its secret.
func TestRegisterNode(t *testing.T) {
	f := newFSM(t)
	node := &nomadish.Node{ID: id('n', 1), SecretID: "secret", Name: "one"}
	mustApply(t, f, 1, &fsm.RegisterNode{Node: node})
	mustApply(t, f, 2, &fsm.UpdateNodeEligibility{NodeID: node.ID, Eligibility: nomadish.NodeIneligible})
	mustApply(t, f, 3, &fsm.UpdateNodeStatus{
		NodeID: node.ID, Status: nomadish.NodeStatusDown, Event: &nomadish.NodeEvent{Message: "heartbeat missed", Subsystem: "Cluster"},
		Evals: []*nomadish.Evaluation{{ID: id('e', 1), Namespace: "default", JobID: "web", Status: "pending"}},
	})
	renamed := *node
	renamed.Name = "two"
	mustApply(t, f, 4, &fsm.RegisterNode{Node: &renamed})
	stranger := renamed
	stranger.SecretID = "guess"
	if err := apply(t, f, 5, &fsm.RegisterNode{Node: &stranger}).Err; nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("wrong secret: error %v, want that it is denied", err)
	}
	got, err := f.Store().Reader().Node(nil, node.ID)
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, e := range got.Events {
		events = append(events, e.Message)
	}
	if diff := cmp.Diff([]string{"Node registered", "heartbeat missed", "Node re-registered"}, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if got.Name != "two" || got.SchedulingEligibility != nomadish.NodeIneligible || got.CreateIndex != 1 || got.ModifyIndex != 4 {
		t.Errorf("node %s, %s, indexes %d and %d", got.Name, got.SchedulingEligibility, got.CreateIndex, got.ModifyIndex)
	}
	if _, err := f.Store().Reader().Evaluation(nil, id('e', 1)); err != nil {
		t.Error(err)
	}
}

// placed returns what a scheduler decides: n allocations of the job web.
func placed(n int) []*nomadish.Allocation {
	var list []*nomadish.Allocation
	for i := range n {
		list = append(list, &nomadish.Allocation{
			ID: id('a', i), Namespace: "default", JobID: "web", TaskGroup: "group", Name: "web.group[0]", NodeID: id('n', 1), EvalID: id('e', 1),
			DesiredStatus: "run", ClientStatus: "pending", CreateTime: 5, Job: &nomadish.Job{},
			Metrics: &nomadish.AllocationMetric{NodesEvaluated: 17, NodePool: "default"},
			AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{
				"task": {Memory: nomadish.AllocatedMemoryResources{MemoryMB: 256}},
			}},
		})
	}
	return list
}

func withNodeAndJob(t testing.TB) *fsm.FSM {
	t.Helper()
	f := newFSM(t)
	mustApply(t, f, 1, &fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', 1), Name: "one"}})
	mustApply(t, f, 2, registerWeb(1))
	return f
}

// A plan's entry is small, and what comes out of it is what was decided.
func TestApplyPlan(t *testing.T) {
	f := withNodeAndJob(t)
	c := fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Placed: placed(100)})
	if size := len(codec.Marshal(c)); size > 100*120 {
		t.Errorf("100 placements take %d bytes", size)
	}
	result := mustApply(t, f, 3, c)
	if diff := cmp.Diff(&fsm.ApplyPlanResult{}, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	got, err := f.Store().Reader().Allocation(nil, id('a', 42))
	if err != nil {
		t.Fatal(err)
	}
	want := placed(43)[42]
	want.Job, want.NodeName = nil, "one"
	want.CreateIndex, want.ModifyIndex, want.AllocModifyIndex = 3, 3, 3
	want.CreateTime, want.ModifyTime = start.UnixNano(), start.UnixNano()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("allocation (-want +got):\n%s", diff)
	}

	next := placed(1)[0]
	next.ID, next.PreviousAllocation = id('a', 900), id('a', 0)
	stopped := *placed(1)[0]
	stopped.DesiredStatus, stopped.DesiredDescription, stopped.ClientStatus = "stop", "alloc was lost", "lost"
	mustApply(t, f, 4, fsm.NewApplyPlan(1, fsm.PlannedPart{
		EvalID: id('e', 1), Stopped: []*nomadish.Allocation{&stopped}, Placed: []*nomadish.Allocation{next},
	}))
	old, err := f.Store().Reader().Allocation(nil, id('a', 0))
	if err != nil || old.DesiredStatus != "stop" || old.ClientStatus != "lost" || old.NextAllocation != next.ID || old.AllocModifyIndex != 4 {
		t.Errorf("stopped allocation: %s, %s, next %s, index %d (error %v)", old.DesiredStatus, old.ClientStatus, old.NextAllocation, old.AllocModifyIndex, err)
	}
}

// What has been stopped does not run again, and what has ended does not come back.
func TestEndedStaysEnded(t *testing.T) {
	f := withNodeAndJob(t)
	mustApply(t, f, 3, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Placed: placed(1)}))
	mustApply(t, f, 4, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Stopped: []*nomadish.Allocation{{ID: id('a', 0), DesiredStatus: "stop"}}}))
	result := mustApply(t, f, 5, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Placed: placed(1)})).(*fsm.ApplyPlanResult)
	if len(result.Rejected) != 1 {
		t.Errorf("placing what was stopped: %+v, want that it is rejected", result)
	}
	for i, status := range []string{"failed", "running"} {
		mustApply(t, f, uint64(6+i), &fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{
			fsm.NewNodeReport(id('n', 1), []*nomadish.Allocation{{ID: id('a', 0), ClientStatus: status}}),
		}})
	}
	a, err := f.Store().Reader().Allocation(nil, id('a', 0))
	if err != nil || a.DesiredStatus != "stop" || a.ClientStatus != "failed" {
		t.Errorf("%s, %s (error %v); want stop, failed", a.DesiredStatus, a.ClientStatus, err)
	}
}

// A part of a plan that can't be committed leaves the others alone; a plan of an earlier
// term is refused whole.
func TestApplyPlanRejects(t *testing.T) {
	f := withNodeAndJob(t)
	mustApply(t, f, 3, &fsm.TermStart{Term: 4})
	elsewhere, ok := placed(1), placed(2)[1:]
	elsewhere[0].NodeID = id('n', 9)
	c := fsm.NewApplyPlan(4, fsm.PlannedPart{EvalID: id('e', 1), Placed: elsewhere}, fsm.PlannedPart{EvalID: id('e', 1), Placed: ok})
	result := mustApply(t, f, 4, c).(*fsm.ApplyPlanResult)
	if len(result.Rejected) != 1 || result.Rejected[0].Part != 0 || !strings.Contains(result.Rejected[0].Reason, "node") {
		t.Errorf("rejected %+v, want part 0", result.Rejected)
	}
	r := f.Store().Reader()
	if _, err := r.Allocation(nil, id('a', 0)); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("rejected allocation: error %v, want not found", err)
	}
	if _, err := r.Allocation(nil, id('a', 1)); err != nil {
		t.Error(err)
	}
	c.Term = 3
	if err := apply(t, f, 5, c).Err; nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("plan of an earlier term: error %v, want a conflict", err)
	}
	if err := apply(t, f, 6, &fsm.TermStart{Term: 3}).Err; nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("term that is over: error %v, want a conflict", err)
	}
}

// Garbage collection takes what has ended, and nothing else.
func TestCollect(t *testing.T) {
	f := withNodeAndJob(t)
	mustApply(t, f, 3, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Placed: placed(2)}))
	mustApply(t, f, 4, &fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{
		fsm.NewNodeReport(id('n', 1), []*nomadish.Allocation{{ID: id('a', 0), ClientStatus: "complete"}}),
	}})
	collect := &fsm.DeleteEvaluations{EvalIDs: []string{id('e', 1)}, AllocIDs: []string{id('a', 0), id('a', 1), id('a', 2)}}
	mustApply(t, f, 5, collect)
	mustApply(t, f, 6, &fsm.PurgeJobs{Jobs: []fsm.JobName{{Namespace: "default", ID: "web"}}})
	mustApply(t, f, 7, &fsm.DeregisterNode{NodeIDs: []string{id('n', 1)}, UnlessReady: true})
	r := f.Store().Reader()
	if _, err := r.Allocation(nil, id('a', 0)); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("allocation that has ended: error %v, want not found", err)
	}
	_, evalErr := r.Evaluation(nil, id('e', 1))
	_, allocErr := r.Allocation(nil, id('a', 1))
	_, jobErr := r.Job(nil, "default", "web")
	_, nodeErr := r.Node(nil, id('n', 1))
	if err := errors.Join(evalErr, allocErr, jobErr, nodeErr); err != nil {
		t.Errorf("what goes on is gone: %v", err)
	}
	mustApply(t, f, 8, &fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{{ID: id('e', 1), Namespace: "default", JobID: "web", Status: "complete"}}})
	mustApply(t, f, 9, &fsm.DeregisterJob{Namespace: "default", JobID: "web"})
	mustApply(t, f, 10, &fsm.UpdateNodeStatus{NodeID: id('n', 1), Status: "down"})
	mustApply(t, f, 11, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Stopped: []*nomadish.Allocation{{ID: id('a', 1), DesiredStatus: "stop"}}}))
	mustApply(t, f, 12, collect)
	mustApply(t, f, 13, &fsm.PurgeJobs{Jobs: []fsm.JobName{{Namespace: "default", ID: "web"}}})
	mustApply(t, f, 14, &fsm.DeregisterNode{NodeIDs: []string{id('n', 1)}, UnlessReady: true})
	empty := newFSM(t)
	mustApply(t, empty, 14, &fsm.Barrier{})
	if got := len(snapshot(t, f.Store().Reader())); got > len(snapshot(t, empty.Store().Reader()))+40 {
		t.Errorf("the state still takes %d bytes when everything is collected", got)
	}
}

// Entries from anywhere never make the FSM panic: they are applied, or it stops.
func FuzzApply(f *testing.F) {
	for _, c := range []fsm.Command{
		registerWeb(1), &fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', 1)}},
		fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: id('e', 1), Placed: placed(2)}),
		&fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{fsm.NewNodeReport(id('n', 1), placed(1))}},
		&fsm.DeleteEvaluations{EvalIDs: []string{id('e', 1)}}, &fsm.PurgeJobs{Jobs: []fsm.JobName{{Namespace: "default", ID: "web"}}},
	} {
		f.Add(uint16(c.Kind()), codec.Marshal(c))
	}
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		machine := fsm.New(withNodeAndJob(t).Store(), fsm.Config{OnFatal: func(err error) {
			if strings.Contains(err.Error(), "panic") {
				t.Fatal(err)
			}
		}})
		data := codec.Marshal(&fsm.Entry{Kind: fsm.Kind(kind), Level: 1, Time: start.UnixNano(), Body: body})
		machine.Apply(&raft.Log{Index: 10, Type: raft.LogCommand, Data: data})
	})
}
