package broker

import (
	"slices"
	"sync"

	"github.com/nomadish/nomadish/nomadish"
)

// maxClasses bounds for how many node classes the newest change is remembered.
const maxClasses = 16_384

// Blocked holds the evaluations that wait for room on a node, one per job. It is safe for
// concurrent use.
type Blocked struct {
	mu      sync.Mutex
	max     int
	byJob   map[jobKey]*nomadish.Evaluation
	changes map[string]uint64 // by node class: the newest index at which one of its nodes got room
	anyNode uint64            // the newest of those indexes
	floor   uint64            // the same for classes that were forgotten
}

// NewBlocked returns a tracker of at most maxWaiting evaluations (0: 262144). It knows of no
// change up to a state index, and so lets no evaluation wait whose snapshot is older.
func NewBlocked(maxWaiting int, index uint64) *Blocked {
	if maxWaiting <= 0 {
		maxWaiting = 262_144
	}
	return &Blocked{max: maxWaiting, byJob: map[jobKey]*nomadish.Evaluation{}, changes: map[string]uint64{}, floor: index}
}

// Block lets an evaluation wait. Of two of the same job the older is a duplicate: it is
// returned, to be cancelled. missed says that a node that may run the job got room after the
// evaluation's snapshot was taken: then the evaluation does not wait, but is to be tried again
// at once.
func (b *Blocked) Block(eval *nomadish.Evaluation) (duplicate *nomadish.Evaluation, missed bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := jobKey{eval.Namespace, eval.JobID}
	old := b.byJob[key]
	if old != nil && old.ID == eval.ID {
		old = nil
	}
	if old != nil && (old.CreateIndex > eval.CreateIndex || old.CreateIndex == eval.CreateIndex && old.ID > eval.ID) {
		return eval, false, nil
	}
	if b.byJob[key] == nil && len(b.byJob) >= b.max {
		return nil, false, nomadish.Errorf(nomadish.KindLimited, "blocked evaluations: max_waiting is %d", b.max)
	}
	delete(b.byJob, key)
	if b.missed(eval) {
		return old, true, nil
	}
	b.byJob[key] = eval
	return old, false, nil
}

func (b *Blocked) missed(eval *nomadish.Evaluation) bool {
	if eval.EscapedComputedClass {
		return max(b.anyNode, b.floor) > eval.SnapshotIndex
	}
	if b.floor > eval.SnapshotIndex {
		return true
	}
	for class, index := range b.changes {
		if index > eval.SnapshotIndex && concerns(eval, class) {
			return true
		}
	}
	return false
}

// concerns says that room on a node of a class may help an evaluation: the class could run
// the job, or nobody has looked yet.
func concerns(eval *nomadish.Evaluation, class string) bool {
	if eval.EscapedComputedClass || class == "" {
		return true
	}
	could, looked := eval.ClassEligibility[class]
	return could || !looked
}

// Unblock says that nodes of some classes got room by a state index, and returns the
// evaluations that may use it, the most urgent first. They wait no longer.
func (b *Blocked) Unblock(index uint64, classes ...string) []*nomadish.Evaluation {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.anyNode = max(b.anyNode, index)
	for _, class := range classes {
		b.changes[class] = max(b.changes[class], index)
	}
	if len(b.changes) > maxClasses {
		b.floor = index
		b.changes = map[string]uint64{}
	}
	var free []*nomadish.Evaluation
	for key, eval := range b.byJob {
		if slices.ContainsFunc(classes, func(class string) bool { return concerns(eval, class) }) {
			free = append(free, eval)
			delete(b.byJob, key)
		}
	}
	slices.SortFunc(free, func(x, y *nomadish.Evaluation) int {
		if moreUrgent(&entry{eval: x}, &entry{eval: y}) {
			return -1
		}
		return 1
	})
	return free
}

// Forget drops the evaluation of a job, if it is the one with this id, because it is over.
func (b *Blocked) Forget(eval *nomadish.Evaluation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := jobKey{eval.Namespace, eval.JobID}
	if old := b.byJob[key]; old != nil && old.ID == eval.ID {
		delete(b.byJob, key)
	}
}

// Supersede drops the evaluation of a job because the job has been looked at anew, and
// returns it, to be cancelled; nil when there is none.
func (b *Blocked) Supersede(namespace, jobID string, index uint64) *nomadish.Evaluation {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := jobKey{namespace, jobID}
	old := b.byJob[key]
	if old == nil || old.SnapshotIndex >= index {
		return nil
	}
	delete(b.byJob, key)
	return old
}

// Len is how many evaluations wait for room.
func (b *Blocked) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byJob)
}
