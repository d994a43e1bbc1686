package consensus

import (
	"io"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/fsm"
)

// machine ends the server when the state machine refuses to go on, and tells when the state is of another
// cluster than before.
type machine struct {
	*fsm.FSM
	stop    func(error)
	renamed chan struct{}
	last    *origin // of the cluster; for raft's goroutine that applies
}

// compare wakes who keeps the cluster's name.
func (m machine) compare() {
	now := m.origin()
	if now == *m.last {
		return
	}
	*m.last = now
	select {
	case m.renamed <- struct{}{}:
	default:
	}
}

// Apply implements raft.BatchingFSM.
func (m machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM.
func (m machine) ApplyBatch(logs []*raft.Log) []any {
	results := m.FSM.ApplyBatch(logs)
	if err := m.Err(); err != nil {
		m.stop(err)
	}
	m.compare()
	return results
}

// Restore stops the server when it fails: raft would go on with a state that belongs to no index.
func (m machine) Restore(r io.ReadCloser) error {
	err := m.FSM.Restore(r)
	if err != nil {
		m.stop(err)
	}
	m.compare()
	return err
}
