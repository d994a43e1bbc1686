package task

import (
	"cmp"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/nomadish"
)

// Defaults of a task's end, as in Nomad.
const (
	DefaultKillTimeout    = 5 * time.Second
	DefaultMaxKillTimeout = 30 * time.Second
)

// Modes of a restart policy.
const (
	modeFail  = "fail"
	modeDelay = "delay"
)

// Policy is what a job says about a task's restarts and its end.
type Policy struct {
	Attempts         int           // restarts within Interval
	Interval         time.Duration // counted from the first restart
	Delay            time.Duration // before each restart, and up to a quarter more
	Mode             string        // beyond Attempts: fail (default) or delay
	RestartOnSuccess bool          // the task shall run for good
	KillTimeout      time.Duration // between asking and killing
}

// PolicyOf reads the policy of a task. What the task leaves out its group says.
func PolicyOf(job *nomadish.Job, group *nomadish.TaskGroup, t *nomadish.Task, maxKill time.Duration) Policy {
	p := Policy{
		Mode:             modeFail,
		RestartOnSuccess: runsForGood(job, t),
		KillTimeout:      killTimeout(t, maxKill),
	}
	for _, r := range []*nomadish.RestartPolicy{group.RestartPolicy, t.RestartPolicy} {
		if r == nil {
			continue
		}
		p.Attempts = pick(r.Attempts, p.Attempts)
		p.Interval = pick(r.Interval, p.Interval)
		p.Delay = pick(r.Delay, p.Delay)
		p.Mode = pick(r.Mode, p.Mode)
	}
	return p
}

func pick[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

func killTimeout(t *nomadish.Task, maxKill time.Duration) time.Duration {
	return min(pick(t.KillTimeout, DefaultKillTimeout), cmp.Or(maxKill, DefaultMaxKillTimeout))
}

// runsForGood says whether an end with code 0 is no end for the task: so for all tasks of
// services but those that prepare or clean up.
func runsForGood(job *nomadish.Job, t *nomadish.Task) bool {
	if t.Lifecycle != nil && !t.Lifecycle.Sidecar {
		return false
	}
	switch nomadish.Val(job.Type) {
	case "batch", "sysbatch":
		return t.Lifecycle != nil
	}
	return true
}

// verdict is what a policy makes of a task's end.
type verdict struct {
	restart bool
	delay   time.Duration
	reason  string
	failed  bool
}

// judge decides on a task that ended. jitter is in [0, 1).
func (p Policy) judge(w localstate.Window, success bool, now time.Time, jitter float64) (verdict, localstate.Window) {
	if success && !p.RestartOnSuccess {
		return verdict{}, w
	}
	if p.Attempts <= 0 && p.Mode != modeDelay {
		return verdict{reason: "Policy allows no restarts", failed: true}, w
	}
	if w.Count == 0 || now.Sub(w.Start) >= p.Interval || now.Before(w.Start) {
		w = localstate.Window{Start: now}
	}
	w.Count++
	delay := p.Delay + time.Duration(jitter*0.25*float64(p.Delay))
	switch {
	case w.Count <= p.Attempts:
		return verdict{restart: true, delay: delay, reason: "Restart within policy"}, w
	case p.Mode == modeDelay:
		rest := max(p.Interval-now.Sub(w.Start), 0) + delay
		return verdict{restart: true, delay: rest, reason: "Exceeded allowed attempts, applying a delay"}, w
	}
	reason := fmt.Sprintf("Exceeded allowed attempts %d in interval %s and mode is %q", p.Attempts, p.Interval, p.Mode)
	return verdict{reason: reason, failed: true}, w
}

// longest is the longest delay that judge can decide on. It bounds what a clock that was
// set back can make of a stored time.
func (p Policy) longest() time.Duration { return p.Interval + p.Delay + p.Delay/4 }
