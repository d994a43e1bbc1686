package evals

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// cluster is a log of one server, without a disk: commands are applied as they come.
type cluster struct {
	store *state.Store
	mu    sync.Mutex
	index uint64
	bytes int                     // of all log entries
	fail  func(fsm.Command) error // before a command is applied; may be nil
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{store: state.New()}
	c.do(t, &fsm.TermStart{Term: 1, ClusterID: "test"})
	return c
}

func (c *cluster) Propose(_ context.Context, cmd fsm.Command) (uint64, any, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.fail(cmd); err != nil {
			return 0, nil, err
		}
	}
	entry, err := fsm.Encode(cmd, "", time.Now())
	if err != nil {
		return 0, nil, err
	}
	c.bytes += len(entry)
	c.index++
	txn := c.store.Begin()
	w, err := txn.Writer(c.index, time.Now())
	if err != nil {
		return 0, nil, err
	}
	answer, err := cmd.Apply(w)
	if err != nil {
		if undo := w.Undo(); undo != nil {
			return 0, nil, undo
		}
	}
	if finish := w.Finish(); finish != nil {
		return 0, nil, finish
	}
	if commit := txn.Commit(); commit != nil {
		return 0, nil, commit
	}
	return c.index, answer, err
}

func (c *cluster) do(t testing.TB, cmd fsm.Command) {
	t.Helper()
	if _, _, err := c.Propose(t.Context(), cmd); err != nil {
		t.Fatal(err)
	}
}

// lead runs Evals inside a bubble until the test ends.
func (c *cluster) lead(t *testing.T, cfg Config) *Evals {
	t.Helper()
	e := New(cfg, c.store, c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return e
}

func testNode(i int) *nomadish.Node {
	return &nomadish.Node{
		ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", i), SecretID: "s", Name: fmt.Sprint("n", i), Datacenter: "dc1",
		NodePool: "default", ComputedClass: "v1:1", Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible,
		Attributes: map[string]string{"kernel.name": "linux"},
		Drivers:    map[string]*nomadish.DriverInfo{"mock": {Detected: true, Healthy: true}},
		NodeResources: &nomadish.NodeResources{
			Cpu: nomadish.NodeCpuResources{CpuShares: 1000, TotalCpuCores: 1}, Memory: nomadish.NodeMemoryResources{MemoryMB: 1000},
			Disk: nomadish.NodeDiskResources{DiskMB: 10_000},
		},
	}
}

func testJob(id string, count, memory int) *nomadish.Job {
	return &nomadish.Job{
		ID: &id, Name: &id, Namespace: nomadish.Ptr("default"), Type: nomadish.Ptr("service"), Priority: nomadish.Ptr(50),
		Datacenters: []string{"*"}, NodePool: nomadish.Ptr("default"),
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("app"), Count: &count, Tasks: []*nomadish.Task{{
			Name: "server", Driver: "mock", Resources: &nomadish.Resources{CPU: nomadish.Ptr(10), MemoryMB: &memory},
		}}}},
	}
}

func (c *cluster) register(t testing.TB, job *nomadish.Job) *nomadish.Evaluation {
	t.Helper()
	eval := &nomadish.Evaluation{
		ID: nomadish.NewID(), Priority: 50, Type: *job.Type, TriggeredBy: nomadish.EvalTriggerJobRegister,
		Namespace: "default", JobID: *job.ID, Status: nomadish.EvalStatusPending,
	}
	c.do(t, &fsm.RegisterJob{Job: job, Eval: eval})
	return eval
}

// live counts a job's allocations that are wanted to run.
func (c *cluster) live(job string) int {
	n := 0
	for a := range c.store.Reader().AllocationsByJob(nil, "default", job) {
		if !a.Terminal() {
			n++
		}
	}
	return n
}

func (c *cluster) status(t testing.TB, id string) *nomadish.Evaluation {
	t.Helper()
	eval, err := c.store.Reader().Evaluation(nil, id)
	if err != nil {
		t.Fatal(err)
	}
	return eval
}

// A registered job gets its allocations, and its evaluation ends.
func TestJobIsPlaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for i := range 3 {
			c.do(t, &fsm.RegisterNode{Node: testNode(i)})
		}
		early := c.register(t, testJob("early", 2, 100)) // before there is a leader
		c.lead(t, Config{})
		late := c.register(t, testJob("late", 4, 100))
		synctest.Wait()
		for _, eval := range []*nomadish.Evaluation{early, late} {
			if got := c.status(t, eval.ID); got.Status != nomadish.EvalStatusComplete {
				t.Errorf("evaluation of %s: %s (%s)", got.JobID, got.Status, got.StatusDescription)
			}
		}
		if c.live("early") != 2 || c.live("late") != 4 {
			t.Errorf("%d and %d allocations, want 2 and 4", c.live("early"), c.live("late"))
		}
	})
}

// A job without room waits, and is placed when a node comes or another job ends.
func TestBlockedJobIsPlacedWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.do(t, &fsm.RegisterNode{Node: testNode(0)})
		e := c.lead(t, Config{})
		c.register(t, testJob("first", 1, 800))
		synctest.Wait()
		second := c.register(t, testJob("second", 2, 800))
		synctest.Wait()
		got := c.status(t, second.ID)
		if got.BlockedEval == "" || got.FailedTGAllocs["app"].DimensionExhausted["memory"] != 1 || e.Stats().Blocked != 1 {
			t.Fatalf("evaluation %+v, %d blocked", got, e.Stats().Blocked)
		}
		c.do(t, &fsm.RegisterNode{Node: testNode(1)})
		time.Sleep(time.Second)
		if n := c.live("second"); n != 1 {
			t.Errorf("a node came: %d allocations, want 1", n)
		}
		c.stop(t, "first")
		time.Sleep(time.Second)
		if n := c.live("second"); n != 1 {
			t.Errorf("%d allocations before the first job's has ended, want 1", n)
		}
		c.finish(t, "first")
		time.Sleep(time.Second)
		if n := c.live("second"); n != 2 {
			t.Errorf("a job ended: %d allocations, want 2", n)
		}
		if got := c.status(t, got.BlockedEval); got.Status != nomadish.EvalStatusComplete || e.Stats().Blocked != 0 {
			t.Errorf("blocked evaluation ends %s, %d blocked", got.Status, e.Stats().Blocked)
		}
	})
}

func (c *cluster) stop(t testing.TB, job string) {
	t.Helper()
	c.do(t, &fsm.DeregisterJob{Namespace: "default", JobID: job, Eval: &nomadish.Evaluation{
		ID: nomadish.NewID(), Priority: 50, Type: "service", TriggeredBy: nomadish.EvalTriggerJobDeregister,
		Namespace: "default", JobID: job, Status: nomadish.EvalStatusPending,
	}})
}

// finish lets the nodes report the end of a job's allocations.
func (c *cluster) finish(t testing.TB, job string) {
	t.Helper()
	for a := range c.store.Reader().AllocationsByJob(nil, "default", job) {
		said := *a
		said.ClientStatus = nomadish.AllocClientComplete
		c.do(t, &fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{fsm.NewNodeReport(a.NodeID, []*nomadish.Allocation{&said})}})
	}
}

// When nobody knows what became of a plan, work begins again from the state, and nothing is
// placed twice.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for i := range 2 {
			c.do(t, &fsm.RegisterNode{Node: testNode(i)})
		}
		lost := 2
		c.fail = func(cmd fsm.Command) error {
			if _, isPlan := cmd.(*fsm.ApplyPlan); isPlan && lost > 0 {
				lost--
				return fmt.Errorf("outcome is unknown")
			}
			return nil
		}
		c.lead(t, Config{})
		eval := c.register(t, testJob("web", 3, 300))
		time.Sleep(time.Minute)
		if n := c.live("web"); n != 3 || c.status(t, eval.ID).Status != nomadish.EvalStatusComplete {
			t.Errorf("%d allocations, evaluation %s", n, c.status(t, eval.ID).Status)
		}
	})
}

// Many jobs scheduled side by side never overbook a node, and those that find no room wait.
func TestSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		for i := range 4 {
			c.do(t, &fsm.RegisterNode{Node: testNode(i)})
		}
		c.lead(t, Config{Workers: 4})
		for i := range 20 {
			c.register(t, testJob(fmt.Sprint("job", i), 1, 250)) // 16 of them fit
		}
		time.Sleep(time.Minute)
		used, live := map[string]int{}, 0
		for a := range c.store.Reader().Allocations(nil) {
			if !a.Terminal() {
				used[a.NodeID] += 250
				live++
			}
		}
		for node, memory := range used {
			if memory > 1000 {
				t.Errorf("%d MiB of 1000 are given away on %s", memory, node)
			}
		}
		if live != 16 {
			t.Errorf("%d allocations, want 16", live)
		}
	})
}

// A failed allocation is replaced once its delay has passed.
func TestDelayedReschedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		c.do(t, &fsm.RegisterNode{Node: testNode(0)})
		c.lead(t, Config{})
		job := testJob("web", 1, 100)
		job.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{
			Delay: nomadish.Ptr(30 * time.Second), DelayFunction: nomadish.Ptr("constant"), Unlimited: nomadish.Ptr(true),
		}
		c.register(t, job)
		synctest.Wait()
		var first *nomadish.Allocation
		for a := range c.store.Reader().AllocationsByJob(nil, "default", "web") {
			first = a
		}
		if first == nil {
			t.Fatal("nothing is placed")
		}
		said := *first
		said.ClientStatus = nomadish.AllocClientFailed
		said.TaskStates = map[string]*nomadish.TaskState{"server": {State: nomadish.TaskStateDead, Failed: true, FinishedAt: time.Now()}}
		c.do(t, &fsm.UpdateAllocsFromNode{
			Reports: []*fsm.NodeReport{fsm.NewNodeReport(first.NodeID, []*nomadish.Allocation{&said})},
			Evals: []*nomadish.Evaluation{{
				ID: nomadish.NewID(), Priority: 50, Type: "service", TriggeredBy: nomadish.EvalTriggerRetryFailedAlloc,
				Namespace: "default", JobID: "web", Status: nomadish.EvalStatusPending,
			}},
		})
		time.Sleep(29 * time.Second)
		if n := c.live("web"); n != 0 {
			t.Errorf("replaced too early")
		}
		time.Sleep(2 * time.Second)
		if n := c.live("web"); n != 1 {
			t.Errorf("%d allocations after the delay, want 1", n)
		}
	})
}
