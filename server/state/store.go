// Package state is what the cluster knows: an in-memory store with one table per noun,
// where every reader has a snapshot and only raft commands write.
//
//	s := state.New()
//	r := s.Reader()
//	job, err := r.Job(nil, "default", "web")
//	for a := range r.AllocationsByJob(nil, "default", "web") { … }
//
// Three ways lead from a snapshot to what comes after it: a WatchSet tells that one answer
// may have changed, Await repeats a query until it has, and Follow gives a snapshot and
// then every change in order.
package state

import (
	"context"
	"sync"

	"github.com/hashicorp/go-memdb"
)

// tableList is every table, in an order in which they can be restored.
var tableList = tables()

// Store holds the state. Make one with New.
type Store struct {
	mu      sync.RWMutex // guards db, about, abandon and the feed together
	db      *memdb.MemDB
	about   *meta // what db has in its table of meta, which every reader and transaction asks for
	abandon chan struct{}
	feed    feed
}

// New returns an empty store: what a cluster starts from.
func New() *Store {
	db, err := memdb.NewMemDB(schema())
	if err != nil {
		panic("state: " + err.Error()) // the schema is a constant
	}
	return &Store{db: db, about: metaOf(db), abandon: make(chan struct{}), feed: newFeed()}
}

// Reader returns the newest state.
func (s *Store) Reader() Reader {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.reader()
}

func (s *Store) reader() Reader {
	return Reader{txn: s.db.Txn(false), about: s.about, abandon: s.abandon}
}

// commit makes a transaction visible, to readers and to followers in one step.
func (s *Store) commit(txn *memdb.Txn, about *meta, batches []Changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	txn.Commit()
	s.about = about
	s.feed.add(batches)
}

// WaitIndex returns once the command at index, or a later one, has been applied.
func (s *Store) WaitIndex(ctx context.Context, index uint64) error {
	for {
		s.mu.RLock()
		r, more := s.reader(), s.feed.more
		s.mu.RUnlock()
		if r.Index() >= index {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Await calls query with the newest state until it answers an index above after, and
// again whenever the answer may have changed. When ctx ends it returns nil with the last
// answer given: that is how a blocking query ends.
func (s *Store) Await(ctx context.Context, after uint64, query func(r Reader, ws memdb.WatchSet) (index uint64, err error)) error {
	for {
		ws := memdb.NewWatchSet()
		index, err := query(s.Reader(), ws)
		if err != nil || index > after {
			return err
		}
		if ws.WatchCtx(ctx) != nil {
			return nil
		}
	}
}
