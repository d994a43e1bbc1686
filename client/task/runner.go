// Package task runs one task of an allocation on its node.
//
// What happens to the task, and what is wanted of it, are inputs of a pure state machine
// (Policy.Step), which makes a new record of the old one. The runner puts the record on
// disk and then does what its phase asks for. So at any moment the record on disk is one
// from which a later agent can go on: nothing is done that is not written down first.
package task

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Config is what a runner works with.
type Config struct {
	Node           *nomadish.Node
	Alloc          *nomadish.Allocation // with Job
	Group          *nomadish.TaskGroup
	Task           *nomadish.Task
	Driver         drivers.Driver // nil when the node has none of the task's name
	Hooks          Pipeline
	GroupNetwork   func(ctx context.Context) (*GroupNetwork, error) // see Setup; default the host's
	Root           string                                           // the allocation's directory
	MaxKillTimeout time.Duration                                    // upper bound of kill_timeout; default 30s
	Changed        func()                                           // called after each change of the task's state; default nothing
	Jitter         func() float64                                   // in [0, 1); default random
	Now            func() time.Time                                 // wall clock; default time.Now
	Logger         *slog.Logger                                     // default discard
}

func (c Config) withDefaults() Config {
	c.MaxKillTimeout = cmp.Or(c.MaxKillTimeout, DefaultMaxKillTimeout)
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.GroupNetwork == nil {
		c.GroupNetwork = func(context.Context) (*GroupNetwork, error) { return nil, nil }
	}
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Store puts records on disk.
type Store interface {
	PutTask(allocID, task string, t *localstate.Task) error
}

// Runner runs one task.
type Runner struct {
	cfg    Config
	store  Store
	policy Policy
	log    *slog.Logger

	mu      sync.Mutex
	record  localstate.Task
	inbox   []Input
	wake    chan struct{}
	usage   usageWindow
	network *drivers.Network // of the newest start

	// Used by Run alone.
	setup     *Setup
	recovered bool // the driver knows the newest start in this process
}

// maxInbox bounds the inputs that wait, most of them events of hooks.
const maxInbox = 64

// New returns the runner of a task. record is what is known of the task from an earlier
// agent; nil for a task that was just received.
func New(cfg Config, store Store, record *localstate.Task) *Runner {
	cfg = cfg.withDefaults()
	r := &Runner{
		cfg:    cfg,
		store:  store,
		policy: PolicyOf(cfg.Alloc.Job, cfg.Group, cfg.Task, cfg.MaxKillTimeout),
		log:    cfg.Logger.With("alloc", cfg.Alloc.ID, "task", cfg.Task.Name),
		wake:   make(chan struct{}, 1),
	}
	if record != nil {
		r.record = *record
	} else {
		r.record = NewRecord(cfg.Now())
	}
	return r
}

// Name returns the task's name.
func (r *Runner) Name() string { return r.cfg.Task.Name }

// Record returns what is known of the task. It is shared: copy it to change it.
func (r *Runner) Record() localstate.Task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.record
}

// State returns the task's state. It is shared: copy it to change it.
func (r *Runner) State() *nomadish.TaskState { return r.Record().State }

// Begin says that it is the task's turn. Saying it again changes nothing.
func (r *Runner) Begin() { r.post(Begin{}) }

// Kill ends the task for good. Only the first call counts.
func (r *Runner) Kill(event *nomadish.TaskEvent, kill localstate.Kill) {
	r.post(KillWanted{Event: event, Kill: kill})
}

// Restart ends the task and starts it again, whatever its restart policy says.
func (r *Runner) Restart(reason string) error {
	if phase := r.Record().Phase; phase != localstate.PhaseRunning {
		return nomadish.Errorf(nomadish.KindInvalid, "Task not running")
	}
	r.post(RestartWanted{Reason: reason})
	return nil
}

// Rewind ends the task if it runs, and makes it wait for its turn again.
func (r *Runner) Rewind(reason string) { r.post(RewindWanted{Reason: reason}) }

// Revive makes a dead task, whose Run has returned, wait for its turn again; then it is to
// be run again.
func (r *Runner) Revive(ctx context.Context, reason string) error {
	return r.step(ctx, RewindWanted{Reason: reason})
}

// Emit adds an event to the task's state.
func (r *Runner) Emit(e *nomadish.TaskEvent) { r.post(Noted{Event: e}) }

// post hands an input to Run. When too many wait, events are dropped, never what is wanted.
func (r *Runner) post(in Input) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch in.(type) {
	case Noted, Noticed:
		if len(r.inbox) >= maxInbox {
			return
		}
	}
	r.inbox = append(r.inbox, in)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Runner) take() []Input {
	r.mu.Lock()
	defer r.mu.Unlock()
	in := r.inbox
	r.inbox = nil
	return in
}

// activity is what a phase asks for. It returns what came of it, or nil when ctx ended it.
type activity func(ctx context.Context) Input

// Run does what the task's phase asks for until the task is dead and freed, or ctx ends.
// When ctx ends a running task goes on, and so does its record on disk.
func (r *Runner) Run(ctx context.Context) error {
	for {
		record := r.Record()
		if record.Phase == localstate.PhaseDead && record.Handle == nil {
			if err := r.Release(ctx); err != nil {
				r.log.Warn("free a dead task", "err", err) // done again when the allocation goes
			}
			return nil
		}
		if err := r.perform(ctx, record.Phase, r.activity(record)); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func (r *Runner) activity(record localstate.Task) activity {
	switch record.Phase {
	case localstate.PhaseLaunching:
		return r.launch
	case localstate.PhaseRunning:
		return r.await
	case localstate.PhaseStopping:
		return r.stop
	case localstate.PhaseDelaying:
		return r.delay
	case localstate.PhaseDead:
		return r.remove
	}
	return func(ctx context.Context) Input { <-ctx.Done(); return nil } // waiting
}

// perform runs one activity and takes inputs meanwhile, until the record asks for
// something else. It returns an error when ctx has ended.
func (r *Runner) perform(ctx context.Context, phase localstate.Phase, act activity) error {
	actCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	result := make(chan Input, 1)
	go func() { result <- act(actCtx) }()
	for {
		select {
		case in := <-result:
			if in == nil {
				return context.Cause(ctx)
			}
			return r.step(ctx, in)
		case <-r.wake:
			for _, in := range r.take() {
				if err := r.step(ctx, in); err != nil {
					cancel()
					<-result
					return err
				}
			}
		}
		record := r.Record()
		switch {
		case record.Phase == localstate.PhaseLaunching && phase == record.Phase:
			if record.Kill != nil {
				cancel() // its result says whether the task runs, and must be kept
			}
		case record.Phase != phase:
			cancel()
			<-result
			return nil
		}
	}
}

// step takes one input: the new record goes to disk before anybody sees it.
func (r *Runner) step(ctx context.Context, in Input) error {
	old := r.Record()
	record := r.policy.Step(old, in, Moment{Now: r.cfg.Now(), Jitter: r.cfg.Jitter()})
	if old.Phase == record.Phase && slices.Equal(old.State.Events, record.State.Events) &&
		old.Handle == record.Handle && old.Kill == record.Kill && old.Rewind == record.Rewind {
		return nil
	}
	return r.save(ctx, record)
}

// save puts a record on disk, however long that takes, and then makes it the current one.
func (r *Runner) save(ctx context.Context, record localstate.Task) error {
	err := r.persist(ctx, "store the task's record", func() error {
		return r.store.PutTask(r.cfg.Alloc.ID, r.cfg.Task.Name, &record)
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.record = record
	r.mu.Unlock()
	r.cfg.Changed()
	return nil
}

// persist tries something again and again, with growing pauses, until it succeeds or ctx ends.
func (r *Runner) persist(ctx context.Context, what string, try func() error) error {
	pause := 200 * time.Millisecond
	for {
		err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.log.Warn("will try again", "what", what, "err", err, "pause", pause)
		if err := lifecycle.Sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// newSetup returns what the hooks of the newest start work on.
func (r *Runner) newSetup(attempt int) *Setup {
	alloc, t := r.cfg.Alloc, r.cfg.Task
	s := &Setup{
		Node: r.cfg.Node, Alloc: alloc, Group: r.cfg.Group, Task: t,
		Driver: r.cfg.Driver, Root: r.cfg.Root, Attempt: attempt, Emit: r.Emit,
		Notify:       r.notifier(nomadish.TaskEventDownloading, nil),
		GroupNetwork: r.cfg.GroupNetwork,
		Restart:      func(reason string) { r.post(RestartWanted{Reason: reason}) },
		Signal:       r.Signal,
		Spec: &drivers.TaskSpec{
			ID:        TaskID(alloc.ID, t.Name, attempt),
			AllocID:   alloc.ID,
			JobID:     alloc.JobID,
			Namespace: alloc.Namespace,
			Group:     alloc.TaskGroup,
			Task:      t.Name,
			User:      t.User,
		},
	}
	s.Spec.Notify = r.notifier(nomadish.TaskEventDriver, s.Spec)
	if capable, ok := r.cfg.Driver.(drivers.Capable); ok {
		s.Capabilities = capable.Capabilities()
	}
	s.Capabilities.Isolation = cmp.Or(s.Capabilities.Isolation, drivers.IsolationNone)
	return s
}

// TaskID is the driver's ID of one start of a task.
func TaskID(allocID, task string, attempt int) string {
	return allocID + "/" + task + "/" + strconv.Itoa(attempt)
}

// errNoDriver says that the node can't run the task at all.
func (r *Runner) errNoDriver() error {
	return fmt.Errorf("driver %q is not known on this node", r.cfg.Task.Driver)
}
