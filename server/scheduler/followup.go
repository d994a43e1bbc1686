package scheduler

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// What users read in the status description of evaluations that this package makes.
const (
	descFollowUp = "created for delayed rescheduling"
	descRolling  = "created to continue a rolling update"
	descBlocked  = "created to place remaining allocations"
)

// batchWindow is how far apart the times of failed allocations may be that share one
// follow-up evaluation.
const batchWindow = 5 * time.Second

// followUp makes an evaluation that continues this one. It is another one when this one is answered again,
// from a newer state: the first may have ended by then.
func (s *session) followUp(trigger, description string, id ...string) *nomadish.Evaluation {
	e := &nomadish.Evaluation{
		ID:       derivedID(append([]string{s.eval.ID, trigger, strconv.FormatUint(s.snap.Index, 10)}, id...)...),
		Priority: s.eval.Priority, Type: s.eval.Type, TriggeredBy: trigger,
		Namespace: s.eval.Namespace, JobID: s.eval.JobID, JobModifyIndex: s.eval.JobModifyIndex,
		Status: nomadish.EvalStatusPending, StatusDescription: description, PreviousEval: s.eval.ID,
		CreateTime: s.now, ModifyTime: s.now,
	}
	return e
}

// delay makes the evaluations that will replace failed allocations when their time has come.
func (s *session) delay(c *changes) {
	later := slices.DeleteFunc(slices.Clone(c.later), func(d delayed) bool { return s.waiting[d.alloc.FollowupEvalID] })
	s.gather(later, nomadish.EvalTriggerRetryFailedAlloc, descFollowUp)
	s.gather(slices.Clone(c.away), nomadish.EvalTriggerMaxDisconnectTimeout, descAway)
}

// gather makes evaluations for what is to be looked at later, one for what is due at about the same time.
func (s *session) gather(later []delayed, trigger, description string) {
	slices.SortFunc(later, func(a, b delayed) int {
		return cmp.Or(a.at.Compare(b.at), strings.Compare(a.alloc.ID, b.alloc.ID))
	})
	for len(later) > 0 {
		n := 1
		for n < len(later) && later[n].at.Sub(later[0].at) <= batchWindow {
			n++
		}
		batch := later[:n]
		later = later[n:]
		e := s.followUp(trigger, description, batch[0].alloc.ID, batch[0].at.UTC().String())
		e.WaitUntil = batch[n-1].at
		s.outcome.FollowUps = append(s.outcome.FollowUps, e)
		for _, d := range batch {
			a := *d.alloc
			a.FollowupEvalID = e.ID
			s.keep(&a)
		}
	}
}

// roll makes the evaluation that goes on with a rolling update, unless one waits already.
func (s *session) roll(all []changes) {
	after := time.Duration(0)
	for i := range all {
		c := &all[i]
		if c.waiting == 0 {
			continue
		}
		if after == 0 || c.again < after {
			after = c.again
		}
	}
	if after == 0 || s.rolling {
		return
	}
	e := s.followUp(nomadish.EvalTriggerRollingUpdate, descRolling)
	e.WaitUntil = s.snap.Now.Add(after)
	s.outcome.FollowUps = append(s.outcome.FollowUps, e)
}

// block makes the evaluation that waits for room, or lets this one go on waiting when it is
// such a one itself.
func (s *session) block(end *nomadish.Evaluation) {
	classes, escaped := eligibility(&s.snap.Capacity, s.field, s.checks)
	b := end
	if s.eval.Status != nomadish.EvalStatusBlocked {
		b = s.followUp(nomadish.EvalTriggerQueuedAllocs, descBlocked)
		b.FailedTGAllocs, b.QueuedAllocations = end.FailedTGAllocs, end.QueuedAllocations
		end.BlockedEval = b.ID
		s.outcome.Blocked = b
	}
	b.Status, b.StatusDescription = nomadish.EvalStatusBlocked, descBlocked
	b.SnapshotIndex = s.snap.Index
	b.ClassEligibility, b.EscapedComputedClass = classes, escaped
}
