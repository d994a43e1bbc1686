package broker

import (
	"cmp"
	"container/heap"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// entry is an evaluation in the Broker. It is in at most one queue.
type entry struct {
	eval  *nomadish.Evaluation
	index uint64 // newest ModifyIndex of it and those that it stands in for
	token string // of the worker that holds it; empty: none does
	count int    // deliveries
	due   time.Time
	again *nomadish.Evaluation // a newer version that came while a worker held this one
	queue *queue               // that it is in
	at    int                  // its place there
}

func (e *entry) key() jobKey { return jobKey{e.eval.Namespace, e.eval.JobID} }

// moreUrgent orders by priority, then by age.
func moreUrgent(a, b *entry) bool {
	return cmp.Or(
		cmp.Compare(b.eval.Priority, a.eval.Priority),
		cmp.Compare(a.eval.CreateIndex, b.eval.CreateIndex),
		cmp.Compare(a.eval.ID, b.eval.ID),
	) < 0
}

// sooner orders by deadline.
func sooner(a, b *entry) bool {
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.eval.ID < b.eval.ID
}

// queue is a heap of entries that know their place.
type queue struct {
	entries []*entry
	before  func(a, b *entry) bool
}

func (q *queue) len() int      { return len(q.entries) }
func (q *queue) first() *entry { return q.entries[0] }

func (q *queue) push(e *entry) {
	e.queue = q
	heap.Push((*sorter)(q), e)
}

func (q *queue) pop() *entry { return q.take(0) }

func (q *queue) remove(e *entry) {
	if e.queue == q {
		q.take(e.at)
	}
}

func (q *queue) take(at int) *entry {
	e := heap.Remove((*sorter)(q), at).(*entry)
	e.queue = nil
	return e
}

// sorter gives a queue the methods that container/heap asks for.
type sorter queue

func (s *sorter) Len() int           { return len(s.entries) }
func (s *sorter) Less(i, j int) bool { return s.before(s.entries[i], s.entries[j]) }

func (s *sorter) Swap(i, j int) {
	s.entries[i], s.entries[j] = s.entries[j], s.entries[i]
	s.entries[i].at, s.entries[j].at = i, j
}

func (s *sorter) Push(x any) {
	e := x.(*entry)
	e.at = len(s.entries)
	s.entries = append(s.entries, e)
}

func (s *sorter) Pop() any {
	last := len(s.entries) - 1
	e := s.entries[last]
	s.entries[last] = nil
	s.entries = s.entries[:last]
	return e
}
