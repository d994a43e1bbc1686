package server_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/state"
)

// drained is a cluster whose nodes run what they are given.
type drained struct {
	*failover
	ctx   context.Context //nolint:containedctx // of one test
	began time.Time
	fakes sync.WaitGroup

	mu    sync.Mutex
	ended map[string]bool // jobs whose allocations end by themselves
	stuck map[int]bool    // nodes on which nothing new comes to run
}

// inDrained runs a test with one node; others may join.
func inDrained(t *testing.T, test func(d *drained)) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		c.awaitLeader(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		d := &drained{
			failover: &failover{t: t, cluster: c, counts: map[string][]int{}}, ctx: ctx,
			ended: map[string]bool{}, stuck: map[int]bool{},
		}
		defer d.fakes.Wait()
		defer cancel()
		d.join(0)
		time.Sleep(2 * time.Second)
		test(d)
	})
}

// join starts a node.
func (d *drained) join(i int) { d.fakes.Go(func() { d.node(i) }) }

// node runs what it is given: a task runs from the moment in which it is first seen, and ends when it is
// told so.
func (d *drained) node(i int) {
	n := newNode(i)
	d.do(func(ctx context.Context, e *endpoint.Endpoint) error { _, err := e.RegisterNode(ctx, n); return err })
	for beat := 0; d.ctx.Err() == nil; beat++ {
		d.do(func(ctx context.Context, e *endpoint.Endpoint) error {
			if beat%20 == 0 {
				if _, err := e.Heartbeat(ctx, n.ID, nomadish.NodeStatusReady); err != nil {
					return err
				}
			}
			given, _, err := e.NodeAllocations(ctx, nil, n.ID, 0, 0)
			if err == nil {
				_, err = e.UpdateAllocations(ctx, n.ID, d.reports(i, given.Allocs))
			}
			return err
		})
		time.Sleep(100 * time.Millisecond)
	}
}

func (d *drained) reports(node int, given []*nomadish.Allocation) []*nomadish.Allocation {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []*nomadish.Allocation
	for _, a := range given {
		status, state := nomadish.AllocClientRunning, &nomadish.TaskState{State: nomadish.TaskStateRunning}
		switch {
		case a.ClientTerminal():
			continue
		case a.ServerTerminal(), d.ended[a.JobID]:
			status, state = nomadish.AllocClientComplete, &nomadish.TaskState{State: nomadish.TaskStateDead}
		case a.ClientStatus == status, d.stuck[node]:
			continue
		}
		state.StartedAt = time.Now()
		out = append(out, &nomadish.Allocation{ID: a.ID, ClientStatus: status, TaskStates: map[string]*nomadish.TaskState{"t": state}})
	}
	return out
}

func (d *drained) do(what func(context.Context, *endpoint.Endpoint) error) {
	d.t.Helper()
	if !d.attempt(d.ctx, what) && d.ctx.Err() == nil {
		d.t.Error("it was refused")
	}
}

// run registers a job and waits until it runs.
func (d *drained) run(kind string, count int, migrate *nomadish.MigrateStrategy) {
	d.t.Helper()
	job := newJob(kind, count)
	job.Type = &kind
	job.TaskGroups[0].Migrate = migrate
	d.do(func(ctx context.Context, e *endpoint.Endpoint) error {
		_, _, err := e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: job})
		return err
	})
	time.Sleep(2 * time.Second)
}

// drain drains the first node.
func (d *drained) drain(spec nomadish.DrainSpec) {
	d.t.Helper()
	d.began = time.Now()
	d.do(func(ctx context.Context, e *endpoint.Endpoint) error {
		_, _, err := e.DrainNode(ctx, &nomadish.NodeDrainRequest{NodeID: newNode(0).ID, DrainSpec: &spec, Meta: map[string]string{"message": "disk"}})
		return err
	})
}

func (d *drained) state() state.Reader { return d.leader().now.Load().Store().Reader() }

// on counts the allocations of a job that run on a node.
func (d *drained) on(node int, job string) int {
	n := 0
	for a := range d.state().AllocationsByNode(nil, newNode(node).ID) {
		if a.JobID == job && a.ClientStatus == nomadish.AllocClientRunning {
			n++
		}
	}
	return n
}

// over returns after what time the drain was over, or fails.
func (d *drained) over(patience time.Duration) time.Duration {
	d.t.Helper()
	for time.Since(d.began) < patience {
		if n, err := d.state().Node(nil, newNode(0).ID); err == nil && n.DrainStrategy == nil && n.LastDrain.Status == nomadish.DrainComplete {
			return time.Since(d.began)
		}
		time.Sleep(50 * time.Millisecond)
	}
	d.t.Fatalf("after %s the node still drains", patience)
	return 0
}

// want compares how many allocations of jobs run on the first node and on the second.
func (d *drained) want(when string, jobs map[string][2]int) {
	d.t.Helper()
	for job, n := range jobs {
		if got := [2]int{d.on(0, job), d.on(1, job)}; got != n {
			d.t.Errorf("%s: %s runs %d times on the first node and %d on the second, want %d", when, job, got[0], got[1], n)
		}
	}
}

const (
	service = nomadish.JobTypeService
	batch   = nomadish.JobTypeBatch
)

// A service leaves max_parallel at a time, and what has moved must have been healthy for
// min_healthy_time before the next go; the node stays ineligible and tells what the drain was.
func TestDrainMovesServices(t *testing.T) {
	inDrained(t, func(d *drained) {
		d.run(service, 6, &nomadish.MigrateStrategy{
			MaxParallel: nomadish.Ptr(2), HealthCheck: nomadish.Ptr("task_states"),
			MinHealthyTime: nomadish.Ptr(10 * time.Second), HealthyDeadline: nomadish.Ptr(time.Minute),
		})
		d.join(1)
		time.Sleep(2 * time.Second)
		d.want("before", map[string][2]int{service: {6, 0}})
		d.drain(nomadish.DrainSpec{Deadline: time.Hour})
		for _, step := range []int{2, 4, 6} {
			time.Sleep(9 * time.Second)
			d.want(fmt.Sprint("after ", time.Since(d.began)), map[string][2]int{service: {6 - step, step}})
			time.Sleep(2 * time.Second)
		}
		d.over(time.Minute)
		n, err := d.state().Node(nil, newNode(0).ID)
		if err != nil {
			t.Fatal(err)
		}
		if n.SchedulingEligibility != nomadish.NodeIneligible || n.LastDrain.Meta["message"] != "disk" {
			t.Errorf("the node is %s, its drain %+v", n.SchedulingEligibility, n.LastDrain)
		}
		var told []string
		for _, e := range n.Events {
			if e.Subsystem == "Drain" {
				told = append(told, fmt.Sprint(e.Message, e.Details))
			}
		}
		if got, want := fmt.Sprint(told), "[Node drain strategy setmap[deadline:1h0m0s meta.message:disk] Node drain completemap[]]"; got != want {
			t.Errorf("events are %s, want %s", got, want)
		}
	})
}

// A replacement that does not become healthy holds the others up until its healthy_deadline, and no longer.
func TestDrainGoesOnAfterTheHealthyDeadline(t *testing.T) {
	inDrained(t, func(d *drained) {
		d.run(service, 2, &nomadish.MigrateStrategy{
			MaxParallel: nomadish.Ptr(1), HealthCheck: nomadish.Ptr("task_states"),
			MinHealthyTime: nomadish.Ptr(10 * time.Second), HealthyDeadline: nomadish.Ptr(30 * time.Second),
		})
		d.mu.Lock()
		d.stuck[1] = true
		d.mu.Unlock()
		d.join(1)
		time.Sleep(2 * time.Second)
		d.drain(nomadish.DrainSpec{Deadline: time.Hour})
		time.Sleep(25 * time.Second)
		d.want("before the healthy deadline", map[string][2]int{service: {1, 0}})
		if took := d.over(time.Minute); took < 30*time.Second {
			t.Errorf("the drain was over after %s, want more than 30s", took)
		}
	})
}

// Batch work runs on until its end or the deadline; then it is queued again and runs elsewhere.
func TestDrainWaitsForBatchWork(t *testing.T) {
	all := func(t *testing.T, test func(d *drained)) {
		inDrained(t, func(d *drained) {
			for _, kind := range []string{service, batch} {
				d.run(kind, 1, nil)
			}
			d.join(1)
			time.Sleep(3 * time.Second)
			d.want("before", map[string][2]int{service: {1, 0}, batch: {1, 0}})
			test(d)
		})
	}
	t.Run("until its end", func(t *testing.T) {
		all(t, func(d *drained) {
			d.drain(nomadish.DrainSpec{Deadline: time.Hour})
			time.Sleep(time.Minute)
			d.want("meanwhile", map[string][2]int{service: {0, 1}, batch: {1, 0}})
			d.mu.Lock()
			d.ended[batch] = true
			d.mu.Unlock()
			if took := d.over(2 * time.Minute); took > 65*time.Second {
				t.Errorf("the drain was over after %s, though nothing was left after a minute", took)
			}
			d.want("at the end", map[string][2]int{service: {0, 1}, batch: {0, 0}})
		})
	})
	t.Run("until the deadline", func(t *testing.T) {
		all(t, func(d *drained) {
			d.drain(nomadish.DrainSpec{Deadline: 30 * time.Second})
			if took := d.over(time.Minute); took < 30*time.Second || took > 33*time.Second {
				t.Errorf("the drain was over after %s, want 30s", took)
			}
			time.Sleep(2 * time.Second)
			d.want("at the end", map[string][2]int{service: {0, 1}, batch: {0, 1}})
			n, err := d.state().Node(nil, newNode(0).ID)
			if err != nil {
				t.Fatal(err)
			}
			if last := n.Events[len(n.Events)-1]; last.Message != "Node drain complete" || last.Details["deadline_reached"] != "true" {
				t.Errorf("the last event is %+v", last)
			}
		})
	})
	t.Run("not at all by force", func(t *testing.T) {
		all(t, func(d *drained) {
			d.drain(nomadish.DrainSpec{Deadline: -1})
			if took := d.over(time.Minute); took > 3*time.Second {
				t.Errorf("the drain was over after %s, want it at once", took)
			}
			time.Sleep(2 * time.Second)
			d.want("at the end", map[string][2]int{service: {0, 1}, batch: {0, 1}})
		})
	})
}

// Without a deadline a drain waits for batch work for as long as that takes; a deadline that is set later
// counts from then on, and a drain that is called off leaves the work where it is.
func TestDrainIsChanged(t *testing.T) {
	inDrained(t, func(d *drained) {
		d.run(batch, 1, nil)
		d.join(1)
		time.Sleep(2 * time.Second)
		d.drain(nomadish.DrainSpec{})
		time.Sleep(time.Minute)
		d.want("after a minute", map[string][2]int{batch: {1, 0}})
		d.do(func(ctx context.Context, e *endpoint.Endpoint) error {
			_, _, err := e.DrainNode(ctx, &nomadish.NodeDrainRequest{NodeID: newNode(0).ID, MarkEligible: true})
			return err
		})
		time.Sleep(time.Second)
		n, err := d.state().Node(nil, newNode(0).ID)
		if err != nil || n.LastDrain.Status != nomadish.DrainCanceled || !n.Ready() {
			t.Errorf("the drain is %+v (%v), the node eligible: %t", n.LastDrain, err, n.Ready())
		}
		d.want("called off", map[string][2]int{batch: {1, 0}})
		d.drain(nomadish.DrainSpec{})
		time.Sleep(20 * time.Second)
		d.drain(nomadish.DrainSpec{Deadline: 10 * time.Second})
		if took := d.over(time.Minute); took < 10*time.Second {
			t.Errorf("it was over %s after its deadline was set, want 10s", took)
		}
		time.Sleep(2 * time.Second)
		d.want("at the end", map[string][2]int{batch: {0, 1}})
	})
}
