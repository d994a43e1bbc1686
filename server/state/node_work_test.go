package state_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// The size of a large cluster.
const (
	manyNodes  = 5000
	manyAllocs = 22_000
)

// manyOf returns a store with so many nodes and allocations, spread over them.
func manyOf(t testing.TB, nodes, allocs int) *state.Store {
	t.Helper()
	s := state.New()
	write(t, s, 1, func(w *state.Writer) error {
		for i := range nodes {
			n := &nomadish.Node{ID: id(i), Name: fmt.Sprintf("node-%d", i), Datacenter: "dc1", Attributes: map[string]string{}}
			for a := range 40 {
				n.Attributes[fmt.Sprintf("attribute.number%d", a)] = "value"
			}
			if err := w.PutNode(n); err != nil {
				return err
			}
		}
		return putJob(job("default", "web", allocs))(w)
	})
	for from := 0; from < allocs; from += 1000 {
		write(t, s, uint64(2+from), func(w *state.Writer) error {
			for i := from; i < min(from+1000, allocs); i++ {
				a := alloc(i)
				a.NodeID = id(i % nodes)
				if err := w.PlaceAllocation(a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s
}

// A node's watch wakes when the servers want something else of the node, and neither when the
// node reports nor when they want something of another one.
func TestNodeWork(t *testing.T) {
	s := manyOf(t, 20, 40)
	said := func(n int, status string) func(w *state.Writer) error {
		return func(w *state.Writer) error {
			a := &nomadish.Allocation{ID: id(n), ClientStatus: status}
			return w.UpdateAllocation(id(n%20), a)
		}
	}
	wanted := func(n int) func(w *state.Writer) error {
		return func(w *state.Writer) error {
			return w.ChangeAllocation(id(n), func(a *nomadish.Allocation) { a.DesiredStatus = nomadish.AllocDesiredStop })
		}
	}
	index := uint64(100)
	for _, tt := range []struct {
		name    string
		command func(w *state.Writer) error
		wakes   bool
	}{
		{"its report", said(3, nomadish.AllocClientRunning), false},
		{"a neighbour's work", wanted(4), false},
		{"a new node", func(w *state.Writer) error { return w.PutNode(&nomadish.Node{ID: id(1000)}) }, false},
		{"the node itself", func(w *state.Writer) error { return w.PutNode(&nomadish.Node{ID: id(3), Name: "x"}) }, false},
		{"its own work", wanted(3), true},
		{"its report of an end", said(3, nomadish.AllocClientComplete), false},
		{"an allocation is deleted", func(w *state.Writer) error { return w.DeleteAllocation(id(3)) }, false},
		{"it is purged", func(w *state.Writer) error { return w.DeleteNode(id(3)) }, true},
	} {
		ws := memdb.NewWatchSet()
		s.Reader().NodeWork(ws, id(3))
		index++
		write(t, s, index, tt.command)
		woken := false
		for ch := range ws {
			select {
			case <-ch:
				woken = true
			default:
			}
		}
		if woken != tt.wakes {
			t.Errorf("%s: the watch wakes: %v, want %v", tt.name, woken, tt.wakes)
		}
	}
}

// A restored store knows when the servers last wanted something of each node.
func TestNodeWorkIsRestored(t *testing.T) {
	s := manyOf(t, 10, 25)
	write(t, s, 500, func(w *state.Writer) error {
		return w.ChangeAllocation(id(13), func(a *nomadish.Allocation) { a.DesiredStatus = nomadish.AllocDesiredStop })
	})
	var b bytes.Buffer
	if err := s.Reader().WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := state.New()
	if err := again.Restore(&b); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		if got, want := again.Reader().NodeWork(nil, id(n)), s.Reader().NodeWork(nil, id(n)); got != want {
			t.Errorf("node %d: index %d, want %d", n, got, want)
		}
	}
	if got := s.Reader().NodeWork(nil, id(3)); got != 500 {
		t.Errorf("index %d, want 500", got)
	}
}

// BenchmarkNodeWatch changes what is wanted of one node while all others wait as well, until its
// watch has woken.
func BenchmarkNodeWatch(b *testing.B) {
	s := manyOf(b, manyNodes, manyAllocs)
	var others []memdb.WatchSet
	for n := 1; n < manyNodes; n++ {
		ws := memdb.NewWatchSet()
		s.Reader().NodeWork(ws, id(n))
		others = append(others, ws)
	}
	index := uint64(1_000_000)
	b.ReportAllocs()
	for b.Loop() {
		ws := memdb.NewWatchSet()
		s.Reader().NodeWork(ws, id(0))
		index++
		write(b, s, index, func(w *state.Writer) error {
			return w.ChangeAllocation(id(0), func(a *nomadish.Allocation) { a.DesiredDescription = fmt.Sprint(index) })
		})
		if err := ws.WatchCtx(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	for n, ws := range others {
		for ch := range ws {
			select {
			case <-ch:
				b.Fatalf("the watch of node %d woke as well", n+1)
			default:
			}
		}
	}
}

// BenchmarkRestore reads the snapshot of a large cluster.
func BenchmarkRestore(b *testing.B) {
	s := manyOf(b, manyNodes, manyAllocs)
	var snap bytes.Buffer
	if err := s.Reader().WriteSnapshot(&snap); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(snap.Len()), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		if err := state.New().Restore(bytes.NewReader(snap.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReports stores what all nodes of a large cluster say of their allocations.
func BenchmarkReports(b *testing.B) {
	s := manyOf(b, manyNodes, manyAllocs)
	index, round := uint64(1_000_000), 0
	b.ReportAllocs()
	for b.Loop() {
		status := []string{nomadish.AllocClientRunning, nomadish.AllocClientPending}[round%2]
		round++
		for from := 0; from < manyAllocs; from += 1000 {
			index++
			write(b, s, index, func(w *state.Writer) error {
				for i := from; i < min(from+1000, manyAllocs); i++ {
					if err := w.UpdateAllocation(id(i%manyNodes), &nomadish.Allocation{ID: id(i), ClientStatus: status}); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/manyAllocs, "ns/alloc")
}
