package state

import (
	"bytes"
	"time"
)

const (
	// RequestWindow is how long the results of requests are kept, in the log's time, of which no more than
	// requestStep counts for one command: a leader whose clock is an hour ahead must not make the servers
	// forget what was done a moment ago, and is about to be asked for again.
	RequestWindow = 10 * time.Minute
	requestStep   = time.Second
	// MaxRequests is how many results are kept. The oldest go beyond it: whoever writes that much should
	// not keep others from writing, and a retry comes within seconds.
	MaxRequests = 100_000
)

// request is a write that carried a request id, and what came of it.
type request struct {
	ID     string
	Time   int64 // of the meta's clock, nanoseconds
	Index  uint64
	Result []byte // as package fsm encodes it
}

var requests = requestTable()

func requestTable() *table[request] {
	t := newTable[request](12, TableRequests, func(q *request) ([]byte, error) { return nameKey(q.ID) })
	t.indexes = map[string]func(*request) ([]byte, error){
		indexTime: func(q *request) ([]byte, error) { return timeKey(q.Time), nil },
	}
	return t
}

// Result returns the result of an earlier write with this request id and the index at
// which it was made.
func (r Reader) Result(requestID string) (index uint64, result []byte, ok bool) {
	key, err := nameKey(requestID)
	if err != nil {
		return 0, nil, false
	}
	q, ok := first(r, nil, requests, key)
	if !ok {
		return 0, nil, false
	}
	return q.Index, q.Result, true
}

// KeepResult stores the result of the present command under its request id.
func (w *Writer) KeepResult(requestID string, result []byte) error {
	if w.txn.meta.Requests >= MaxRequests {
		for q := range list(w.Reader, nil, requests, indexTime+withPrefix, nil) {
			if err := w.forgetRequest(q); err != nil {
				return err
			}
			break
		}
	}
	w.txn.meta.Requests++
	w.txn.expiry = 0
	return put(w.txn, requests, &request{ID: requestID, Time: w.txn.meta.Clock, Index: w.txn.meta.Index, Result: bytes.Clone(result)})
}

// advanceClock has the clock of requests follow the log's time, which was at before.
func (m *meta) advanceClock(before int64) {
	if m.Clock == 0 {
		m.Clock = m.Time // also of a state that was written without a clock
		return
	}
	m.Clock += min(m.Time-before, int64(requestStep))
}

// expireRequests drops the results whose time is over. When that is does not depend on
// how commands are batched.
func (w *Writer) expireRequests() error {
	t := w.txn
	now := t.meta.Clock
	if t.meta.Requests == 0 || t.expiry > now {
		return nil
	}
	var old []*request
	t.expiry = 0
	for q := range list(w.Reader, nil, requests, indexTime+withPrefix, nil) {
		if end := q.Time + int64(RequestWindow); end > now {
			t.expiry = end
			break
		}
		old = append(old, q)
	}
	for _, q := range old {
		if err := w.forgetRequest(q); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) forgetRequest(q *request) error {
	key, err := requests.key(q)
	if err != nil {
		return err
	}
	w.txn.meta.Requests--
	return remove(w.txn, requests, key)
}
