package evals

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/server/fsm"
)

// BenchmarkPlaceJob takes a job from its registration until its evaluation has ended: the
// scheduler, the planner, the encoding of the log entries and the state, without a disk.
func BenchmarkPlaceJob(b *testing.B) {
	for _, size := range []struct{ nodes, count int }{{1000, 1000}, {1000, 10_000}, {5000, 10_000}} {
		b.Run(fmt.Sprintf("nodes=%d/count=%d", size.nodes, size.count), func(b *testing.B) {
			c := newCluster(b)
			for i := range size.nodes {
				n := testNode(i)
				n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = 1<<30, 1<<30
				c.do(b, &fsm.RegisterNode{Node: n})
			}
			ctx, cancel := context.WithCancel(b.Context())
			var leading sync.WaitGroup
			e := New(Config{}, c.store, c)
			leading.Go(func() {
				if err := e.Run(ctx); err != nil {
					b.Error(err)
				}
			})
			c.bytes = 0
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				eval := c.register(b, testJob(fmt.Sprint("job", n), size.count, 1))
				for !c.status(b, eval.ID).Terminal() {
					time.Sleep(time.Millisecond)
				}
			}
			total := float64(size.count) * float64(b.N)
			b.ReportMetric(total/b.Elapsed().Seconds(), "placed/s")
			b.ReportMetric(float64(c.bytes)/total, "log-B/alloc")
			cancel()
			leading.Wait()
		})
	}
}
