package scheduler

import (
	"fmt"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

func BenchmarkSchedule(b *testing.B) {
	for _, nodes := range []int{100, 1000, 5000} {
		for _, count := range []int{10, 1000, 10_000} {
			b.Run(fmt.Sprintf("nodes=%d/count=%d", nodes, count), func(b *testing.B) {
				benchSchedule(b, nodes, count, func(*nomadish.TaskGroup) {})
			})
		}
	}
	b.Run("spread/nodes=1000/count=1000", func(b *testing.B) {
		benchSchedule(b, 1000, 1000, func(tg *nomadish.TaskGroup) {
			tg.Spreads = []*nomadish.Spread{{Attribute: "${attr.rack}", Weight: nomadish.Ptr[int8](100)}}
		})
	})
	b.Run("affinity/nodes=1000/count=1000", func(b *testing.B) {
		benchSchedule(b, 1000, 1000, func(tg *nomadish.TaskGroup) {
			tg.Affinities = []*nomadish.Affinity{{LTarget: "${attr.rack}", Operand: "=", RTarget: "r1", Weight: nomadish.Ptr[int8](50)}}
		})
	})
	b.Run("ports/nodes=5000/count=10000", func(b *testing.B) {
		benchSchedule(b, 5000, 10_000, func(tg *nomadish.TaskGroup) {
			tg.Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http"}, {Label: "admin", To: 80}}}}
		})
	})
}

func benchSchedule(b *testing.B, nodes, count int, change func(*nomadish.TaskGroup)) {
	rows := testNodes(nodes)
	for _, n := range rows {
		n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB = 80_000, 256<<10
	}
	w := &world{job: testJob("service", count)}
	change(w.job.TaskGroups[0])
	snap := w.snapshot(rows)
	eval := testEval(w.job)
	b.ReportAllocs()
	for b.Loop() {
		out, err := Schedule(snap, eval)
		if err != nil || len(out.Eval.FailedTGAllocs) > 0 {
			b.Fatal("not all were placed", err)
		}
	}
	b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "placed/s")
}
