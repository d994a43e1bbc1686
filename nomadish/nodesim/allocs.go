package nodesim

import (
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// behaviour is what becomes of allocations.
type behaviour struct {
	runAfter, runFor time.Duration
	fail             float64 // share of those that fail
}

// allocation is one of a simulated node's.
type allocation struct {
	id       string
	tasks    []string
	deployed bool // a deployment waits for its health
	ends     bool // it completes by itself
	fails    bool
	stopping bool // the servers want its end

	arrived, started, ended time.Time // zero: not yet
	acked                   string    // the status that the servers have taken
}

// status is what an allocation has come to.
func (a *allocation) status() string {
	switch {
	case a.ended.IsZero() && a.started.IsZero():
		return nomadish.AllocClientPending
	case a.ended.IsZero():
		return nomadish.AllocClientRunning
	case a.fails && !a.stopping:
		return nomadish.AllocClientFailed
	}
	return nomadish.AllocClientComplete
}

// advance brings an allocation to where it is at a time, and returns when it changes next;
// zero: by itself it does not.
func (a *allocation) advance(now time.Time, b behaviour) (next time.Time) {
	if !a.ended.IsZero() {
		return time.Time{}
	}
	if a.stopping {
		a.ended = now
		return time.Time{}
	}
	if a.started.IsZero() {
		if at := a.arrived.Add(b.runAfter); at.After(now) {
			return at
		}
		a.started = now
	}
	if !a.ends && !a.fails {
		return time.Time{}
	}
	if at := a.started.Add(b.runFor); at.After(now) {
		return at
	}
	a.ended = now
	return time.Time{}
}

// report is what the node says of the allocation.
func (a *allocation) report() *nomadish.Allocation {
	out := &nomadish.Allocation{ID: a.id, ClientStatus: a.status(), TaskStates: make(map[string]*nomadish.TaskState, len(a.tasks))}
	state := a.taskState()
	for _, name := range a.tasks {
		out.TaskStates[name] = state
	}
	switch {
	case a.deployed && !a.started.IsZero() && (a.ended.IsZero() || !a.fails):
		out.DeploymentStatus = &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(true), Timestamp: a.started}
	case a.deployed && a.fails && !a.ended.IsZero():
		out.DeploymentStatus = &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(false), Timestamp: a.ended}
	}
	switch out.ClientStatus {
	case nomadish.AllocClientRunning:
		out.ClientDescription = "Tasks are running"
	case nomadish.AllocClientFailed:
		out.ClientDescription = "Failed tasks"
	case nomadish.AllocClientComplete:
		out.ClientDescription = "All tasks have completed"
	}
	return out
}

// taskState is what a node says of a task that has gone that far, with as many events as a real
// one has.
func (a *allocation) taskState() *nomadish.TaskState {
	event := func(kind string, at time.Time, message string) *nomadish.TaskEvent {
		return &nomadish.TaskEvent{Type: kind, Time: at.UnixNano(), DisplayMessage: message, Details: map[string]string{}}
	}
	s := &nomadish.TaskState{State: nomadish.TaskStatePending}
	s.Events = append(s.Events, event(nomadish.TaskEventReceived, a.arrived, "Task received by client"))
	if !a.started.IsZero() {
		s.State, s.StartedAt = nomadish.TaskStateRunning, a.started
		s.Events = append(s.Events, event(nomadish.TaskEventSetup, a.arrived, "Building Task Directory"),
			event(nomadish.TaskEventStarted, a.started, "Task started by client"))
	}
	if a.ended.IsZero() {
		return s
	}
	s.State, s.FinishedAt = nomadish.TaskStateDead, a.ended
	end := event(nomadish.TaskEventTerminated, a.ended, "Exit Code: 0")
	if s.Failed = a.status() == nomadish.AllocClientFailed; s.Failed {
		end.ExitCode, end.DisplayMessage, end.Details["exit_code"] = 1, "Exit Code: 1", "1"
	}
	s.Events = append(s.Events, end)
	return s
}

// ledger holds a node's allocations until the servers know of their ends. It knows no clock.
type ledger struct {
	behaviour
	seed   uint64
	allocs map[string]*allocation
}

func newLedger(cfg Config) *ledger {
	return &ledger{
		behaviour: behaviour{runAfter: cfg.RunAfter, runFor: cfg.RunFor, fail: cfg.Fail},
		seed:      cfg.Seed, allocs: map[string]*allocation{},
	}
}

// take makes the servers' answer known, and returns which allocations are new.
func (l *ledger) take(answer *nomadish.NodeAllocations, now time.Time) (fresh []*nomadish.Allocation) {
	for _, wanted := range answer.Allocs {
		a := l.allocs[wanted.ID]
		if a == nil {
			a = l.add(wanted, now)
			fresh = append(fresh, wanted)
		}
		a.stopping = a.stopping || wanted.ServerTerminal()
	}
	for _, id := range answer.Ended {
		delete(l.allocs, id)
	}
	if answer.Since > 0 && answer.Listed == nil {
		return fresh
	}
	listed := make(map[string]bool, len(answer.Listed)+len(answer.Allocs))
	for _, id := range answer.Listed {
		listed[id] = true
	}
	for _, a := range answer.Allocs {
		listed[a.ID] = true
	}
	for id := range l.allocs {
		if !listed[id] {
			delete(l.allocs, id)
		}
	}
	return fresh
}

func (l *ledger) add(wanted *nomadish.Allocation, now time.Time) *allocation {
	a := &allocation{
		id: wanted.ID, arrived: now, deployed: wanted.DeploymentID != "", fails: l.chance(wanted.ID) < l.fail,
		acked: wanted.ClientStatus,
	}
	if wanted.ClientStatus == nomadish.AllocClientRunning { // an earlier fleet ran it
		a.started = now
	}
	if job := wanted.Job; job != nil {
		kind := nomadish.Val(job.Type)
		a.ends = kind == nomadish.JobTypeBatch || kind == nomadish.JobTypeSysBatch
		for _, g := range job.TaskGroups {
			if nomadish.Val(g.Name) != wanted.TaskGroup {
				continue
			}
			for _, t := range g.Tasks {
				a.tasks = append(a.tasks, t.Name)
			}
		}
	}
	l.allocs[a.id] = a
	return a
}

// chance is a number in [0, 1) that belongs to an allocation.
func (l *ledger) chance(id string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id)) // never fails
	return float64((h.Sum64()^l.seed*0x9e3779b97f4a7c15)>>11) / (1 << 53)
}

// due returns what there is to report at a time, at most maxReport of it, and when there will be
// more; zero: only when the servers want something.
func (l *ledger) due(now time.Time) (reports []*nomadish.Allocation, next time.Time) {
	first := int64(math.MaxInt64)
	for _, a := range l.allocs {
		if at := a.advance(now, l.behaviour); !at.IsZero() {
			first = min(first, at.UnixNano())
		}
		if status := a.status(); status != a.acked && status != nomadish.AllocClientPending {
			reports = append(reports, a.report())
		}
	}
	slices.SortFunc(reports, func(a, b *nomadish.Allocation) int { return strings.Compare(a.ID, b.ID) })
	if len(reports) > maxReport {
		return reports[:maxReport], now
	}
	if first < math.MaxInt64 {
		next = time.Unix(0, first)
	}
	return reports, next
}

// maxReport is how many allocations one report tells of.
const maxReport = 256

// told notes what the servers have taken. What has ended is forgotten.
func (l *ledger) told(reports []*nomadish.Allocation) {
	for _, r := range reports {
		a := l.allocs[r.ID]
		if a == nil {
			continue
		}
		if a.acked = r.ClientStatus; r.ClientTerminal() {
			delete(l.allocs, r.ID)
		}
	}
}
