package scheduler

import (
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// What users read in an allocation's description.
const (
	descUnknown   = "alloc is unknown since its node is disconnected"
	descReconnect = "alloc not needed due to reconnect"
	descAway      = "created to give up what does not come back"
)

// whereabouts is what a reconciler has to know of an allocation's node.
type whereabouts struct {
	alive        bool // it runs its allocations, as far as is known
	disconnected bool // it may come back with them
	known        bool // it is there at all
	since        time.Time
}

// absence is an allocation that may still run on a node of which nothing is heard. It keeps its
// place in the group, beside a replacement or without.
type absence struct {
	alloc   *nomadish.Allocation
	until   time.Time // when it is given up; zero: never
	unknown bool      // it is to be marked as unknown
	replace bool      // it is replaced meanwhile
}

// standsAway says where an allocation stands whose node is gone: whether it is lost, or in what way
// away.
func (r *reconciler) standsAway(a *nomadish.Allocation, tg *nomadish.TaskGroup, at whereabouts) (standing, absence) {
	began := a.ClientStatus != nomadish.AllocClientPending
	lostAfter, stopAfter := tg.LostAfter(), tg.StopOnClientAfter()
	out := absence{alloc: a}
	switch {
	case !at.known:
		return lost, absence{}
	case began && at.disconnected && lostAfter > 0:
		out.until, out.unknown, out.replace = at.since.Add(lostAfter), true, tg.ReplacesLost() && replaceable(tg)
	case stopAfter > 0: // until then the node runs it: its successor would be a second one
		out.until = at.since.Add(stopAfter + killTimeout(tg))
	case began && !tg.ReplacesLost() && lostAfter == 0:
		out.unknown = true
	default:
		return lost, absence{}
	}
	if !out.until.IsZero() && !out.until.After(r.now) {
		return lost, absence{}
	}
	return away, out
}

// killTimeout is how long it may take to stop the group's tasks.
func killTimeout(tg *nomadish.TaskGroup) time.Duration {
	longest := time.Duration(0)
	for _, t := range tg.Tasks {
		longest = max(longest, nomadish.Val(t.KillTimeout))
	}
	return longest
}

// replaceable says that the group's allocations may be placed again at all.
func replaceable(tg *nomadish.TaskGroup) bool {
	p := tg.ReschedulePolicy
	return p == nil || nomadish.Val(p.Unlimited) || nomadish.Val(p.Attempts) > 0
}

// cover decides what happens at an index of the group where nothing runs but what is away.
func (r *reconciler) cover(c *changes, i int, absent []absence) {
	last := absent[len(absent)-1]
	if !last.replace {
		c.counts.Ignore++
		return
	}
	c.counts.Place++
	c.place = append(c.place, placement{index: i, predecessor: last.alloc})
}

// part marks what is away, and has it looked at again when it is to be given up.
func (r *reconciler) part(c *changes, absent []absence) {
	for _, out := range absent {
		a := *out.alloc
		marked := out.unknown && a.ClientStatus != nomadish.AllocClientUnknown
		if marked {
			a.ClientStatus, a.ClientDescription = nomadish.AllocClientUnknown, descUnknown
			c.counts.Disconnect++
		}
		switch {
		case !out.until.IsZero() && !r.waits(a.FollowupEvalID):
			c.away = append(c.away, delayed{alloc: &a, at: out.until})
		case marked:
			c.marked = append(c.marked, &a)
		}
	}
}

// better says which of two allocations of the same name and standing stays: the one of the newer
// version; of an allocation that has come back and its replacement, the one that the group's
// strategy prefers; then the one that runs already.
func (r *reconciler) better(a, b *nomadish.Allocation, tg *nomadish.TaskGroup) bool {
	switch {
	case a.JobVersion != b.JobVersion:
		return a.JobVersion > b.JobVersion
	case b.PreviousAllocation == a.ID:
		return keepsOriginal(tg, a, b)
	case a.PreviousAllocation == b.ID:
		return !keepsOriginal(tg, b, a)
	}
	return runs(a) && !runs(b)
}

// because says why an allocation goes and another one of its name stays.
func because(goes, stays *nomadish.Allocation) string {
	if goes != nil && (stays.PreviousAllocation == goes.ID || goes.PreviousAllocation == stays.ID) {
		return descReconnect
	}
	return descNotNeeded
}

func runs(a *nomadish.Allocation) bool { return a.ClientStatus == nomadish.AllocClientRunning }

// keepsOriginal says whether an allocation that has come back stays, and not its replacement.
func keepsOriginal(tg *nomadish.TaskGroup, original, replacement *nomadish.Allocation) bool {
	switch tg.ReconcileStrategy() {
	case nomadish.ReconcileKeepOriginal:
		return true
	case nomadish.ReconcileKeepReplacement:
		return false
	}
	if runs(original) != runs(replacement) {
		return runs(original)
	}
	if tg.ReconcileStrategy() == nomadish.ReconcileLongestRunning {
		return !started(replacement).Before(started(original))
	}
	return nodeScore(original) >= nodeScore(replacement)
}

// started is when the last of an allocation's tasks began to run.
func started(a *nomadish.Allocation) time.Time {
	var last time.Time
	for _, s := range a.TaskStates {
		if s != nil && s.StartedAt.After(last) {
			last = s.StartedAt
		}
	}
	return last
}

// nodeScore is what an allocation's node was worth when it was placed there.
func nodeScore(a *nomadish.Allocation) float64 {
	if a.Metrics == nil {
		return 0
	}
	for _, s := range a.Metrics.ScoreMetaData {
		if s != nil && s.NodeID == a.NodeID {
			return s.NormScore
		}
	}
	return 0
}
