package sim

import (
	"bytes"
	"maps"
	"path"
	"strings"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// checkKept looks on one server for every variable that was written once (I1), and saves and restores its
// state (I4).
func (w *world) checkKept(m *member, s *server.Server) {
	r := s.Store().Reader()
	for _, op := range w.history.all() {
		if !strings.HasPrefix(op.Key, "once/") {
			continue
		}
		v, err := r.Variable(nil, namespace, op.Key)
		switch {
		case op.Outcome == done && err != nil:
			w.violate("I1", "%s: %s was acknowledged at index %d: %v", m.id, op.Key, op.Seen.index, err)
		case op.Outcome == done && (v.CreateIndex != op.Seen.index || v.ModifyIndex != op.Seen.index):
			w.violate("I1", "%s: %s was acknowledged at index %d and is of %d to %d", m.id, op.Key, op.Seen.index, v.CreateIndex, v.ModifyIndex)
		case op.Outcome == refused && err == nil:
			w.violate("I1", "%s: %s is there, though its write was refused: %s", m.id, op.Key, op.Error)
		}
	}
	w.checkReports(m, r)
	var saved bytes.Buffer
	if err := r.WriteSnapshot(&saved); err != nil {
		w.violate("I4", "%s: save: %v", m.id, err)
		return
	}
	restored, err := state.ReadSnapshot(&saved)
	if err != nil {
		w.violate("I4", "%s: restore: %v", m.id, err)
		return
	}
	if got := restored.Reader(); got.Hash() != r.Hash() || got.Index() != r.Index() {
		w.violate("I4", "%s: saved at index %d with hash %s, restored at %d with %s", m.id, r.Index(), r.Hash(), got.Index(), got.Hash())
	}
}

// checkReports looks for what nodes have told and servers have acknowledged (I1), of all allocations that are
// still known.
func (w *world) checkReports(m *member, r state.Reader) {
	w.ledger.mu.Lock()
	reports := maps.Clone(w.ledger.reports)
	w.ledger.mu.Unlock()
	for id, what := range reports {
		if a, err := r.Allocation(nil, id); err == nil && !what.kept(a) {
			w.violate("I1", "%s: allocation %s of %s was acknowledged as %s since %s and is %s", m.id, id, a.JobID, what.status, what.since, a.ClientStatus)
		}
	}
}

// replay applies the log of a server that has all of it to an empty state: what comes out is the state that
// all have (I4), and no plan of a deposed leader has changed anything (I3).
func (w *world) replay() {
	for _, m := range w.voters() {
		s := m.up()
		if s == nil {
			continue
		}
		log, err := logstore.Open(logstore.Config{FS: m.disk.copy(), Dir: path.Join(dataDir, "raft"), SegmentSize: w.consensus.SegmentSize})
		if err != nil {
			w.violate("I1", "%s: the log can't be read: %v", m.id, err)
			continue
		}
		first, _ := log.FirstIndex() // it never fails
		if first == 1 {
			w.replayLog(m, log, s.Store().Reader())
		}
		_ = log.Close() // a copy in memory
		if first == 1 {
			return
		}
	}
}

func (w *world) replayLog(m *member, log *logstore.Store, want state.Reader) {
	machine := fsm.New(state.New(), fsm.Config{})
	for index := uint64(1); index <= want.Index(); index++ {
		var l raft.Log
		if err := log.GetLog(index, &l); err != nil {
			w.violate("I1", "%s: entry %d: %v", m.id, index, err)
			return
		}
		if l.Type != raft.LogCommand {
			continue
		}
		if late := deposed(machine.Store().Reader(), &l); late != nil {
			if result, ok := machine.Apply(&l).(fsm.Result); ok && result.Err == nil {
				w.violate("I3", "a plan of term %d is carried out at index %d, in term %d", late.Term, index, machine.Store().Reader().Term())
			}
			continue
		}
		machine.Apply(&l)
	}
	w.count("logs replayed from their beginning", 1)
	if got := machine.Store().Reader(); got.Hash() != want.Hash() {
		w.violate("I4", "%s: its log, applied anew, gives hash %s at index %d, and its state has %s at %d", m.id, got.Hash(), got.Index(), want.Hash(), want.Index())
	}
}

// deposed returns the plan in an entry if it is of an earlier term than the state's.
func deposed(r state.Reader, l *raft.Log) *fsm.ApplyPlan {
	_, command, err := fsm.Decode(l.Data)
	if err != nil {
		return nil // the machine will say so
	}
	plan, ok := command.(*fsm.ApplyPlan)
	if !ok || plan.Term >= r.Term() {
		return nil
	}
	return plan
}

// judge checks the history of requests, after everything has ended.
func (w *world) judge() {
	w.linearize(w.ledger.committed)
	w.oneValueEach()
	w.refusedStaysUndone()
}

// oneValueEach checks that no two answers show different values of a key at the same index.
func (w *world) oneValueEach() {
	type version struct {
		key   string
		index uint64
	}
	values := map[version]string{}
	for _, op := range w.history.all() {
		if op.Seen.index == 0 {
			continue
		}
		at := version{op.Key, op.Seen.index}
		if old, ok := values[at]; ok && old != op.Seen.value {
			w.violate("I2", "%s at index %d was shown as %q and as %q", op.Key, op.Seen.index, old, op.Seen.value)
		}
		values[at] = op.Seen.value
	}
}

// refusedStaysUndone checks that nothing was seen of writes that were refused (I1).
func (w *world) refusedStaysUndone() {
	shown := map[string]bool{}
	for key := range w.ledger.committed {
		shown[key] = true
	}
	for _, op := range w.history.all() {
		if op.Outcome == done && !op.writes() {
			shown[op.Key+" "+op.Seen.value] = true
		}
	}
	for _, op := range w.history.all() {
		if op.Value != "" && (op.Outcome == refused || op.Outcome == conflicted) && shown[op.Key+" "+op.Value] {
			w.violate("I1", "%s of %s to %q was answered with %s %q, and is there", op.Kind, op.Key, op.Value, op.Outcome, op.Error)
		}
	}
}
