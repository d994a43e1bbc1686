package endpoint

import "sync"

// Evictions counts the nodes that this server, as the leader, took for gone.
type Evictions struct {
	Gone map[Eviction]uint64
	Back uint64 // nodes that turned out to be there, or came back
}

// Eviction is why a node was taken for gone, and what it is since: down or disconnected.
type Eviction struct{ Cause, Status string }

// evictions counts while requests run.
type evictions struct {
	mu     sync.Mutex
	counts Evictions
}

func (e *evictions) gone(cause, status string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.counts.Gone == nil {
		e.counts.Gone = map[Eviction]uint64{}
	}
	e.counts.Gone[Eviction{cause, status}]++
}

func (e *evictions) back() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts.Back++
}

// Evictions returns the counts since this server runs.
func (e *Endpoint) Evictions() Evictions {
	e.evictions.mu.Lock()
	defer e.evictions.mu.Unlock()
	out := Evictions{Gone: make(map[Eviction]uint64, len(e.evictions.counts.Gone)), Back: e.evictions.counts.Back}
	for why, n := range e.evictions.counts.Gone {
		out.Gone[why] = n
	}
	return out
}
