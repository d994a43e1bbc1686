package state

import (
	"fmt"
	"iter"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Reader is the state at one moment. It never changes and may be used by many goroutines.
//
// What it returns is shared: copy it to change it. Methods that take a WatchSet add the
// channels to it that close when their answer may have changed; nil watches nothing. Lists
// are sorted and may be ranged over more than once.
type Reader struct {
	txn     *memdb.Txn
	about   *meta
	abandon <-chan struct{} // closes when the store is replaced by a snapshot
	write   *Txn            // what a Writer reads from; nil for others
}

// first returns the value with this primary key.
func first[T any](r Reader, ws memdb.WatchSet, t *table[T], key []byte) (*T, bool) {
	rw := r.row(ws, t.name, t.number, key)
	if rw == nil {
		return nil, false
	}
	return rw.(*row[T]).value, true
}

// row returns the row with this primary key, or nil.
func (r Reader) row(ws memdb.WatchSet, table string, number byte, key []byte) any {
	if r.write != nil {
		var few [128]byte // spares the look-up an allocation
		name := append(append(few[:0], number), key...)
		if rw, ok := r.write.touched[string(name)]; ok {
			return rw
		}
		// What this transaction has not touched is as it was before. Reading there
		// spares memdb a copy of the index.
		return r.write.untouched(table, name, key)
	}
	ch, rw, err := r.txn.FirstWatch(table, indexID, key)
	if err != nil {
		panic(fmt.Sprintf("state: read %s: %v", table, err)) // the schema is wrong
	}
	r.watch(ws, ch)
	return rw
}

func (r Reader) watch(ws memdb.WatchSet, ch <-chan struct{}) {
	if ws != nil {
		ws.Add(ch)
		ws.Add(r.abandon)
	}
}

// list returns the values with this key in an index, in the order of their primary keys.
func list[T any](r Reader, ws memdb.WatchSet, t *table[T], index string, key []byte) iter.Seq[*T] {
	get := func() memdb.ResultIterator {
		it, err := r.txn.Get(t.name, index, key)
		if err != nil {
			panic(fmt.Sprintf("state: list %s by %s: %v", t.name, index, err)) // the schema is wrong
		}
		return it
	}
	if ws != nil {
		r.watch(ws, get().WatchCh())
	}
	return func(yield func(*T) bool) {
		it := get()
		for rw := it.Next(); rw != nil; rw = it.Next() {
			if !yield(rw.(*row[T]).value) {
				return
			}
		}
	}
}

// filter leaves out what keep refuses.
func filter[T any](seq iter.Seq[T], keep func(T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range seq {
			if keep(v) && !yield(v) {
				return
			}
		}
	}
}

// empty is a list without elements.
func empty[T any](func(T) bool) {}

// missing is the error for a row that does not exist.
func missing(noun, name string) error {
	return nomadish.Errorf(nomadish.KindNotFound, "%s %q: %w", noun, name, nomadish.ErrNotFound)
}

// Index is the index of the newest command that this state has seen.
func (r Reader) Index() uint64 { return r.meta().Index }

// Time is the log's time: the greatest that any command has carried.
func (r Reader) Time() time.Time { return time.Unix(0, r.meta().Time).UTC() }

// Level is the cluster level: the newest commands and formats that may be written.
func (r Reader) Level() uint32 { return r.meta().Level }

// ClusterID names the cluster for ever; empty before its first term began.
func (r Reader) ClusterID() string { return r.meta().ClusterID }

// Term is the newest leader's term that has begun with a command.
func (r Reader) Term() uint64 { return r.meta().Term }

// TableIndex is the index of the newest command that changed one of the tables.
func (r Reader) TableIndex(tables ...string) uint64 {
	m := r.meta()
	var index uint64
	for _, name := range tables {
		for _, t := range tableList {
			if n := int(t.tableNumber()); t.tableName() == name && n < len(m.Tables) {
				index = max(index, m.Tables[n])
			}
		}
	}
	return index
}

// Hash is the hash of the whole state.
func (r Reader) Hash() Hash {
	m := r.meta()
	s, _ := hashRow(nil, metas, metaKey, m)
	return sum{m.SumHigh, m.SumLow}.add(s).hash()
}
