package state

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"
)

// Txn is one write transaction. It holds the changes of a batch of commands, which readers
// see all at once when it is committed. Only package fsm uses it.
type Txn struct {
	store   *Store
	txn     *memdb.Txn
	base    *memdb.Txn     // the state before the transaction
	touched map[string]any // by rowName: the newest row, nil if deleted
	looked  [4]lookup      // those of base that were done last
	oldest  int            // of looked
	meta    meta
	saved   []uint64 // room for Writer's saved.Tables
	sum     sum
	buf     []byte
	log     []change // of the present command
	batches []Changes
	expiry  int64 // of the clock of requests, when the oldest one goes; 0: not known
}

// lookup is a row, or that there is none.
type lookup struct {
	name []byte // its rowName; empty: nothing was looked up
	row  any    // nil if there is none
}

// change is one written row: for undoing it, and for the change feed.
type change struct {
	table         anyTable
	key           string
	before, after any // rows; nil if there is none
}

func rowName(number byte, key []byte) string {
	b := make([]byte, 1, 64)
	b[0] = number
	return string(append(b, key...))
}

// untouched returns a row as it was before the transaction. Who changes a row has mostly just read it,
// and the commands of a batch read much of the same.
func (t *Txn) untouched(table string, name, key []byte) any {
	for i := range t.looked {
		if bytes.Equal(t.looked[i].name, name) {
			return t.looked[i].row
		}
	}
	_, row, err := t.base.FirstWatch(table, indexID, key)
	if err != nil {
		panic(fmt.Sprintf("state: read %s: %v", table, err)) // the schema is wrong
	}
	l := &t.looked[t.oldest]
	l.name, l.row = append(l.name[:0], name...), row
	t.oldest = (t.oldest + 1) % len(t.looked)
	return row
}

// Begin starts a write transaction; there is one at a time.
func (s *Store) Begin() *Txn {
	s.mu.RLock()
	db, about := s.db, s.about
	s.mu.RUnlock()
	return newTxn(s, db, about)
}

func newTxn(s *Store, db *memdb.MemDB, about *meta) *Txn {
	t := &Txn{store: s, txn: db.Txn(true), base: db.Txn(false), touched: map[string]any{}}
	t.meta = *about
	t.meta.Tables = slices.Clone(t.meta.Tables)
	t.sum = sum{t.meta.SumHigh, t.meta.SumLow}
	return t
}

func (t *Txn) reader() Reader { return Reader{txn: t.txn, write: t} }

// Writer starts the next command of the transaction. at is the time that the command
// carries; the log's time never goes back.
func (t *Txn) Writer(index uint64, at time.Time) (*Writer, error) {
	w := &Writer{Reader: t.reader(), txn: t, saved: t.meta, savedSum: t.sum}
	t.saved = append(t.saved[:0], t.meta.Tables...)
	w.saved.Tables = t.saved
	t.meta.Index = index
	if !at.IsZero() {
		t.meta.Time = max(t.meta.Time, at.UnixNano())
	}
	w.time = t.meta.Time
	t.meta.advanceClock(w.saved.Time)
	t.log = nil
	return w, w.expireRequests()
}

// Commit makes the changes visible.
func (t *Txn) Commit() error {
	m := t.meta
	m.SumHigh, m.SumLow = t.sum.hi, t.sum.lo
	if err := t.txn.Insert(metas.name, &row[meta]{value: &m, id: metaKey}); err != nil {
		t.txn.Abort()
		return err
	}
	t.store.commit(t.txn, &m, t.batches)
	return nil
}

// Abort drops the changes.
func (t *Txn) Abort() { t.txn.Abort() }

// Writer changes the state for one command. It reads its own writes. Rows get their
// CreateIndex and ModifyIndex here, and their times from the log.
//
// A command ends with Finish. One that fails is taken back with Undo before.
type Writer struct {
	Reader
	txn      *Txn
	time     int64
	jobs     map[jobName]*jobChange
	work     map[string]struct{} // nodes of which something else is wanted
	saved    meta
	savedSum sum
}

// Now is the log's time at this command, in nanoseconds since 1970.
func (w *Writer) Now() int64 { return w.time }

// Finish brings what follows from the command's changes up to date: the summaries and
// states of jobs, and which of their versions are kept.
func (w *Writer) Finish() error {
	if err := errors.Join(w.finishJobs(), w.finishWork()); err != nil {
		return err
	}
	w.txn.batches = append(w.txn.batches, w.changes())
	return nil
}

// Hash is the state hash after this command.
func (w *Writer) Hash() Hash { return w.txn.hash() }

func (t *Txn) hash() Hash {
	m := t.meta
	m.SumHigh, m.SumLow = t.sum.hi, t.sum.lo
	s, _ := hashRow(nil, metas, metaKey, &m)
	return t.sum.add(s).hash()
}

// Undo takes back what the command has written, but for its index and time.
func (w *Writer) Undo() error {
	t := w.txn
	for _, c := range slices.Backward(t.log) {
		var err error
		if c.before == nil {
			err = t.txn.Delete(c.table.tableName(), c.after)
		} else {
			err = t.txn.Insert(c.table.tableName(), c.before)
		}
		if err != nil {
			return err
		}
		t.touched[c.key] = c.before
	}
	t.log, w.jobs, w.work = nil, nil, nil
	index, clock, tables := t.meta.Index, t.meta.Clock, t.meta.Tables
	t.meta, t.sum = w.saved, w.savedSum
	t.meta.Index, t.meta.Time, t.meta.Clock = index, w.time, clock
	t.meta.Tables = append(tables[:0], w.saved.Tables...)
	t.expiry = 0
	return w.expireRequests()
}

// changes turns the log of this command into what followers get.
func (w *Writer) changes() Changes {
	c := Changes{Index: w.txn.meta.Index, Time: w.time}
	for _, e := range w.txn.log {
		if e.table.isDerived() {
			continue
		}
		c.Changes = append(c.Changes, Change{
			Table:  e.table.tableName(),
			Before: e.table.value(e.before),
			After:  e.table.value(e.after),
		})
	}
	return c
}

func (w *Writer) touchTable(t anyTable) { w.txn.touchTable(t) }

func (t *Txn) touchTable(table anyTable) {
	n := int(table.tableNumber())
	for len(t.meta.Tables) <= n {
		t.meta.Tables = append(t.meta.Tables, 0)
	}
	t.meta.Tables[n] = t.meta.Index
}

// put stores v in place of the row with its key.
func put[T any](txn *Txn, t *table[T], v *T) error {
	key, err := t.key(v)
	if err != nil {
		return err
	}
	r := &row[T]{value: v, id: key}
	if !t.derived {
		r.sum, txn.buf = hashRow(txn.buf, t, key, v)
	}
	before := txn.reader().row(nil, t.name, t.number, key)
	if err := txn.txn.Insert(t.name, r); err != nil {
		return err
	}
	txn.record(t, key, before, r)
	return nil
}

// remove deletes the row with this key, if there is one.
func remove[T any](txn *Txn, t *table[T], key []byte) error {
	before := txn.reader().row(nil, t.name, t.number, key)
	if before == nil {
		return nil
	}
	if err := txn.txn.Delete(t.name, before); err != nil {
		return err
	}
	txn.record(t, key, before, nil)
	return nil
}

func (t *Txn) record(table anyTable, key []byte, before, after any) {
	name := rowName(table.tableNumber(), key)
	t.touched[name] = after
	t.log = append(t.log, change{table: table, key: name, before: before, after: after})
	if !table.isDerived() {
		t.sum = t.sum.sub(table.rowSum(before)).add(table.rowSum(after))
		t.touchTable(table)
	}
}

// stamp sets the indexes of a row that replaces one made at index created (0: none).
func (w *Writer) stamp(create, modify *uint64, created uint64) {
	*create = cmp.Or(created, w.txn.meta.Index)
	*modify = w.txn.meta.Index
}
