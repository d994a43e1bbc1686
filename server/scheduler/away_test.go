package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
)

// disconnect gives the job's group a disconnect block.
func disconnect(w *world, change func(*nomadish.DisconnectStrategy)) *world {
	d := &nomadish.DisconnectStrategy{Replace: nomadish.Ptr(true), Reconcile: nomadish.Ptr(nomadish.ReconcileBestScore)}
	change(d)
	w.job.TaskGroups[0].Disconnect = d
	return w
}

func lostAfter(d time.Duration) func(*nomadish.DisconnectStrategy) {
	return func(s *nomadish.DisconnectStrategy) { s.LostAfter = &d }
}

// leave has a node away since a time.
func leave(n *nomadish.Node, status string, since time.Duration) {
	n.Status, n.StatusUpdatedAt = status, epoch.Add(-since).Unix()
}

// casesOfAbsence are about nodes of which nothing is heard.
func casesOfAbsence() []reconcileCase {
	gone := func(since time.Duration) func([]*nomadish.Node) {
		return func(ns []*nomadish.Node) { leave(ns[1], nomadish.NodeStatusDisconnected, since) }
	}
	unknown := func(w *world) *world {
		w.allocs[1].ClientStatus = nomadish.AllocClientUnknown
		return w
	}
	const until = 10 * time.Minute
	return []reconcileCase{
		{
			name:  "disconnected: unknown, replaced, and looked at when it is lost",
			world: func() *world { return disconnect(running("service", 2), lostAfter(until)) }, nodes: gone(time.Minute),
			want: []string{"+app[1]", "=app[1]@n1 unknown"}, later: []time.Duration{until - time.Minute},
		},
		{
			name: "disconnected, not to be replaced",
			world: func() *world {
				return disconnect(running("service", 2), func(d *nomadish.DisconnectStrategy) {
					d.LostAfter, d.Replace = nomadish.Ptr(until), nomadish.Ptr(false)
				})
			},
			nodes: gone(time.Minute), want: []string{"=app[1]@n1 unknown"}, later: []time.Duration{until - time.Minute},
		},
		{
			name: "down, never to be replaced",
			world: func() *world {
				w := running("service", 2)
				w.job.TaskGroups[0].PreventRescheduleOnLost = nomadish.Ptr(true)
				return w
			},
			nodes: func(ns []*nomadish.Node) { leave(ns[1], nomadish.NodeStatusDown, time.Hour) }, want: []string{"=app[1]@n1 unknown"},
		},
		{
			name:  "its time is over",
			world: func() *world { return unknown(disconnect(running("service", 2), lostAfter(until))) }, nodes: gone(until),
			want: []string{"+app[1]", "-app[1]@n1 " + descLost},
		},
		{
			name: "had not begun",
			world: func() *world {
				w := disconnect(running("service", 2), lostAfter(until))
				w.allocs[1].ClientStatus = nomadish.AllocClientPending
				return w
			},
			nodes: gone(time.Minute), want: []string{"+app[1]", "-app[1]@n1 " + descLost},
		},
		{
			name: "others on a disconnected node are lost", world: func() *world { return running("service", 2) },
			nodes: gone(time.Minute), want: []string{"+app[1]", "-app[1]@n1 " + descLost},
		},
		{
			name: "its node stops it: no successor before",
			world: func() *world {
				return disconnect(running("service", 2), func(d *nomadish.DisconnectStrategy) { d.StopOnClientAfter = nomadish.Ptr(time.Minute) })
			},
			nodes: func(ns []*nomadish.Node) { leave(ns[1], nomadish.NodeStatusDown, 20*time.Second) },
			want:  []string{"=app[1]@n1"}, later: []time.Duration{40 * time.Second},
		},
		{
			name: "its node has stopped it",
			world: func() *world {
				return disconnect(running("service", 2), func(d *nomadish.DisconnectStrategy) { d.StopOnClientAfter = nomadish.Ptr(time.Minute) })
			},
			nodes: func(ns []*nomadish.Node) { leave(ns[1], nomadish.NodeStatusDown, time.Minute) },
			want:  []string{"+app[1]", "-app[1]@n1 " + descLost},
		},
		{
			name:  "its node is back and has said nothing yet",
			world: func() *world { return unknown(disconnect(running("service", 2), lostAfter(until))) },
		},
		{
			name: "not needed any more",
			world: func() *world {
				w := unknown(disconnect(running("service", 2), lostAfter(until)))
				w.job.TaskGroups[0].Count = nomadish.Ptr(1)
				return w
			},
			nodes: gone(time.Minute), want: []string{"-app[1]@n1 " + descNotNeeded},
		},
	}
}

// Of what comes back and its replacement one stays, as the group's strategy says.
func TestReconcileReconnected(t *testing.T) {
	scored := func(node string, score float64) *nomadish.AllocationMetric {
		return &nomadish.AllocationMetric{ScoreMetaData: []*nomadish.NodeScoreMeta{{NodeID: node, NormScore: score}}}
	}
	for _, tt := range []struct {
		strategy   string
		original   float64 // score; the replacement's is 0.5
		pending    bool    // the replacement has yet to start
		keepsFirst bool
	}{
		{strategy: nomadish.ReconcileKeepOriginal, original: 0.1, keepsFirst: true},
		{strategy: nomadish.ReconcileKeepReplacement, original: 0.9},
		{strategy: nomadish.ReconcileKeepReplacement, original: 0.9, pending: true},
		{strategy: nomadish.ReconcileBestScore, original: 0.9, keepsFirst: true},
		{strategy: nomadish.ReconcileBestScore, original: 0.1},
		{strategy: nomadish.ReconcileBestScore, original: 0.1, pending: true, keepsFirst: true},
		{strategy: nomadish.ReconcileLongestRunning, original: 0.1, keepsFirst: true},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			w := disconnect(running("service", 1), lostAfter(time.Hour))
			w.job.TaskGroups[0].Disconnect.Reconcile = &tt.strategy
			first := w.allocs[0]
			second := *first
			second.ID, second.PreviousAllocation, second.CreateIndex = testID("second"), first.ID, 20
			second.NodeID, second.NodeName = testNode(1).ID, testNode(1).Name
			second.TaskStates = map[string]*nomadish.TaskState{"server": {State: nomadish.TaskStateRunning, StartedAt: epoch.Add(-time.Minute)}}
			if tt.pending {
				second.ClientStatus, second.TaskStates = nomadish.AllocClientPending, nil
			}
			first.NextAllocation = second.ID
			first.Metrics, second.Metrics = scored(first.NodeID, tt.original), scored(second.NodeID, 0.5)
			w.allocs = append(w.allocs, &second)
			want := []string{"-app[0]@n0 " + descReconnect}
			if tt.keepsFirst {
				want = []string{"-app[0]@n1 " + descReconnect}
			}
			nodes := testNodes(2)
			if diff := cmp.Diff(want, summary(w, w.schedule(t, nodes).Plan, nodes)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However nodes come and go: what a group has too much of is stopped as soon as its nodes are back,
// and of each name one runs then, on the nodes as the servers want it.
func TestNeverTwoAfterReconnect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := disconnect(running("service", 3), func(d *nomadish.DisconnectStrategy) {
			if rapid.Bool().Draw(t, "stops") {
				d.StopOnClientAfter = nomadish.Ptr(time.Minute)
				return
			}
			d.LostAfter = nomadish.Ptr(time.Hour)
			d.Replace = nomadish.Ptr(rapid.Bool().Draw(t, "replace"))
			d.Reconcile = nomadish.Ptr(rapid.SampledFrom([]string{
				nomadish.ReconcileBestScore, nomadish.ReconcileKeepOriginal, nomadish.ReconcileKeepReplacement, nomadish.ReconcileLongestRunning,
			}).Draw(t, "strategy"))
		})
		var nodes []*nomadish.Node
		for i := range 6 {
			nodes = append(nodes, testNode(i))
		}
		for step := range rapid.IntRange(1, 5).Draw(t, "steps") {
			for _, n := range nodes {
				n.Status = rapid.SampledFrom([]string{
					nomadish.NodeStatusReady, nomadish.NodeStatusReady, nomadish.NodeStatusDisconnected, nomadish.NodeStatusDown,
				}).Draw(t, "status")
				n.StatusUpdatedAt = epoch.Add(-time.Duration(rapid.IntRange(0, 120).Draw(t, "since")) * time.Minute).Unix()
			}
			w.round(t, nodes, uint64(100*step+100))
		}
		for _, n := range nodes {
			n.Status = nomadish.NodeStatusReady
		}
		w.round(t, nodes, 1000)
		w.round(t, nodes, 2000)
		runs := map[string]int{}
		for _, a := range w.allocs {
			if !a.Terminal() {
				runs[a.Name]++
			}
		}
		for i := range 3 {
			if name := allocName("web", "app", i); runs[name] != 1 {
				t.Fatalf("%s runs %d times, want once; all: %v", name, runs[name], runs)
			}
		}
	})
}

// round has the nodes that are there say what they run, and the job evaluated until nothing changes.
func (w *world) round(t *rapid.T, nodes []*nomadish.Node, index uint64) {
	t.Helper()
	for i := range uint64(4) {
		for _, a := range w.allocs {
			here := slices.ContainsFunc(nodes, func(n *nomadish.Node) bool { return n.ID == a.NodeID && n.Status == nomadish.NodeStatusReady })
			if here && !a.Terminal() {
				a.ClientStatus = nomadish.AllocClientRunning
				a.TaskStates = map[string]*nomadish.TaskState{"server": {State: nomadish.TaskStateRunning, StartedAt: epoch.Add(-time.Minute)}}
			}
		}
		eval := &nomadish.Evaluation{ID: testID(fmt.Sprint("eval", index+i)), Namespace: "default", JobID: "web", Type: "service", Priority: 50}
		out, err := Schedule(w.snapshot(nodes), eval)
		if err != nil {
			t.Fatal(err)
		}
		if out.Plan == nil {
			return
		}
		w.commit(out.Plan, index+i)
	}
}
