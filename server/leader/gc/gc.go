// Package gc removes what has ended long enough ago: evaluations, allocations, jobs, nodes.
//
// What is removed is decided by Select, from a snapshot and a time alone; the loop only
// proposes it. Thresholds are Nomad's documented defaults.
package gc

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Thresholds are the ages at which what has ended goes.
type Thresholds struct {
	Eval      time.Duration // evaluations and allocations of services; default 1h
	BatchEval time.Duration // those of batch jobs; default 24h
	Job       time.Duration // dead jobs; default 4h
	Node      time.Duration // nodes that are down; default 24h
	Token     time.Duration // tokens that have expired; default 1h
}

func (t Thresholds) withDefaults() Thresholds {
	t.Eval = cmp.Or(t.Eval, time.Hour)
	t.BatchEval = cmp.Or(t.BatchEval, 24*time.Hour)
	t.Job = cmp.Or(t.Job, 4*time.Hour)
	t.Node = cmp.Or(t.Node, 24*time.Hour)
	t.Token = cmp.Or(t.Token, time.Hour)
	return t
}

// Config of a Reaper.
type Config struct {
	Every      time.Duration // time between passes; default 5m
	Thresholds Thresholds
	// Emptied is told after a pass that removed many rows: their memory may be given back.
	// Default: nothing.
	Emptied func()
	Now     func() time.Time // wall clock; default time.Now
	Logger  *slog.Logger     // default: discard
}

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Reaper removes what has ended. Only the leader runs it.
type Reaper struct {
	cfg   Config
	store *state.Store
	raft  Proposer
}

// New returns a reaper.
func New(cfg Config, store *state.Store, raft Proposer) *Reaper {
	cfg.Every = cmp.Or(cfg.Every, 5*time.Minute)
	cfg.Thresholds = cfg.Thresholds.withDefaults()
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Reaper{cfg: cfg, store: store, raft: raft}
}

// Run removes what is old enough from time to time until ctx ends.
func (r *Reaper) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := r.reap(ctx, r.cfg.Thresholds); err != nil && ctx.Err() == nil {
				r.cfg.Logger.Warn("collect garbage", "err", err) // the next tick tries again
			}
		}
	}
}

// Collect removes all that has ended, whatever its age.
func (r *Reaper) Collect(ctx context.Context) error { return r.reap(ctx, Thresholds{}) }

// perCommand bounds the rows that one command removes.
const perCommand = 1000

// many is how many rows a pass has to remove for Emptied to be told.
const many = 500

func (r *Reaper) reap(ctx context.Context, t Thresholds) error {
	d := Select(r.store.Reader(), r.cfg.Now(), t)
	if rows := len(d.Evals) + len(d.Allocs) + len(d.Jobs); rows >= many && r.cfg.Emptied != nil {
		defer r.cfg.Emptied()
	}
	for len(d.Evals) > 0 || len(d.Allocs) > 0 {
		c := &fsm.DeleteEvaluations{EvalIDs: cut(&d.Evals), AllocIDs: cut(&d.Allocs)}
		if _, _, err := r.raft.Propose(ctx, c); err != nil {
			return err
		}
	}
	for len(d.Jobs) > 0 {
		if _, _, err := r.raft.Propose(ctx, &fsm.PurgeJobs{Jobs: cut(&d.Jobs)}); err != nil {
			return err
		}
	}
	for len(d.Nodes) > 0 {
		if _, _, err := r.raft.Propose(ctx, &fsm.DeregisterNode{NodeIDs: cut(&d.Nodes), UnlessReady: true}); err != nil {
			return err
		}
	}
	return r.expire(ctx, r.cfg.Now().Add(-t.Token))
}

// expire removes the tokens that expired before a time, and one-time tokens that have expired.
func (r *Reaper) expire(ctx context.Context, before time.Time) error {
	for expired(r.store.Reader(), before, r.cfg.Now()) {
		index := r.store.Reader().TableIndex(state.TableACLTokens, state.TableOneTimeTokens)
		if _, _, err := r.raft.Propose(ctx, &fsm.ExpireACL{Before: before.UnixNano()}); err != nil {
			return err
		}
		if r.store.Reader().TableIndex(state.TableACLTokens, state.TableOneTimeTokens) == index {
			return nil // the log's time has yet to come so far
		}
	}
	return nil
}

// expired says whether there are tokens to remove.
func expired(r state.Reader, before, now time.Time) bool {
	for t := range r.ExpiringACLTokens(nil) {
		if t.Expired(before) {
			return true
		}
	}
	for t := range r.OneTimeTokens(nil) {
		if now.After(t.ExpiresAt) {
			return true
		}
	}
	return false
}

// cut takes the first rows of a list.
func cut[T any](list *[]T) []T {
	n := min(len(*list), perCommand)
	head := (*list)[:n]
	*list = (*list)[n:]
	return head
}

// Doomed is what can go.
type Doomed struct {
	Evals  []string
	Allocs []string
	Jobs   []fsm.JobName
	Nodes  []string
}

// jobKey names a job.
type jobKey = fsm.JobName

// selection is one pass over a snapshot.
type selection struct {
	r        state.Reader
	now      int64
	t        Thresholds
	held     map[string]bool  // evaluations with an allocation that stays
	busy     map[jobKey]bool  // jobs with an evaluation or allocation that stays
	lastSeen map[jobKey]int64 // when something of a job changed last
	doomed   Doomed
}

// Select says what has ended at least as long before now as the thresholds say.
//
// An allocation goes when its node has reported its end and nothing follows from it any
// more; an evaluation when it and what it placed have ended; a job when it is dead and all
// of its have gone; a node when it is down and nothing is left on it. What a batch job that
// still runs has completed stays: it says what must not run again.
func Select(r state.Reader, now time.Time, t Thresholds) Doomed {
	s := &selection{
		r: r, now: now.UnixNano(), t: t,
		held: map[string]bool{}, busy: map[jobKey]bool{}, lastSeen: map[jobKey]int64{},
	}
	for a := range r.Allocations(nil) {
		s.allocation(a)
	}
	for e := range r.Evaluations(nil) {
		s.evaluation(e)
	}
	for j := range r.Jobs(nil, state.AnyNamespace) {
		s.job(j)
	}
	for n := range r.Nodes(nil) {
		s.node(n)
	}
	return s.doomed
}

func (s *selection) old(at int64, age time.Duration) bool { return s.now-at >= int64(age) }

func (s *selection) allocation(a *nomadish.Allocation) {
	key := jobKey{Namespace: a.Namespace, ID: a.JobID}
	s.lastSeen[key] = max(s.lastSeen[key], a.ModifyTime)
	job, err := s.r.Job(nil, a.Namespace, a.JobID)
	if err != nil {
		job = nil // purged
	}
	if s.allocationGoes(a, job) {
		s.doomed.Allocs = append(s.doomed.Allocs, a.ID)
		return
	}
	s.held[a.EvalID] = true
	s.busy[key] = true
}

func (s *selection) allocationGoes(a *nomadish.Allocation, job *nomadish.Job) bool {
	if !a.ClientTerminal() && !(a.ServerTerminal() && s.nodeGone(a.NodeID)) {
		return false
	}
	if job == nil || over(job) {
		return s.old(a.ModifyTime, min(s.t.Eval, s.t.Job))
	}
	if batch(nomadish.Val(job.Type)) && a.JobVersion == nomadish.Val(job.Version) && !a.ServerTerminal() {
		return false
	}
	if !a.ServerTerminal() && a.NextAllocation == "" {
		return false // it has yet to be replaced
	}
	return s.old(a.ModifyTime, s.evalAge(nomadish.Val(job.Type)))
}

// over says that nothing of a job is wanted any more: it is stopped, or a batch job that has
// ended. A service that failed until nobody starts it again stays, to be looked at.
func over(j *nomadish.Job) bool {
	return nomadish.Val(j.Stop) || batch(nomadish.Val(j.Type)) && nomadish.Val(j.Status) == nomadish.JobStatusDead
}

func (s *selection) nodeGone(id string) bool {
	node, err := s.r.Node(nil, id)
	return err != nil || node.Status == nomadish.NodeStatusDown
}

func batch(kind string) bool {
	return kind == nomadish.JobTypeBatch || kind == nomadish.JobTypeSysBatch
}

func (s *selection) evalAge(kind string) time.Duration {
	if batch(kind) {
		return s.t.BatchEval
	}
	return s.t.Eval
}

func (s *selection) evaluation(e *nomadish.Evaluation) {
	key := jobKey{Namespace: e.Namespace, ID: e.JobID}
	s.lastSeen[key] = max(s.lastSeen[key], e.ModifyTime)
	age := s.evalAge(e.Type)
	if job, err := s.r.Job(nil, e.Namespace, e.JobID); err != nil || over(job) {
		age = min(s.t.Eval, s.t.Job)
	}
	if e.Terminal() && !s.held[e.ID] && s.old(e.ModifyTime, age) {
		s.doomed.Evals = append(s.doomed.Evals, e.ID)
		return
	}
	s.busy[key] = true
}

func (s *selection) job(j *nomadish.Job) {
	key := jobKey{Namespace: nomadish.Val(j.Namespace), ID: nomadish.Val(j.ID)}
	launcher := (j.Periodic != nil || j.ParameterizedJob != nil) && !nomadish.Val(j.Stop)
	if nomadish.Val(j.Status) != nomadish.JobStatusDead || !over(j) || launcher || s.busy[key] {
		return
	}
	if s.old(max(s.lastSeen[key], nomadish.Val(j.SubmitTime)), s.t.Job) {
		s.doomed.Jobs = append(s.doomed.Jobs, key)
	}
}

func (s *selection) node(n *nomadish.Node) {
	if n.Status != nomadish.NodeStatusDown || !s.old(n.StatusUpdatedAt*int64(time.Second), s.t.Node) {
		return
	}
	for a := range s.r.AllocationsByNode(nil, n.ID) {
		if !a.Terminal() {
			return
		}
	}
	s.doomed.Nodes = append(s.doomed.Nodes, n.ID)
}
