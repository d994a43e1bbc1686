package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/state"
)

// How long things may take once nothing breaks any more.
const (
	writeWithin  = 10 * time.Second // until a write through every server succeeds (I11)
	equalWithin  = 20 * time.Second // until all servers have the same state
	wakeWithin   = 2 * time.Second  // until who waits for a change is told
	placedWithin = time.Minute      // until every job has what it asks for, a lost node's lease included
	freeWithin   = time.Minute      // until nothing is locked whose holders are gone
)

// heal mends all that is broken; whoever watches the servers starts those that are down. One node in some
// runs stays without power.
func (w *world) heal() {
	w.calm.Store(true)
	w.log.Info("HEAL")
	w.net.Disturb(w.delay, 0)
	for _, m := range w.all() {
		m.offset.Store(0)
	}
	w.await("I1", "all servers to run", writeWithin, func() error {
		for _, m := range w.voters() {
			if m.up() == nil {
				return fmt.Errorf("%s is down", m.id)
			}
		}
		return nil
	})
	if rng := w.rng(streamShape); rng.IntN(2) == 0 {
		w.nodes[0].power(false)
	}
}

// live checks that the cluster makes progress, while clients still work.
func (w *world) live() {
	w.membership()
	for _, m := range w.voters() {
		w.await("I11", "a write through "+m.id, writeWithin, func() error {
			return w.write(m, "var/progress", m.id)
		})
	}
	w.wakeUps()
}

// membership brings the servers to what they are to be, and checks that no acknowledged one is missing.
func (w *world) membership() {
	if !w.await("I11", "a leader", writeWithin, w.oneLeader) {
		return
	}
	var peers []string
	w.await("I11", "the leader's word on who the servers are", writeWithin, func() error {
		return w.leading(func(ctx context.Context, s *server.Server) error {
			if _, err := s.CommitIndex(ctx); err != nil {
				return err
			}
			peers = nil
			for _, p := range s.Consensus().Peers() {
				if p.Voter {
					peers = append(peers, p.ID)
				}
			}
			return nil
		})
	})
	for _, m := range w.all() {
		there := slices.Contains(peers, m.id)
		if m.confirmed.Load() && !there {
			w.violate("I1", "server %s was acknowledged as a voter, and the voters are %v", m.id, peers)
		}
		if m.removed.Load() && there {
			w.violate("I1", "server %s was acknowledged as removed, and the voters are %v", m.id, peers)
		}
		if m.isMember.Load() && !there {
			w.await("I11", "adding "+m.id, writeWithin, func() error {
				return w.leading(func(ctx context.Context, s *server.Server) error { return s.Consensus().AddVoter(ctx, m.id) })
			})
		}
	}
}

// leading has the leader do something.
func (w *world) leading(do func(context.Context, *server.Server) error) error {
	m := w.leader()
	if m == nil {
		return w.oneLeader()
	}
	ctx, cancel := context.WithTimeout(managing(w.ctx), opTimeout)
	defer cancel()
	return w.call(ctx, "operator", m, do)
}

// write sets a variable through a server.
func (w *world) write(m *member, path, value string) error {
	ctx, cancel := context.WithTimeout(managing(w.ctx), opTimeout)
	defer cancel()
	return w.ask(ctx, "operator", m, func(ctx context.Context, s *server.Server) error {
		want := &nomadish.Variable{Items: nomadish.VariableItems{"v": value}}
		want.Namespace, want.Path = namespace, path
		_, _, err := s.Variables().Set(ctx, want, nil)
		return err
	})
}

// wakeUps has somebody wait at every server for a change, makes it, and sees to it that all are told.
func (w *world) wakeUps() {
	var waiting sync.WaitGroup
	told := make(chan string, len(w.voters()))
	for _, m := range w.voters() {
		s := m.up()
		if s == nil {
			continue
		}
		waiting.Go(func() {
			ctx, cancel := context.WithTimeout(managing(w.ctx), equalWithin)
			defer cancel()
			if err := wait(ctx, s); err != nil {
				w.violate("I11", "who waits at %s for a change is not told: %v", m.id, err)
				return
			}
			told <- m.id
		})
	}
	pause(w.ctx, time.Second)
	began := time.Now()
	w.await("I11", "a write that others wait for", writeWithin, func() error { return w.write(w.voters()[0], "var/awaited", "there") })
	waiting.Wait()
	if took := time.Since(began); took > wakeWithin+writeWithin {
		w.violate("I11", "who waited for a change was told after %s", took)
	}
	w.count("woken", len(told))
}

// wait is a blocking query for a variable that is not there yet.
func wait(ctx context.Context, s *server.Server) error {
	for {
		ws := memdb.NewWatchSet()
		if err := s.Sync(ctx); nomadish.KindOf(err) == nomadish.KindNoLeader && err != nil && ctx.Err() == nil {
			pause(ctx, 100*time.Millisecond) // the lead may still go from one server to another
			continue
		} else if err != nil {
			return err
		}
		_, _, err := s.Variables().Read(ctx, ws, namespace, "var/awaited")
		if err == nil {
			return nil
		}
		if nomadish.KindOf(err) != nomadish.KindNotFound {
			return err
		}
		if err := ws.WatchCtx(ctx); err != nil {
			return err
		}
	}
}

// settle waits until nothing is left to be done, and checks what has come of everything.
func (w *world) settle() {
	if !w.await("I5", "every job to have what it asks for", placedWithin, w.placed) {
		return
	}
	w.await("I11", "locks to be free whose holders are gone", freeWithin, w.unlocked)
	w.await("I4", "the same state on all servers", equalWithin, w.equal)
	for _, m := range w.voters() {
		s := m.up()
		if s == nil {
			w.violate("I1", "%s is down in the end", m.id)
			continue
		}
		w.checkKept(m, s)
	}
	w.replay()
}

// equal says which servers differ.
func (w *world) equal() error {
	var first state.Reader
	for i, m := range w.voters() {
		s := m.up()
		if s == nil {
			return fmt.Errorf("%s is down", m.id)
		}
		r := s.Store().Reader()
		if i == 0 {
			first = r
		}
		if r.Index() != first.Index() || r.Hash() != first.Hash() {
			return fmt.Errorf("%s is at index %d with hash %s, another server at %d with %s", m.id, r.Index(), r.Hash(), first.Index(), first.Hash())
		}
	}
	return nil
}

// placed says what is missing or too much: every job has what it asks for, of its newest version, on nodes
// that run it; nothing else runs; no evaluation waits.
func (w *world) placed() error {
	m := w.leader()
	if m == nil {
		return errors.New("there is no leader")
	}
	r := m.up().Store().Reader()
	for e := range r.Evaluations(nil) {
		if e.Status == nomadish.EvalStatusPending && !e.WaitUntil.After(time.Now()) {
			return fmt.Errorf("evaluation %s of %s, %s, is pending", e.ID, e.JobID, e.TriggeredBy)
		}
	}
	wanted := map[string]map[string]bool{} // by node: what is to run there
	for _, o := range w.owners {
		if err := o.placed(r, wanted); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		active := n.active()
		for id := range active {
			if !wanted[n.noun.ID][id] {
				return fmt.Errorf("%s runs allocation %s, which is not to run", n.name, id)
			}
		}
		for id := range wanted[n.noun.ID] {
			if !active[id] {
				return fmt.Errorf("%s does not run allocation %s: %s", n.name, id, n.says(id))
			}
		}
	}
	return nil
}

// placed looks at the jobs of one owner, and adds what is to run to wanted.
func (o *owner) placed(r state.Reader, wanted map[string]map[string]bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, d := range o.jobs {
		job, err := r.Job(nil, namespace, id)
		if err != nil {
			if d.may(spec{Missing: true}) || d.may(spec{Stopped: true}) {
				continue
			}
			return fmt.Errorf("job %s was acknowledged as %+v: %w", id, d.specs[0], err)
		}
		if got := specOf(job); !d.may(got) {
			return fmt.Errorf("job %s is %+v, it was to be one of %+v", id, got, d.specs)
		}
		if err := placedJob(r, job, wanted); err != nil {
			return err
		}
	}
	return nil
}

func placedJob(r state.Reader, job *nomadish.Job, wanted map[string]map[string]bool) error {
	id, count := nomadish.Val(job.ID), nomadish.Val(job.TaskGroups[0].Count)
	if nomadish.Val(job.Stop) {
		count = 0
	}
	names := map[string]bool{}
	for a := range r.AllocationsByJob(nil, namespace, id) {
		if a.Terminal() {
			continue
		}
		if names[a.Name] || a.JobVersion != nomadish.Val(job.Version) || a.ClientStatus != nomadish.AllocClientRunning {
			status := "gone"
			if n, err := r.Node(nil, a.NodeID); err == nil {
				status = n.Status
			}
			return fmt.Errorf("%s (%s) on node %s, which is %s: version %d of %d, %s, twice: %t; %s",
				a.Name, a.ID, a.NodeName, status, a.JobVersion, nomadish.Val(job.Version), a.ClientStatus, names[a.Name], waiting(r, id))
		}
		names[a.Name] = true
		if wanted[a.NodeID] == nil {
			wanted[a.NodeID] = map[string]bool{}
		}
		wanted[a.NodeID][a.ID] = true
	}
	if len(names) != count {
		return fmt.Errorf("job %s runs %d times, want %d; %s", id, len(names), count, waiting(r, id))
	}
	return nil
}

// waiting tells of the evaluations of a job that have not ended.
func waiting(r state.Reader, id string) string {
	out := "no evaluation of it waits"
	for e := range r.EvaluationsByJob(nil, namespace, id) {
		if !e.Terminal() {
			out = fmt.Sprintf("evaluation %s (%s) is %s until %s: %v", e.ID, e.TriggeredBy, e.Status, e.WaitUntil, e.FailedTGAllocs["g"])
		}
	}
	return out
}
