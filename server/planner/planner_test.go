package planner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
	"github.com/nomadish/nomadish/server/fsm"
)

// log keeps what is proposed. Each command takes its time, in which plans may queue up.
type log struct {
	mu       sync.Mutex
	delay    time.Duration
	commands []*fsm.ApplyPlan
	fail     error
	reject   bool
	forget   bool // keep no commands
}

func (l *log) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	time.Sleep(l.delay)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return 0, nil, l.fail
	}
	if _, err := fsm.Encode(c, "", time.Unix(0, 0)); err != nil {
		return 0, nil, err
	}
	plan := c.(*fsm.ApplyPlan)
	if !l.forget {
		l.commands = append(l.commands, plan)
	}
	result := &fsm.ApplyPlanResult{}
	if l.reject {
		result.Rejected = []*fsm.RejectedPart{{Part: 0, EvalID: plan.Parts[0].EvalID, Reason: "the state has moved on"}}
	}
	return uint64(len(l.commands)), result, nil
}

func node(i int, memory int64) *nomadish.Node {
	return &nomadish.Node{
		ID: fmt.Sprint("n", i), Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible,
		NodeResources: &nomadish.NodeResources{Cpu: nomadish.NodeCpuResources{CpuShares: 1 << 30}, Memory: nomadish.NodeMemoryResources{MemoryMB: memory}},
	}
}

func alloc(id, nodeID string, memory int64) *nomadish.Allocation {
	return &nomadish.Allocation{
		ID: id, NodeID: nodeID, JobID: "web", Namespace: "default", DesiredStatus: nomadish.AllocDesiredRun, ClientStatus: nomadish.AllocClientPending,
		AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{
			"server": {Cpu: nomadish.AllocatedCpuResources{CpuShares: 1}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: memory}},
		}},
	}
}

func stopped1(a *nomadish.Allocation) *nomadish.Allocation {
	s := *a
	s.DesiredStatus = nomadish.AllocDesiredStop
	return &s
}

func plan(eval string, places ...*nomadish.Allocation) *nomadish.Plan {
	p := &nomadish.Plan{EvalID: eval, NodeAllocation: map[string][]*nomadish.Allocation{}, NodeUpdate: map[string][]*nomadish.Allocation{}}
	for _, a := range places {
		p.NodeAllocation[a.NodeID] = append(p.NodeAllocation[a.NodeID], a)
	}
	return p
}

// start runs a Planner over nodes with 100 MiB each, inside a bubble, until the test ends.
func start(t *testing.T, cfg Config, l *log, nodes int) (*Planner, *capacity.Table) {
	t.Helper()
	table := capacity.New()
	for i := range nodes {
		table.PutNode(node(i, 100))
	}
	p := New(cfg, table, l)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && l.fail == nil {
			t.Error(err)
		}
	})
	return p, table
}

func submit(t *testing.T, p *Planner, plan *nomadish.Plan) *nomadish.PlanResult {
	t.Helper()
	r, err := p.Submit(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What no longer fits is rejected node by node; the rest is committed.
func TestPartialPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := start(t, Config{}, &log{}, 2)
		submit(t, p, plan("e1", alloc("a", "n0", 80)))
		r := submit(t, p, plan("e2", alloc("b", "n0", 30), alloc("c", "n1", 30), alloc("d", "gone", 1)))
		if diff := cmp.Diff(r.RejectedNodes, []string{"gone", "n0"}); diff != "" {
			t.Error(diff)
		}
		if r.RefreshIndex == 0 || len(r.NodeAllocation) != 1 || len(r.NodeAllocation["n1"]) != 1 {
			t.Errorf("got %+v", r)
		}
	})
}

// All at once means: nothing when one node doesn't fit, else one entry.
func TestAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		p, table := start(t, Config{EntrySize: 1}, l, 2)
		whole := plan("e1", alloc("a", "n0", 101), alloc("b", "n1", 50))
		whole.AllAtOnce = true
		if r := submit(t, p, whole); len(r.NodeAllocation) != 0 || r.RefreshIndex == 0 {
			t.Errorf("got %+v", r)
		}
		if free := free(table, "n1"); free != 100 {
			t.Errorf("%d MiB are free, want 100: nothing was committed", free)
		}
		whole = plan("e2", alloc("a", "n0", 99), alloc("b", "n1", 50))
		whole.AllAtOnce = true
		submit(t, p, whole)
		if len(l.commands) != 1 {
			t.Errorf("%d entries, want 1", len(l.commands))
		}
	})
}

func free(table *capacity.Table, nodeID string) int64 {
	v := table.View()
	slot, _ := v.Find(nodeID)
	return v.Free(slot).Memory
}

// A plan that stops an allocation may use its room at once; another plan only when the node
// has reported its end.
func TestRoomOfStoppedAllocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, table := start(t, Config{}, &log{}, 1)
		old := alloc("old", "n0", 80)
		submit(t, p, plan("e1", old))
		stop := plan("e2")
		stop.NodeUpdate["n0"] = []*nomadish.Allocation{stopped1(old)}
		submit(t, p, stop)
		if r := submit(t, p, plan("e3", alloc("b", "n0", 30))); len(r.RejectedNodes) != 1 {
			t.Error("room is given away that is still used")
		}
		ended := stopped1(old)
		ended.ClientStatus = nomadish.AllocClientComplete
		table.PutAllocation(ended, 0)
		if r := submit(t, p, plan("e4", alloc("b", "n0", 90))); len(r.RejectedNodes) != 0 {
			t.Error("the room is not free after the end")
		}
		replace := plan("e5", alloc("c", "n0", 95))
		replace.NodeUpdate["n0"] = []*nomadish.Allocation{stopped1(alloc("b", "n0", 90))}
		if r := submit(t, p, replace); len(r.RejectedNodes) != 0 {
			t.Error("a replacement does not get its predecessor's room")
		}
	})
}

// Plans that come while an entry is being committed share the next one.
func TestPlansShareEntries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{delay: time.Second}
		p, _ := start(t, Config{}, l, 1)
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() { submit(t, p, plan(fmt.Sprint("e", i), alloc(fmt.Sprint("a", i), "n0", 1))) })
			synctest.Wait() // the first is under way before the others come
		}
		all.Wait()
		if len(l.commands) != 2 || len(l.commands[1].Parts) != 19 {
			t.Errorf("%d entries", len(l.commands))
		}
	})
}

func TestEntriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{}
		p, _ := start(t, Config{EntrySize: 4 << 10}, l, 50)
		var places []*nomadish.Allocation
		for i := range 500 {
			places = append(places, alloc(fmt.Sprint("a", i), fmt.Sprint("n", i%50), 1))
		}
		submit(t, p, plan("e1", places...))
		n := 0
		for _, c := range l.commands {
			if size := len(c.AppendCodec(nil)); size > 8<<10 {
				t.Errorf("an entry of %d bytes", size)
			}
			for _, part := range c.Parts {
				n += len(part.Places)
			}
		}
		if n != 500 || len(l.commands) < 5 {
			t.Errorf("%d allocations in %d entries", n, len(l.commands))
		}
	})
}

// A refused plan gives back what it had booked; a doubtful one ends the Planner.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &log{reject: true}
		p, table := start(t, Config{}, l, 1)
		if _, err := p.Submit(t.Context(), plan("e1", alloc("a", "n0", 80))); nomadish.KindOf(err) != nomadish.KindConflict {
			t.Errorf("got %v, want a conflict", err)
		}
		if got := free(table, "n0"); got != 100 {
			t.Errorf("%d MiB are free, want 100", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		doubt := errors.New("outcome is unknown")
		p := New(Config{}, capacity.New(), &log{fail: doubt})
		p.table.PutNode(node(0, 100))
		done := make(chan error, 1)
		go func() { done <- p.Run(t.Context()) }()
		if _, err := p.Submit(t.Context(), plan("e1", alloc("a", "n0", 80))); !errors.Is(err, doubt) {
			t.Errorf("got %v", err)
		}
		if err := <-done; !errors.Is(err, doubt) {
			t.Errorf("Run returns %v", err)
		}
	})
}

// A node whose part is rejected again and again is left alone for a while.
func TestExclusion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := start(t, Config{RejectLimit: 3}, &log{}, 1)
		for i := range 3 {
			if len(p.Excluded()) != 0 {
				t.Errorf("excluded after %d rejections", i)
			}
			submit(t, p, plan("e", alloc("a", "n0", 101)))
		}
		if !p.Excluded()["n0"] {
			t.Error("not excluded")
		}
		time.Sleep(6 * time.Minute)
		if len(p.Excluded()) != 0 {
			t.Error("excluded for ever")
		}
	})
}

func BenchmarkPlanApply(b *testing.B) {
	for _, nodes := range []int{100, 5000} {
		for _, count := range []int{10, 10_000} {
			b.Run(fmt.Sprintf("nodes=%d/count=%d", nodes, count), func(b *testing.B) { benchPlan(b, nodes, count) })
		}
	}
}

func benchPlan(b *testing.B, nodes, count int) {
	table := capacity.New()
	for i := range nodes {
		table.PutNode(node(i, 1<<40))
	}
	p := New(Config{}, table, &log{forget: true})
	ctx, cancel := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		var places []*nomadish.Allocation
		for i := range count {
			places = append(places, alloc(fmt.Sprint(n, "-", i), fmt.Sprint("n", i%nodes), 1))
		}
		if r, err := p.Submit(ctx, plan("e", places...)); err != nil || len(r.RejectedNodes) > 0 {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "allocs/s")
	cancel()
	running.Wait()
}
