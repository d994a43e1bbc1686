// Package locks ends the locks of variables that nobody renews. While a server leads, it has
// a timer for each lock that is held, and for each delay after one that was lost.
//
//	timers := locks.New(locks.Config{}, store, raft)
//	err := timers.Run(ctx) // for one term
//
// Time is measured by the leader's own timers alone. A new leader starts them anew with the
// whole time: a lock may then be held for longer, and never for less time than its holder
// was told.
package locks

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Config of Timers.
type Config struct {
	Batch  int           // locks that one command ends; default 256
	Retry  time.Duration // after which a command that failed is tried again; default 1s
	Logger *slog.Logger  // default: discard
}

// Timers are the timers of all locks, on the leader. Methods may be called concurrently.
type Timers struct {
	cfg   Config
	store *state.Store
	raft  Proposer

	mu      sync.Mutex
	active  bool // this server leads
	timers  map[nomadish.VariableName]*timer
	queue   queue         // of timers, the earliest first
	changed chan struct{} // poked when the earliest may have changed
}

// timer ends one lock, or one delay after a lock.
type timer struct {
	lock   fsm.ExpiredLock
	whole  time.Duration
	at     time.Time
	ending bool // a command to end it is under way; it can't be renewed any more
	place  int  // in the queue
}

// New returns timers that wait for nothing.
func New(cfg Config, store *state.Store, raft Proposer) *Timers {
	cfg.Batch = cmp.Or(cfg.Batch, 256)
	cfg.Retry = cmp.Or(cfg.Retry, time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Timers{cfg: cfg, store: store, raft: raft, timers: map[nomadish.VariableName]*timer{}, changed: make(chan struct{}, 1)}
}

// Renew gives the lock of a variable its whole time again, if v's lock is still held. An error
// of KindConflict says that it is not, or is just ending; one of KindNoLeader that this server
// does not lead.
func (t *Timers) Renew(v *nomadish.SealedVariable) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.active {
		return nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
	}
	// The caller's row may be old: the lock can have ended since. While the mutex is held no
	// timer begins to end it, and what was ended before is in the state.
	now, err := t.store.Reader().Variable(nil, v.Namespace, v.Path)
	if err != nil || v.Lock == nil || !now.Holds(v.Lock.ID) {
		return nomadish.Errorf(nomadish.KindConflict, "its lock has ended")
	}
	name := v.Name()
	t.update(name, now) // the change that made the lock may still be to be seen
	have := t.timers[name]
	if have.ending {
		return nomadish.Errorf(nomadish.KindConflict, "its lock is ending: nobody renewed it in time")
	}
	have.at = time.Now().Add(have.whole)
	heap.Fix(&t.queue, have.place)
	return nil
}

// timerOf returns what a variable needs a timer for, if anything.
func timerOf(v *nomadish.SealedVariable) (*timer, bool) {
	lock := v.Lock
	if lock == nil {
		lock = v.Lost
	}
	if lock == nil {
		return nil, false
	}
	out := &timer{lock: fsm.ExpiredLock{Namespace: v.Namespace, Path: v.Path, ID: lock.ID, Delay: v.Lock == nil}}
	ttl, delay := lock.Times()
	if out.whole = ttl; out.lock.Delay {
		out.whole = delay
	}
	return out, true
}

// Run keeps the timers while this server leads, until ctx ends.
func (t *Timers) Run(ctx context.Context) error {
	defer t.stop()
	follower := t.start()
	return lifecycle.Run(ctx, func(ctx context.Context) error { return t.follow(ctx, follower) }, t.expire)
}

// start arms a timer for each lock of the state.
func (t *Timers) start() *state.Follower {
	r, follower := t.store.Follow()
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[nomadish.VariableName]bool{}
	for v := range r.Variables(nil, state.AnyNamespace, "", nomadish.VariableName{}) {
		name := v.Name()
		seen[name] = true
		t.update(name, v)
	}
	for name := range t.timers {
		if !seen[name] {
			t.disarm(name)
		}
	}
	t.active = true
	return follower
}

func (t *Timers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.active, t.queue = false, nil
	clear(t.timers)
}

// follow keeps the timers to what the state says.
func (t *Timers) follow(ctx context.Context, follower *state.Follower) error {
	for {
		changes, err := follower.Next(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, state.ErrLagged) {
			follower = t.start() // timers that run go on
			continue
		}
		if err != nil {
			return err
		}
		for _, c := range changes.Changes {
			if c.Table == state.TableVariables {
				t.see(c)
			}
		}
	}
}

func (t *Timers) see(c state.Change) {
	before, _ := c.Before.(*nomadish.SealedVariable)
	after, _ := c.After.(*nomadish.SealedVariable)
	t.mu.Lock()
	defer t.mu.Unlock()
	if after == nil {
		t.disarm(before.Name())
		return
	}
	t.update(after.Name(), after)
}

// update makes the timer of a variable what it should be. One that runs already for the same
// lock goes on.
func (t *Timers) update(name nomadish.VariableName, v *nomadish.SealedVariable) {
	want, ok := timerOf(v)
	if !ok {
		t.disarm(name)
		return
	}
	if have := t.timers[name]; have == nil || have.lock != want.lock {
		t.arm(name, want)
	}
}

func (t *Timers) arm(name nomadish.VariableName, want *timer) {
	t.disarm(name)
	want.at = time.Now().Add(want.whole)
	t.timers[name] = want
	heap.Push(&t.queue, want)
	if want.place == 0 {
		t.poke()
	}
}

func (t *Timers) disarm(name nomadish.VariableName) {
	if have := t.timers[name]; have != nil {
		heap.Remove(&t.queue, have.place)
		delete(t.timers, name)
	}
}

func (t *Timers) poke() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// expire ends what is over.
func (t *Timers) expire(ctx context.Context) error {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		due, next := t.over()
		if len(due) > 0 {
			t.end(ctx, due)
			continue
		}
		alarm.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-t.changed:
		case <-alarm.C:
		}
	}
}

// idle is how long expire sleeps when there is nothing to wait for.
const idle = time.Hour

// over returns the timers that are over, at most a batch, and when to look again.
func (t *Timers) over() (due []*timer, next time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for len(t.queue) > 0 && len(due) < t.cfg.Batch {
		first := t.queue[0]
		if first.at.After(now) {
			return due, first.at.Sub(now)
		}
		first.ending = true
		first.at = now.Add(t.cfg.Retry) // until the state says that it has ended
		heap.Fix(&t.queue, 0)
		due = append(due, first)
	}
	return due, idle
}

// end proposes the end of locks. What fails is due again a while later.
func (t *Timers) end(ctx context.Context, due []*timer) {
	command := &fsm.ExpireLocks{Locks: make([]fsm.ExpiredLock, 0, len(due))}
	for _, l := range due {
		command.Locks = append(command.Locks, l.lock)
	}
	if _, _, err := t.raft.Propose(ctx, command); err != nil {
		if ctx.Err() == nil {
			t.cfg.Logger.Warn("end locks that nobody renewed", "locks", len(due), "err", err)
		}
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range due { // one that was ended by its holder meanwhile makes no change to follow
		name := nomadish.VariableName{Namespace: l.lock.Namespace, Path: l.lock.Path}
		if t.timers[name] == l {
			t.disarm(name)
		}
	}
}

// queue is a heap of timers.
type queue []*timer

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push is there for heap.Interface.
func (q *queue) Push(x any) {
	l := x.(*timer)
	l.place = len(*q)
	*q = append(*q, l)
}

// Pop is there for heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	l := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	return l
}
