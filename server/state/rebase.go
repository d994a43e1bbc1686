package state

import (
	"io"
	"time"
)

// ReadSnapshot returns a store of its own with what a snapshot holds, which is checked whole.
func ReadSnapshot(r io.Reader) (*Store, error) {
	db, err := readSnapshot(r)
	if err != nil {
		return nil, err
	}
	s := New()
	s.db, s.about = db, metaOf(db)
	return s, nil
}

// Become replaces the state by that of next, which is not used any more. Who watches the old one learns of it.
func (s *Store) Become(next *Store) {
	next.mu.Lock()
	db := next.db
	next.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.become(db)
}

// Base is a place in a cluster's log.
type Base struct {
	Index uint64
	Term  uint64
	Level uint32    // of that cluster
	Time  time.Time // of that log
}

// Rebase makes what a snapshot held the state at a place in another log, or later in its own.
// Everything counts as changed there, so that who waits for a change of anything learns of it;
// level and time do not go back.
func (s *Store) Rebase(b Base) error {
	txn := s.Begin()
	defer txn.Abort() // does nothing after a commit
	m := &txn.meta
	m.Index, m.Term, m.Restored = b.Index, b.Term, b.Index
	m.Level = max(m.Level, b.Level)
	m.Time = max(m.Time, b.Time.UnixNano())
	for _, t := range tableList {
		txn.touchTable(t)
	}
	return txn.Commit()
}

// Restored is the index at which the state was last replaced by a snapshot that somebody restored;
// 0: never. What a reader saw before that is no part of this state's history, whatever its index.
func (r Reader) Restored() uint64 { return r.meta().Restored }

// SnapshotTable is how much of a snapshot a table is.
type SnapshotTable struct {
	Name  string
	Rows  int
	Bytes int64 // of the rows, before they are compressed
}
