package state

import (
	"context"
	"errors"
	"weak"
)

// ErrLagged says that a follower was too slow, or that the store was replaced by a
// snapshot: changes are lost to it, and it starts again from a new snapshot.
var ErrLagged = errors.New("state: follower lost changes and must start again")

const (
	maxFeedBatches = 8192   // commands that a follower may lag behind
	maxFeedChanges = 32_768 // rows that those may have changed, which are kept with their old values
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

// feed hands the newest changes to followers. The batches are a chain of links: a follower
// holds the link that its next batch is in or will come to, the feed only the last one. So a
// batch stays in memory as long as somebody has yet to read it, and no longer. The store's
// mutex guards all of it.
type feed struct {
	last   *link
	recent []recent // the newest batches, in a ring: what followers may lag behind
	first  uint64   // sequence number of the oldest of them
	next   uint64   // sequence number of the next one
	rows   int      // in all of them
	more   chan struct{}
}

// link is one batch of the chain, or the place of the next one.
type link struct {
	batch Changes
	next  *link // nil: its batch is not there yet
	cut   bool  // what came here is lost to those who are not past it
}

// recent knows a batch without keeping it in memory.
type recent struct {
	link weak.Pointer[link]
	rows int
}

func newFeed() feed {
	return feed{last: &link{}, recent: make([]recent, maxFeedBatches), more: make(chan struct{})}
}

func (f *feed) add(batches []Changes) {
	for _, b := range batches {
		rows := len(b.Changes)
		for f.next-f.first == maxFeedBatches || f.next > f.first && f.rows+rows > maxFeedChanges {
			f.drop()
		}
		here := f.last
		here.batch, here.next = b, &link{}
		f.last = here.next
		f.recent[f.next%maxFeedBatches] = recent{weak.Make(here), rows}
		f.next++
		f.rows += rows
	}
	f.wake()
}

// drop takes the oldest batch from whoever has not read it.
func (f *feed) drop() {
	oldest := &f.recent[f.first%maxFeedBatches]
	if l := oldest.link.Value(); l != nil {
		*l = link{cut: true}
	}
	f.rows -= oldest.rows
	*oldest = recent{}
	f.first++
}

// reset drops everything; every follower has to start again.
func (f *feed) reset() {
	for f.first < f.next {
		f.drop()
	}
	f.last.cut = true
	f.last = &link{}
	f.wake()
}

func (f *feed) wake() {
	close(f.more)
	f.more = make(chan struct{})
}

// Follower gives the changes after a snapshot, in order. It holds nothing that has to be
// closed, and is not for several goroutines at once.
type Follower struct {
	store *Store
	at    *link // of the next batch
}

// Follow returns the newest state and a follower of what comes after it.
func (s *Store) Follow() (Reader, *Follower) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.reader(), &Follower{store: s, at: s.feed.last}
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
	switch {
	case f.at.cut:
		return Changes{}, nil, ErrLagged
	case f.at.next == nil:
		return Changes{}, f.store.feed.more, nil
	}
	c := f.at.batch
	f.at = f.at.next
	return c, nil, nil
}
