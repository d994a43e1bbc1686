package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

//go:generate go run ../../nomadish/codec/codecgen meta jobRef request submission aclBootstrap

// meta is what the store knows of itself; one row.
type meta struct {
	ClusterID string
	Level     uint32
	Term      uint64
	Index     uint64
	Time      int64    // nanoseconds since 1970
	Tables    []uint64 // by table number: the index of the newest change
	SumHigh   uint64   // the sum of the hashes of all other rows
	SumLow    uint64
	Requests  int    // rows in the table of requests
	Restored  uint64 // the index at which somebody restored a snapshot; 0: never
	Clock     int64  // the log's time without its leaps, by which requests are forgotten
}

var metaKey = []byte{0}

var metas = newTable[meta](13, TableMeta, func(*meta) ([]byte, error) { return metaKey, nil })

// FirstLevel is the level of a new cluster.
const FirstLevel = 1

func (r Reader) meta() *meta {
	if r.write != nil {
		return &r.write.meta
	}
	return r.about
}

// metaOf reads what a database knows of itself.
func metaOf(db *memdb.MemDB) *meta {
	if m, ok := first(Reader{txn: db.Txn(false)}, nil, metas, metaKey); ok {
		return m
	}
	return &meta{Level: FirstLevel}
}

// BeginTerm records that a leader's term has begun, and the cluster's ID if it has none.
// A term that is older than one that began already is refused.
func (w *Writer) BeginTerm(term uint64, clusterID string) error {
	m := &w.txn.meta
	if term < m.Term {
		return nomadish.Errorf(nomadish.KindConflict, "term %d is over: term %d has begun", term, m.Term)
	}
	m.Term = term
	if m.ClusterID == "" {
		m.ClusterID = clusterID
	}
	w.touchTable(metas)
	return nil
}

// RaiseLevel raises the cluster level. It never falls: a lower one changes nothing.
func (w *Writer) RaiseLevel(level uint32) {
	m := &w.txn.meta
	if level > m.Level {
		m.Level = level
		w.touchTable(metas)
	}
}
