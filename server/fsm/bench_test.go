package fsm_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

const planSize = 300 // placements in an entry

// planLogs returns log entries that place n allocations on 100 nodes.
func planLogs(b *testing.B, n int) (f *fsm.FSM, logs []*raft.Log, size int) {
	b.Helper()
	f = withNodeAndJob(b)
	for i := range 100 {
		mustApply(b, f, uint64(3+i), &fsm.RegisterNode{Node: &nomadish.Node{ID: id('n', i)}})
	}
	for len(logs)*planSize < n {
		list := placed(planSize)
		for i, a := range list {
			a.ID, a.NodeID = nomadish.NewID(), id('n', i%100)
			a.Name = fmt.Sprintf("web.group[%d]", len(logs)*planSize+i)
		}
		l := entry(b, uint64(1000+len(logs)), "", start, fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: nomadish.NewID(), Placed: list}))
		logs = append(logs, l)
		size += len(l.Data)
	}
	return f, logs, size
}

// BenchmarkApplyPlan applies plans; ns/alloc includes decoding, three indexes, hash, job
// counts and feed.
func BenchmarkApplyPlan(b *testing.B) {
	for _, batch := range []int{1, 16} {
		b.Run(fmt.Sprintf("entries=%d", batch), func(b *testing.B) {
			f, logs, size := planLogs(b, 30_000)
			b.ReportAllocs()
			next, rows := 0, 0
			for b.Loop() {
				if next+batch > len(logs) {
					b.StopTimer()
					f, logs, size = planLogs(b, 30_000)
					next = 0
					b.StartTimer()
				}
				f.ApplyBatch(logs[next : next+batch])
				next += batch
				rows += batch * planSize
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/alloc")
			b.ReportMetric(float64(size)/float64(len(logs)*planSize), "logbytes/alloc")
		})
	}
}

// BenchmarkUpdateAllocs applies reports of nodes: one entry per report of ten allocations.
func BenchmarkUpdateAllocs(b *testing.B) {
	f, logs, _ := planLogs(b, 3000)
	f.ApplyBatch(logs)
	var ids []string
	for a := range f.Store().Reader().AllocationsByNode(nil, id('n', 7)) {
		ids = append(ids, a.ID)
	}
	status := []string{"running", "pending"}
	var reports []*raft.Log
	for i := range 64 {
		var said []*nomadish.Allocation
		for _, a := range ids[:10] {
			said = append(said, &nomadish.Allocation{ID: a, ClientStatus: status[i%2], TaskStates: map[string]*nomadish.TaskState{"task": {State: "running"}}})
		}
		reports = append(reports, entry(b, uint64(5000+i), "", start, &fsm.UpdateAllocsFromNode{
			Reports: []*fsm.NodeReport{fsm.NewNodeReport(id('n', 7), said)},
		}))
	}
	b.ReportAllocs()
	b.ResetTimer()
	rows := 0
	for b.Loop() {
		f.ApplyBatch(reports)
		rows += len(reports) * 10
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/alloc")
}

// BenchmarkSnapshot writes and restores 10,000 allocations.
func BenchmarkSnapshot(b *testing.B) {
	f, logs, _ := planLogs(b, 10_000)
	f.ApplyBatch(logs)
	var text bytes.Buffer
	if err := f.Store().Reader().WriteSnapshot(&text); err != nil {
		b.Fatal(err)
	}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := f.Store().Reader().WriteSnapshot(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(text.Len())/10_200, "bytes/alloc")
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := state.New().Restore(bytes.NewReader(text.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkHeap reports the live heap per allocation.
func BenchmarkHeap(b *testing.B) {
	for b.Loop() {
		f, logs, _ := planLogs(b, 10_000)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for _, l := range logs {
			f.Apply(l)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/10_200, "heapbytes/alloc")
		runtime.KeepAlive(logs)
		runtime.KeepAlive(f)
	}
}

// BenchmarkRead reads single rows, and lists, of 10,000 allocations.
func BenchmarkRead(b *testing.B) {
	f, logs, _ := planLogs(b, 10_000)
	f.ApplyBatch(logs)
	r := f.Store().Reader()
	var one string
	for a := range r.Allocations(nil) {
		one = a.ID
	}
	b.Run("allocation", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := r.Allocation(nil, one); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("allocations of a node", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range r.AllocationsByNode(nil, id('n', 3)) {
			}
		}
	})
	b.Run("all allocations", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range r.Allocations(nil) {
			}
		}
	})
}

// BenchmarkSetVariable writes 1,600 variables of 200 bytes over and over; somebody follows the changes.
func BenchmarkSetVariable(b *testing.B) {
	for _, batch := range []int{1, 8} {
		b.Run(fmt.Sprintf("entries=%d", batch), func(b *testing.B) {
			f := fsm.New(state.New(), fsm.Config{})
			mustApply(b, f, 1, rootKey(1, nomadish.RootKeyActive))
			_, follower := f.Store().Follow()
			bases := make([]uint64, 1600)
			logs := make([]*raft.Log, batch)
			b.ReportAllocs()
			rows, index := 0, uint64(1)
			for b.Loop() {
				b.StopTimer()
				for i := range logs {
					index++
					n := int(index) % len(bases)
					logs[i] = entry(b, index, "", start, &fsm.SetVariable{
						Namespace: "default", Path: fmt.Sprintf("bench/%d/%d", n%16, n/16),
						Items: &nomadish.Sealed{KeyID: id('k', 1), Data: make([]byte, 200)}, Base: bases[n],
					})
					bases[n] = index
				}
				b.StartTimer()
				f.ApplyBatch(logs)
				for range logs {
					if _, err := follower.Next(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				rows += batch
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/write")
		})
	}
}

// BenchmarkReadMeta asks a new reader how new it is, as nearly every request does.
func BenchmarkReadMeta(b *testing.B) {
	s := state.New()
	b.ReportAllocs()
	for b.Loop() {
		if r := s.Reader(); r.Index() != 0 || r.Level() == 0 {
			b.Fatal("the state is not new")
		}
	}
}
