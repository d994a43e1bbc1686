package drain_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/drain"
	"github.com/nomadish/nomadish/server/state"
)

// world is a log that goes straight to the state machine.
type world struct {
	t     testing.TB
	store *state.Store

	mu      sync.Mutex
	machine *fsm.FSM
	index   uint64
	evals   int // that were made

	at      time.Time     // of all entries of the log; zero: as it is
	healthy time.Duration // the healthy_deadline of new jobs
}

func newWorld(t testing.TB) *world { return newWorldAt(t, time.Time{}) }

// newWorldAt is a world in which everything was made at one time.
func newWorldAt(t testing.TB, at time.Time) *world {
	store := state.New()
	w := &world{t: t, store: store, machine: fsm.New(store, fsm.Config{}), at: at, healthy: 90 * time.Second}
	w.do(&fsm.TermStart{Term: 1, ClusterID: nomadish.NewID()})
	return w
}

// Propose implements drain.Proposer.
func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c, ok := c.(*fsm.TransitionAllocs); ok {
		w.evals += len(c.Evals)
	}
	at := w.at
	if at.IsZero() {
		at = time.Now()
	}
	entry, err := fsm.Encode(c, "", at)
	if err != nil {
		return 0, nil, err
	}
	w.index++
	result := w.machine.Apply(&raft.Log{Index: w.index, Type: raft.LogCommand, Data: entry}).(fsm.Result)
	return result.Index, result.Value, result.Err
}

func (w *world) do(c fsm.Command) {
	w.t.Helper()
	if _, _, err := w.Propose(w.t.Context(), c); err != nil {
		w.t.Fatal(err)
	}
}

func id(kind byte, n int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", n, kind) }

// node makes a node, which drains if there is a strategy.
func (w *world) node(n int, strategy *nomadish.DrainStrategy) {
	w.t.Helper()
	w.do(&fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', n), Name: fmt.Sprint("n", n), Status: nomadish.NodeStatusReady}})
	if strategy != nil {
		w.drain(n, strategy)
	}
}

func (w *world) drain(n int, strategy *nomadish.DrainStrategy) {
	w.t.Helper()
	w.do(&fsm.UpdateNodeDrain{NodeID: id('n', n), Strategy: strategy, MarkEligible: strategy == nil, Event: &nomadish.NodeEvent{Message: "drain"}})
}

// job registers a job of one group of count allocations, of which max_parallel may move at once.
func (w *world) job(kind, name string, count, parallel int) {
	w.t.Helper()
	tg := &nomadish.TaskGroup{Name: nomadish.Ptr("g"), Count: &count}
	if kind == nomadish.JobTypeService {
		tg.Migrate = &nomadish.MigrateStrategy{MaxParallel: &parallel, MinHealthyTime: nomadish.Ptr(10 * time.Second), HealthyDeadline: &w.healthy}
		tg.Tasks = []*nomadish.Task{{Name: "t"}, {Name: "log"}, {Name: "init", Lifecycle: &nomadish.TaskLifecycle{Hook: "prestart"}}}
	}
	w.do(&fsm.RegisterJob{Job: &nomadish.Job{
		Namespace: nomadish.Ptr("default"), ID: &name, Type: &kind, TaskGroups: []*nomadish.TaskGroup{tg},
	}})
}

// run places an allocation on a node; it runs since a time.
func (w *world) run(n int, job string, on int, since time.Time) {
	w.t.Helper()
	a := &nomadish.Allocation{
		ID: id('a', n), Namespace: "default", JobID: job, TaskGroup: "g", Name: fmt.Sprintf("%s.g[%d]", job, n), NodeID: id('n', on),
		EvalID: id('e', n), DesiredStatus: nomadish.AllocDesiredRun, AllocatedResources: &nomadish.AllocatedResources{},
	}
	w.do(fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: a.EvalID, Placed: []*nomadish.Allocation{a}}))
	w.say(n, on, nomadish.AllocClientRunning, since)
}

func (w *world) say(n, on int, status string, since time.Time) {
	w.t.Helper()
	w.states(n, on, status, map[string]*nomadish.TaskState{"t": {State: nomadish.TaskStateRunning, StartedAt: since}})
}

// states has a node say how an allocation and its tasks are.
func (w *world) states(n, on int, status string, tasks map[string]*nomadish.TaskState) {
	w.t.Helper()
	said := &nomadish.Allocation{ID: id('a', n), ClientStatus: status, TaskStates: tasks}
	w.do(&fsm.UpdateAllocsFromNode{Reports: []*fsm.NodeReport{fsm.NewNodeReport(id('n', on), []*nomadish.Allocation{said})}})
}

// decided is a decision in short.
func decided(d drain.Decision) []string {
	out := []string{}
	for _, a := range d.Migrate {
		var n int
		_, _ = fmt.Sscanf(a[:8], "%x", &n)
		out = append(out, fmt.Sprint("migrate ", n))
	}
	for _, j := range d.Jobs {
		out = append(out, "evaluate "+nomadish.Val(j.ID))
	}
	for _, f := range d.Forced {
		out = append(out, "forced "+f.NodeID[7:8])
	}
	for _, f := range d.Done {
		out = append(out, "done "+f.NodeID[7:8])
	}
	return out
}

// decision is a state and what is decided in it.
type decision struct {
	name string
	make func(w *world)
	want []string
	next time.Duration // from now; 0: none
}

// drainTimes are what the states of decisions are made of: a time long ago, and drains until a
// deadline, one of which is in a minute.
func drainTimes(now time.Time) (long time.Time, by func(at time.Time) *nomadish.DrainStrategy, later *nomadish.DrainStrategy) {
	long = now.Add(-time.Hour)
	by = func(at time.Time) *nomadish.DrainStrategy {
		return &nomadish.DrainStrategy{Deadline: time.Hour, StartedAt: long, ForceDeadline: at}
	}
	return long, by, by(now.Add(time.Minute))
}

// decisions are what is decided in many states at a time.
func decisions(now time.Time) []decision {
	long, _, later := drainTimes(now)
	return append(moreDecisions(now), []decision{
		{"nothing drains", func(w *world) { w.node(1, nil); w.job("service", "web", 1, 1); w.run(1, "web", 1, long) }, nil, 0},
		{"an empty node is done", func(w *world) { w.node(1, later) }, []string{"done 1"}, time.Minute},
		{"one at a time", func(w *world) {
			w.node(1, later)
			w.job("service", "web", 3, 1)
			for i := range 3 {
				w.run(i+1, "web", 1, long)
			}
		}, []string{"migrate 1", "evaluate web"}, time.Minute},
		{"two at a time, over two nodes", func(w *world) {
			w.node(1, later)
			w.node(2, later)
			w.job("service", "web", 4, 2)
			for i := range 4 {
				w.run(i+1, "web", 1+i%2, long)
			}
		}, []string{"migrate 1", "migrate 2", "evaluate web"}, time.Minute},
		{"what has moved must be healthy first", func(w *world) {
			w.node(1, later)
			w.node(2, nil)
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, long)
			w.run(2, "web", 2, now.Add(-4*time.Second))
		}, nil, 6 * time.Second},
		{"what has moved has until its deadline to be healthy", func(w *world) {
			w.node(1, later)
			w.node(2, nil)
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, long)
			w.run(2, "web", 2, long)
			w.say(2, 2, nomadish.AllocClientPending, long)
		}, nil, 30 * time.Second},
		{"what is not healthy by its deadline holds up nothing", func(w *world) {
			w.node(1, later)
			w.node(2, nil)
			w.healthy = 50 * time.Second
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, long)
			w.run(2, "web", 2, long)
			w.say(2, 2, nomadish.AllocClientPending, long)
		}, []string{"migrate 1", "evaluate web"}, time.Minute},
		{"every task has to run", func(w *world) {
			w.node(1, later)
			w.node(2, nil)
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, long)
			w.run(2, "web", 2, long)
			w.states(2, 2, nomadish.AllocClientRunning, map[string]*nomadish.TaskState{"t": {State: nomadish.TaskStateRunning, StartedAt: long}, "log": {State: nomadish.TaskStatePending}})
		}, nil, 30 * time.Second},
		{"tasks that prepare need not run", func(w *world) {
			w.node(1, later)
			w.node(2, nil)
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, long)
			w.run(2, "web", 2, long)
			w.states(2, 2, nomadish.AllocClientRunning, map[string]*nomadish.TaskState{"t": {State: nomadish.TaskStateRunning, StartedAt: long}, "init": {State: nomadish.TaskStateDead}})
		}, []string{"migrate 1", "evaluate web"}, time.Minute},
		{"batch work runs on", func(w *world) { w.node(1, later); w.job("batch", "sum", 1, 0); w.run(1, "sum", 1, long) }, nil, time.Minute},
		{"system jobs wait for others", func(w *world) {
			w.node(1, later)
			w.job("system", "log", 1, 0)
			w.run(1, "log", 1, long)
			w.job("batch", "sum", 1, 0)
			w.run(2, "sum", 1, long)
		}, nil, time.Minute},
		{"sysbatch work runs on", func(w *world) { w.node(1, later); w.job("sysbatch", "scan", 1, 0); w.run(1, "scan", 1, long) }, nil, time.Minute},
		{"and is ignored with system jobs", func(w *world) {
			s := *later
			s.IgnoreSystemJobs = true
			w.node(1, &s)
			w.job("sysbatch", "scan", 1, 0)
			w.run(1, "scan", 1, long)
		}, []string{"done 1"}, time.Minute},
		{
			"system jobs are last", func(w *world) { w.node(1, later); w.job("system", "log", 1, 0); w.run(1, "log", 1, long) },
			[]string{"migrate 1", "evaluate log"},
			time.Minute,
		},
		{"system jobs are ignored", func(w *world) {
			s := *later
			s.IgnoreSystemJobs = true
			w.node(1, &s)
			w.job("system", "log", 1, 0)
			w.run(1, "log", 1, long)
		}, []string{"done 1"}, time.Minute},
	}...)
}

func moreDecisions(now time.Time) []decision {
	long, by, later := drainTimes(now)
	return []decision{
		{"the deadline has passed", func(w *world) {
			w.node(1, by(now))
			w.job("service", "web", 2, 1)
			w.run(1, "web", 1, now)
			w.run(2, "web", 1, now)
			w.job("batch", "sum", 1, 0)
			w.run(3, "sum", 1, long)
			w.job("system", "log", 1, 0)
			w.run(4, "log", 1, long)
		}, []string{"migrate 1", "migrate 2", "migrate 3", "migrate 4", "evaluate log", "evaluate sum", "evaluate web"}, 0},
		{"nothing is left after the deadline", func(w *world) { w.node(1, by(now)) }, []string{"forced 1"}, 0},
		{"by force", func(w *world) {
			w.node(1, &nomadish.DrainStrategy{Deadline: -1, StartedAt: long})
			w.job("batch", "sum", 1, 0)
			w.run(1, "sum", 1, long)
		}, []string{"migrate 1", "evaluate sum"}, 0},
		{"without a deadline", func(w *world) {
			w.node(1, &nomadish.DrainStrategy{StartedAt: long})
			w.job("batch", "sum", 1, 0)
			w.run(1, "sum", 1, long)
		}, nil, 0},
		{"the job is stopped", func(w *world) {
			w.node(1, later)
			w.job("service", "web", 1, 1)
			w.run(1, "web", 1, long)
			w.do(&fsm.DeregisterJob{Namespace: "default", JobID: "web"})
		}, nil, time.Minute},
		{"told already", func(w *world) {
			w.node(1, later)
			w.job("service", "web", 1, 1)
			w.run(1, "web", 1, long)
			w.do(&fsm.TransitionAllocs{AllocIDs: []string{id('a', 1)}, Transition: nomadish.DesiredTransition{Migrate: nomadish.Ptr(true)}})
		}, nil, time.Minute},
		{"told before the deadline passed", func(w *world) {
			w.node(1, by(now))
			w.job("service", "web", 1, 1)
			w.run(1, "web", 1, long)
			w.do(&fsm.TransitionAllocs{AllocIDs: []string{id('a', 1)}, Transition: nomadish.DesiredTransition{Migrate: nomadish.Ptr(true)}})
		}, []string{"evaluate web"}, 0},
		{"what has ended does not hold it up", func(w *world) {
			w.node(1, later)
			w.job("batch", "sum", 1, 0)
			w.run(1, "sum", 1, long)
			w.say(1, 1, nomadish.AllocClientComplete, long)
		}, []string{"done 1"}, time.Minute},
	}
}

// What a drain does with the work of each type, before and after its deadline.
func TestDecide(t *testing.T) {
	now := time.Now()
	for _, tt := range decisions(now) {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorldAt(t, now.Add(-time.Minute))
			tt.make(w)
			at := now
			got := drain.Decide(w.store.Reader(), at)
			if diff := cmp.Diff(decided(got), append([]string{}, tt.want...)); diff != "" {
				t.Errorf("got - want +:\n%s", diff)
			}
			var next time.Duration
			if !got.Next.IsZero() {
				next = got.Next.Sub(now)
			}
			if next != tt.next {
				t.Errorf("looks again after %s, want %s", next, tt.next)
			}
			if diff := cmp.Diff(decided(drain.Decide(w.store.Reader(), at)), decided(got)); diff != "" {
				t.Errorf("the same state and time give another decision:\n%s", diff)
			}
		})
	}
}

// A drain goes on by itself until its deadline, forces what is left then, once, and ends when
// that has ended; what it was is remembered.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node(1, nil)
		w.job("batch", "sum", 1, 0)
		w.run(1, "sum", 1, time.Now())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		run := func(ctx context.Context) {
			if err := drain.New(drain.Config{}, w.store, w).Run(ctx); err != nil {
				t.Error(err)
			}
		}
		first, lose := context.WithCancel(ctx)
		go run(first)
		synctest.Wait()
		start := time.Now()
		w.drain(1, &nomadish.DrainStrategy{Deadline: time.Minute, StartedAt: start, ForceDeadline: start.Add(time.Minute)})
		time.Sleep(50 * time.Second)
		if w.marked(1) {
			t.Error("batch work is moved before the deadline")
		}
		lose() // another leader goes on
		synctest.Wait()
		go run(ctx)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if !w.marked(1) || w.evals != 1 {
			t.Errorf("after the deadline: marked %v, %d evaluations, want one", w.marked(1), w.evals)
		}
		time.Sleep(time.Hour)
		if w.evals != 1 {
			t.Errorf("%d evaluations after an hour, want the one", w.evals)
		}
		w.say(1, 1, nomadish.AllocClientComplete, start)
		time.Sleep(time.Second)
		synctest.Wait()
		n, err := w.store.Reader().Node(nil, id('n', 1))
		if err != nil {
			t.Fatal(err)
		}
		if n.Drain || n.DrainStrategy != nil || n.SchedulingEligibility != nomadish.NodeIneligible || n.LastDrain == nil ||
			n.LastDrain.Status != nomadish.DrainComplete || !n.LastDrain.UpdatedAt.After(n.LastDrain.StartedAt) {
			t.Errorf("drain %v, %v, %s, last %+v: want it to be complete, and the node ineligible", n.Drain, n.DrainStrategy, n.SchedulingEligibility, n.LastDrain)
		}
	})
}

func (w *world) marked(n int) bool {
	w.t.Helper()
	a, err := w.store.Reader().Allocation(nil, id('a', n))
	if err != nil {
		w.t.Fatal(err)
	}
	return nomadish.Val(a.DesiredTransition.Migrate)
}

// A drain that was changed in the meantime is not ended by a decision about what it was.
func TestFinishOfChangedDrain(t *testing.T) {
	w := newWorld(t)
	old := &nomadish.DrainStrategy{StartedAt: time.Unix(1000, 0)}
	w.node(1, old)
	w.drain(1, &nomadish.DrainStrategy{Deadline: time.Hour, StartedAt: time.Unix(2000, 0), ForceDeadline: time.Unix(5600, 0)})
	w.do(&fsm.FinishDrains{Drains: []fsm.FinishedDrain{{NodeID: id('n', 1), Strategy: old}}})
	n, err := w.store.Reader().Node(nil, id('n', 1))
	if err != nil {
		t.Fatal(err)
	}
	if !n.Drain || n.DrainStrategy == nil || !n.DrainStrategy.StartedAt.Equal(old.StartedAt) || n.LastDrain.Status != nomadish.DrainDraining {
		t.Errorf("drain %v %+v, last %+v: want it to go on", n.Drain, n.DrainStrategy, n.LastDrain)
	}
	w.drain(1, nil)
	if n, err = w.store.Reader().Node(nil, id('n', 1)); err != nil {
		t.Fatal(err)
	}
	if n.Drain || n.SchedulingEligibility != nomadish.NodeEligible || n.LastDrain.Status != nomadish.DrainCanceled {
		t.Errorf("canceled: drain %v, %s, last %+v", n.Drain, n.SchedulingEligibility, n.LastDrain)
	}
}
