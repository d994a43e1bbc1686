package consensus

import (
	"context"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// Machine is what the log drives. ApplyBatch gets commands only.
type Machine interface {
	raft.BatchingFSM
	// TermStart returns the encoded command with which a leader begins its term.
	TermStart() ([]byte, error)
	// Index returns the index of the newest command that is applied.
	Index() uint64
}

// machine lets callers wait until a command is applied.
type machine struct {
	Machine

	mu      sync.Mutex
	applied uint64
	changed chan struct{} // closed when applied changes; nil if nobody waits
}

func newMachine(m Machine) *machine { return &machine{Machine: m, applied: m.Index()} }

func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	commands := make([]*raft.Log, 0, len(logs))
	for _, l := range logs {
		if l.Type == raft.LogCommand {
			commands = append(commands, l)
		}
	}
	if len(commands) == 0 {
		return make([]any, len(logs))
	}
	results := m.Machine.ApplyBatch(commands)
	m.advance(commands[len(commands)-1].Index)
	if len(commands) == len(logs) {
		return results
	}
	all := make([]any, 0, len(logs))
	for _, l := range logs {
		if l.Type != raft.LogCommand {
			all = append(all, nil)
			continue
		}
		all = append(all, results[0])
		results = results[1:]
	}
	return all
}

func (m *machine) Restore(r io.ReadCloser) error {
	if err := m.Machine.Restore(r); err != nil {
		return err
	}
	m.advance(m.Machine.Index())
	return nil
}

func (m *machine) advance(index uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applied = index
	if m.changed != nil {
		close(m.changed)
		m.changed = nil
	}
}

// wait returns once the command at index is applied, or dead is closed.
func (m *machine) wait(ctx context.Context, dead <-chan struct{}, index uint64) error {
	for {
		m.mu.Lock()
		if m.applied >= index {
			m.mu.Unlock()
			return nil
		}
		if m.changed == nil {
			m.changed = make(chan struct{})
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-dead:
			return errStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
