package state

import (
	"context"
	"errors"
)

// ErrLagged says that a follower was too slow, or that the store was replaced by a
// snapshot: changes are lost to it, and it starts again from a new snapshot.
var ErrLagged = errors.New("state: follower lost changes and must start again")

const (
	maxFeedBatches = 8192   // commands that a follower may lag behind
	maxFeedChanges = 32_768 // rows that those may have changed; the feed keeps their old values
)

// Changes is what one command changed.
type Changes struct {
	Index   uint64
	Time    int64 // of the log, nanoseconds since 1970
	Changes []Change
}

// Change is one row before and after. Both are pointers to the same noun, for instance
// *nomadish.Allocation; one of them is nil when the row is new or gone.
type Change struct {
	Table  string
	Before any
	After  any
}

// feed keeps the newest changes in a ring. The store's mutex guards it.
type feed struct {
	ring    []Changes
	first   uint64 // sequence number of the oldest batch kept
	next    uint64 // sequence number of the next batch
	changes int    // rows in all batches kept
	more    chan struct{}
}

func newFeed() feed { return feed{ring: make([]Changes, maxFeedBatches), more: make(chan struct{})} }

func (f *feed) add(batches []Changes) {
	for _, b := range batches {
		for f.next-f.first == maxFeedBatches || f.next > f.first && f.changes+len(b.Changes) > maxFeedChanges {
			f.drop()
		}
		f.ring[f.next%maxFeedBatches] = b
		f.next++
		f.changes += len(b.Changes)
	}
	close(f.more)
	f.more = make(chan struct{})
}

func (f *feed) drop() {
	slot := &f.ring[f.first%maxFeedBatches]
	f.changes -= len(slot.Changes)
	*slot = Changes{}
	f.first++
}

// reset drops everything; every follower has to start again.
func (f *feed) reset() {
	for f.first < f.next {
		f.drop()
	}
	f.first++
	f.next++
	close(f.more)
	f.more = make(chan struct{})
}

// Follower gives the changes after a snapshot, in order. It holds nothing that has to be
// closed, and is not for several goroutines at once.
type Follower struct {
	store *Store
	next  uint64
}

// Follow returns the newest state and a follower of what comes after it.
func (s *Store) Follow() (Reader, *Follower) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.reader(), &Follower{store: s, next: s.feed.next}
}

// Next waits for the next command's changes and returns them; they are shared. After
// ErrLagged the follower is of no more use. When ctx ends, Next returns its cause.
func (f *Follower) Next(ctx context.Context) (Changes, error) {
	for {
		c, more, err := f.poll()
		if err != nil || more == nil {
			return c, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return Changes{}, context.Cause(ctx)
		}
	}
}

// poll returns the next changes, or a channel that closes when there may be some.
func (f *Follower) poll() (Changes, <-chan struct{}, error) {
	f.store.mu.RLock()
	defer f.store.mu.RUnlock()
	feed := &f.store.feed
	switch {
	case f.next < feed.first:
		return Changes{}, nil, ErrLagged
	case f.next == feed.next:
		return Changes{}, feed.more, nil
	}
	c := feed.ring[f.next%maxFeedBatches]
	f.next++
	return c, nil, nil
}
