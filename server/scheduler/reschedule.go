package scheduler

import (
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// maxRescheduleEvents is how many replacements an allocation remembers when its policy has
// no limit of its own.
const maxRescheduleEvents = 5

// failTime returns when an allocation failed: when its last task ended.
func failTime(a *nomadish.Allocation) time.Time {
	var last time.Time
	for _, s := range a.TaskStates {
		if s != nil && s.FinishedAt.After(last) {
			last = s.FinishedAt
		}
	}
	if last.IsZero() {
		return time.Unix(0, a.ModifyTime)
	}
	return last
}

// reschedule says whether a failed allocation is to be replaced, when, and after what delay.
func reschedule(p *nomadish.ReschedulePolicy, a *nomadish.Allocation) (at time.Time, delay time.Duration, ok bool) {
	if p == nil {
		return time.Time{}, 0, false
	}
	failed := failTime(a)
	if !nomadish.Val(p.Unlimited) && attempts(a.RescheduleTracker, failed.Add(-nomadish.Val(p.Interval))) >= nomadish.Val(p.Attempts) {
		return time.Time{}, 0, false
	}
	delay = nextDelay(p, a.RescheduleTracker, failed)
	return failed.Add(delay), delay, true
}

// reschedule is the function of that name, for an allocation that has failed by now, whatever the clocks
// said that noted when: what is due then is due after its whole delay at the latest.
func (r *reconciler) reschedule(tg *nomadish.TaskGroup, a *nomadish.Allocation) (at time.Time, delay time.Duration, ok bool) {
	at, delay, ok = reschedule(tg.ReschedulePolicy, a)
	if latest := r.now.Add(delay); at.After(latest) {
		at = latest
	}
	return at, delay, ok
}

// attempts counts the replacements after a time.
func attempts(t *nomadish.RescheduleTracker, after time.Time) int {
	if t == nil {
		return 0
	}
	n := 0
	for _, e := range t.Events {
		if time.Unix(0, e.RescheduleTime).After(after) {
			n++
		}
	}
	return n
}

// nextDelay returns how long to wait before the next replacement. Once the longest delay is
// reached, an allocation that then ran for longer than that starts again from the shortest.
func nextDelay(p *nomadish.ReschedulePolicy, t *nomadish.RescheduleTracker, failed time.Time) time.Duration {
	base, longest := nomadish.Val(p.Delay), nomadish.Val(p.MaxDelay)
	if t == nil || len(t.Events) == 0 {
		return base
	}
	last := t.Events[len(t.Events)-1]
	var before time.Duration
	if len(t.Events) > 1 {
		before = t.Events[len(t.Events)-2].Delay
	}
	var delay time.Duration
	switch nomadish.Val(p.DelayFunction) {
	case "exponential":
		delay = last.Delay * 2
	case "fibonacci":
		delay = max(last.Delay+before, base)
	default:
		return base
	}
	if longest > 0 && delay >= longest {
		delay = longest
		if last.Delay >= longest && failed.Sub(time.Unix(0, last.RescheduleTime)) > longest {
			return base
		}
	}
	return max(delay, base)
}

// track returns the history that the replacement of a failed allocation carries.
func track(a *nomadish.Allocation, p *nomadish.ReschedulePolicy, now time.Time, delay time.Duration) *nomadish.RescheduleTracker {
	t := &nomadish.RescheduleTracker{LastReschedule: "ok"}
	if a.RescheduleTracker != nil {
		t.Events = append(t.Events, a.RescheduleTracker.Events...)
	}
	t.Events = append(t.Events, &nomadish.RescheduleEvent{
		RescheduleTime: now.UnixNano(), PrevAllocID: a.ID, PrevNodeID: a.NodeID, Delay: delay,
	})
	keep := maxRescheduleEvents
	if p != nil && !nomadish.Val(p.Unlimited) {
		keep = max(keep, nomadish.Val(p.Attempts))
	}
	t.Events = t.Events[max(0, len(t.Events)-keep):]
	return t
}
