package nodesim

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// The same seed gives the same nodes, another one others; each is one of its own.
func TestNodesComeOfTheSeed(t *testing.T) {
	cfg := Config{Nodes: 500, Seed: 7}.withDefaults()
	nodes := describe(cfg)
	if diff := cmp.Diff(describe(cfg), nodes); diff != "" {
		t.Errorf("another time: %s", diff)
	}
	cfg.Seed = 8
	other := describe(cfg)
	ids, classes := map[string]bool{}, map[string]int{}
	for i, n := range nodes {
		if _, err := nomadish.ParseID(n.ID); err != nil || n.ID == other[i].ID {
			t.Errorf("node %d: ID %s (%v), with another seed %s", i, n.ID, err, other[i].ID)
		}
		ids[n.ID], ids[n.SecretID.Reveal()] = true, true
		classes[n.NodeClass]++
	}
	if len(ids) != 2*len(nodes) || len(classes) != len(kinds) {
		t.Errorf("%d IDs and secrets of %d nodes, classes %v", len(ids), len(nodes), classes)
	}
}

// What a node says of an allocation, from its arrival to its end.
func TestLedger(t *testing.T) {
	begin := time.Unix(1000, 0)
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	service := &nomadish.Job{Type: nomadish.Ptr(nomadish.JobTypeService)}
	batch := &nomadish.Job{Type: nomadish.Ptr(nomadish.JobTypeBatch)}
	for _, tt := range []struct {
		name  string
		job   *nomadish.Job
		fail  float64
		stop  int // second at which the servers want its end; 0: they don't
		wants []string
	}{
		{"a service runs on", service, 0, 0, []string{"", "", "running", "", "", ""}},
		{"a service that is stopped", service, 0, 4, []string{"", "", "running", "", "complete", ""}},
		{"one that is stopped before it runs", service, 0, 1, []string{"", "complete", "", "", "", ""}},
		{"a batch job ends", batch, 0, 0, []string{"", "", "running", "", "", "complete"}},
		{"one that fails", service, 1, 0, []string{"", "", "running", "", "", "failed"}},
		{"stopped is not failed", service, 1, 4, []string{"", "", "running", "", "complete", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(Config{RunAfter: 2 * time.Second, RunFor: 3 * time.Second, Fail: tt.fail})
			wanted := &nomadish.Allocation{ID: "a", Job: tt.job, ClientStatus: nomadish.AllocClientPending, DesiredStatus: nomadish.AllocDesiredRun}
			l.take(&nomadish.NodeAllocations{Allocs: []*nomadish.Allocation{wanted}}, at(0))
			var got []string
			for second := range tt.wants {
				if second == tt.stop && second > 0 {
					stopped := *wanted
					stopped.DesiredStatus = nomadish.AllocDesiredStop
					l.take(&nomadish.NodeAllocations{Since: 1, Allocs: []*nomadish.Allocation{&stopped}}, at(second))
				}
				reports, _ := l.due(at(second))
				l.told(reports)
				status := ""
				for _, r := range reports {
					status += r.ClientStatus
				}
				got = append(got, status)
			}
			if diff := cmp.Diff(tt.wants, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A node forgets what the servers no longer list, and what they know has ended.
func TestLedgerForgets(t *testing.T) {
	l := newLedger(Config{})
	var allocs []*nomadish.Allocation
	for i := range 4 {
		allocs = append(allocs, &nomadish.Allocation{ID: fmt.Sprint(i), ClientStatus: nomadish.AllocClientPending})
	}
	if fresh := l.take(&nomadish.NodeAllocations{Allocs: allocs}, time.Unix(0, 0)); len(fresh) != 4 {
		t.Errorf("%d are new, want 4", len(fresh))
	}
	l.take(&nomadish.NodeAllocations{Since: 5, Ended: []string{"0"}}, time.Unix(0, 0))
	l.take(&nomadish.NodeAllocations{Since: 6, Listed: []string{"1", "2"}}, time.Unix(0, 0))
	if len(l.allocs) != 2 || l.allocs["1"] == nil || l.allocs["2"] == nil {
		t.Errorf("%d are kept, want 1 and 2", len(l.allocs))
	}
}

// Figures are within an eighth of what was measured.
func TestHistogram(t *testing.T) {
	h := &histogram{}
	for i := 1; i <= 1000; i++ {
		h.add(time.Duration(i) * time.Millisecond)
	}
	l := h.latency()
	for _, p := range []struct {
		got, want time.Duration
	}{{l.P50, 500 * time.Millisecond}, {l.P99, 990 * time.Millisecond}, {l.Max, time.Second}} {
		if p.got < p.want || p.got > p.want+p.want/8+time.Millisecond {
			t.Errorf("got %s, want about %s", p.got, p.want)
		}
	}
}
