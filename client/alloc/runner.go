// Package alloc runs one allocation on its node: its tasks in the order of their
// lifecycles, and what they make together of the allocation's status and health.
package alloc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/client/task/hooks"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Config is what a runner works with.
type Config struct {
	Node           *nomadish.Node
	Alloc          *nomadish.Allocation // with Job
	Root           string               // the allocation's directory
	Drivers        map[string]drivers.Driver
	Hooks          task.Pipeline
	Networks       Networks // for groups with a network of their own; nil: this node makes none
	Region         string
	MaxKillTimeout time.Duration    // upper bound of kill_timeout; default 30s
	Changed        func()           // called after each change that Report shows; default nothing
	Jitter         func() float64   // in [0, 1); default random
	Now            func() time.Time // wall clock; default time.Now
	Logger         *slog.Logger     // default discard
}

// Store puts allocations and records of tasks on disk.
type Store interface {
	task.Store
	PutAlloc(a *nomadish.Allocation) error
}

// Runner runs one allocation.
type Runner struct {
	cfg   Config
	store Store
	group *nomadish.TaskGroup
	tasks []*task.Runner // in the order of the group
	born  time.Time      // with its monotonic reading: for spans within this process

	restored bool // from what an earlier agent left

	mu        sync.Mutex
	alloc     *nomadish.Allocation // the newest that the server gave
	stored    *nomadish.Allocation // the newest on disk
	health    *nomadish.AllocDeploymentStatus
	network   *nomadish.AllocNetworkStatus
	stopping  bool
	rewinding string    // why all tasks are to start again; empty: they are not
	stopAsked time.Time // when the server's wish was first seen
	wake      chan struct{}
}

// New returns the runner of an allocation. known are the records that an earlier agent
// left; nil for a new allocation.
func New(cfg Config, store Store, known map[string]*localstate.Task) (*Runner, error) {
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	r := &Runner{
		cfg: cfg, store: store, alloc: cfg.Alloc, health: cfg.Alloc.DeploymentStatus,
		born: time.Now(), wake: make(chan struct{}, 1), restored: known != nil, network: cfg.Alloc.NetworkStatus,
	}
	if r.network == nil {
		r.network = &nomadish.AllocNetworkStatus{} // the host's network: nothing was set up
	}
	if known != nil {
		r.stored = cfg.Alloc
	}
	i := -1
	if cfg.Alloc.Job != nil {
		i = slices.IndexFunc(cfg.Alloc.Job.TaskGroups, func(g *nomadish.TaskGroup) bool {
			return nomadish.Val(g.Name) == cfg.Alloc.TaskGroup
		})
	}
	if i < 0 {
		return nil, fmt.Errorf("allocation %s: its job has no group %q", cfg.Alloc.ID, cfg.Alloc.TaskGroup)
	}
	r.group = cfg.Alloc.Job.TaskGroups[i]
	for _, t := range r.group.Tasks {
		r.tasks = append(r.tasks, task.New(r.taskConfig(t), store, known[t.Name]))
	}
	return r, nil
}

func (r *Runner) taskConfig(t *nomadish.Task) task.Config {
	return task.Config{
		Node: r.cfg.Node, Alloc: r.cfg.Alloc, Group: r.group, Task: t, Driver: r.cfg.Drivers[t.Driver],
		Hooks: r.cfg.Hooks, GroupNetwork: r.groupNetwork, Root: r.cfg.Root, MaxKillTimeout: r.cfg.MaxKillTimeout,
		Changed: r.poke, Jitter: r.cfg.Jitter, Now: r.cfg.Now, Logger: r.cfg.Logger,
	}
}

// ID returns the allocation's ID.
func (r *Runner) ID() string { return r.cfg.Alloc.ID }

// Root returns the allocation's directory.
func (r *Runner) Root() string { return r.cfg.Root }

// Alloc returns the allocation as the server last gave it.
func (r *Runner) Alloc() *nomadish.Allocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alloc
}

func (r *Runner) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Update hands over what the server now wants of the allocation.
func (r *Runner) Update(a *nomadish.Allocation) {
	r.mu.Lock()
	if a.Job == nil || a.JobVersion == r.alloc.JobVersion {
		changed := *a
		changed.Job = r.alloc.Job
		a = &changed
	}
	r.alloc = a
	if h := a.DeploymentStatus; h != nil && h.Healthy != nil {
		r.health = h
	}
	r.mu.Unlock()
	r.poke()
}

// Stop ends the tasks, though the server did not ask for it.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.stopping = true
	r.mu.Unlock()
	r.poke()
}

func (r *Runner) views() []view {
	out := make([]view, len(r.tasks))
	for i, t := range r.tasks {
		out[i] = view{task: r.group.Tasks[i], record: t.Record()}
	}
	return out
}

// end is the end of a task's runner.
type end struct {
	task string
	err  error
}

// Run runs the tasks until all are dead or ctx ends; then they go on, and so does their
// record on disk.
func (r *Runner) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	if !r.storeAlloc(ctx) {
		return nil
	}
	ended := make(chan end, len(r.tasks))
	running := make(map[string]bool, len(r.tasks))
	start := func(t *task.Runner) {
		running[t.Name()] = true
		wg.Go(func() {
			err := t.Run(ctx)
			ended <- end{t.Name(), err}
		})
	}
	for _, t := range r.tasks {
		start(t)
	}
	var faults []error
	for len(running) > 0 {
		again := r.reconcile(ctx)
		r.cfg.Changed()
		timer := time.NewTimer(again)
		select {
		case e := <-ended:
			delete(running, e.task)
			faults = append(faults, e.err)
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil // the tasks' runners end with it
		}
		for _, t := range r.revive(ctx, running) {
			start(t)
		}
	}
	if err := r.freeNetwork(ctx); err != nil {
		r.cfg.Logger.Warn("free an ended allocation's network", "alloc", r.ID(), "err", err) // done again when it goes
	}
	r.reconcile(ctx)
	r.cfg.Changed()
	return errors.Join(faults...)
}

// storeAlloc puts the allocation on disk if it changed, and says whether it is there.
func (r *Runner) storeAlloc(ctx context.Context) bool {
	for {
		a := r.Alloc()
		r.mu.Lock()
		done := r.stored == a
		r.mu.Unlock()
		if done {
			return true
		}
		err := r.store.PutAlloc(a)
		if err == nil {
			r.mu.Lock()
			r.stored = a
			r.mu.Unlock()
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		r.cfg.Logger.Warn("store an allocation", "alloc", r.ID(), "err", err)
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Second):
		}
	}
}

// forever is longer than any wait.
const forever = 24 * time.Hour

// reconcile gives the tasks their orders and judges the health. It returns after which time
// to look again if nothing changes before.
func (r *Runner) reconcile(ctx context.Context) (again time.Duration) {
	if !r.storeAlloc(ctx) {
		return forever
	}
	r.mu.Lock()
	a, stopping := r.alloc, r.stopping
	r.mu.Unlock()
	again = forever
	if a.ServerTerminal() && !stopping {
		stopping, again = r.delayOver(a)
	}
	views := r.views()
	begin, kills := decide(views, stopping)
	if r.rewind(views, stopping) {
		begin = nil // until all have ended, and begin in their order
	}
	for _, t := range r.tasks {
		if slices.Contains(begin, t.Name()) {
			t.Begin()
		}
		for _, k := range kills {
			if k.task == t.Name() {
				skip := nomadish.Val(a.DesiredTransition.NoShutdownDelay)
				t.Kill(k.event, localstate.Kill{SkipDelay: skip})
			}
		}
	}
	return min(again, r.judgeHealth(a, views))
}

// delayOver says whether the group's shutdown_delay has gone by, or how much is left of it.
func (r *Runner) delayOver(a *nomadish.Allocation) (over bool, rest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := nomadish.Val(r.group.ShutdownDelay)
	if nomadish.Val(a.DesiredTransition.NoShutdownDelay) {
		d = 0
	}
	if r.stopAsked.IsZero() {
		r.stopAsked = time.Now()
	}
	rest = d - time.Since(r.stopAsked)
	r.stopping = rest <= 0
	if r.stopping {
		return true, forever
	}
	return false, rest
}

// judgeHealth decides, once, whether the allocation is healthy in its deployment.
func (r *Runner) judgeHealth(a *nomadish.Allocation, views []view) (again time.Duration) {
	rule := healthRuleOf(a, r.group)
	r.mu.Lock()
	defer r.mu.Unlock()
	if rule == nil || r.health != nil && r.health.Healthy != nil || a.ServerTerminal() {
		return forever
	}
	healthy, decided, again := rule.judge(views, r.cfg.Now(), time.Since(r.born))
	if !decided {
		return max(again, time.Millisecond)
	}
	h := nomadish.AllocDeploymentStatus{Healthy: &healthy, Timestamp: r.cfg.Now().UTC()}
	if r.health != nil {
		h.Canary = r.health.Canary
	}
	r.health = &h
	return forever
}

// Report returns the client's fields of the allocation, and those that name it. It is the
// caller's, but what it points to is shared.
func (r *Runner) Report() *nomadish.Allocation {
	views := r.views()
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.alloc
	out := &nomadish.Allocation{
		ID: a.ID, Namespace: a.Namespace, EvalID: a.EvalID, Name: a.Name, NodeID: a.NodeID, NodeName: a.NodeName,
		JobID: a.JobID, JobVersion: a.JobVersion, TaskGroup: a.TaskGroup, DeploymentID: a.DeploymentID,
		DesiredStatus: a.DesiredStatus, DeploymentStatus: r.health, ModifyTime: r.cfg.Now().UnixNano(),
		TaskStates:    make(map[string]*nomadish.TaskState, len(views)),
		NetworkStatus: r.network,
	}
	out.ClientStatus, out.ClientDescription = status(views)
	for _, v := range views {
		out.TaskStates[v.name()] = v.record.State
	}
	return out
}

// Destroy frees all that the allocation has on the node. It is called after Run has
// returned, and may be called twice.
func (r *Runner) Destroy(ctx context.Context) error {
	var errs []error
	for _, t := range r.tasks {
		errs = append(errs, t.Release(ctx))
	}
	if err := errors.Join(append(errs, r.freeNetwork(ctx))...); err != nil {
		return err
	}
	if err := hooks.Unmount(r.cfg.Root); err != nil {
		return fmt.Errorf("remove %w", err)
	}
	return os.RemoveAll(r.cfg.Root)
}

// Tasks returns the runners of the tasks by name.
func (r *Runner) Tasks() map[string]*task.Runner {
	out := make(map[string]*task.Runner, len(r.tasks))
	for _, t := range r.tasks {
		out[t.Name()] = t
	}
	return out
}

// TaskNames returns the names of the tasks, sorted.
func (r *Runner) TaskNames() []string { return slices.Sorted(maps.Keys(r.Tasks())) }
