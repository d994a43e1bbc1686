//go:build linux

package container_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
)

// private is the memory in bytes that a process shares with no other.
func private(t testing.TB, pid int) int64 {
	t.Helper()
	var sum int64
	for line := range strings.Lines(containertest.Read(t, filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))) {
		if f := strings.Fields(line); strings.HasPrefix(line, "Private_") && len(f) > 1 {
			n, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n << 10
		}
	}
	return sum
}

// A shim has at most 8 MiB of its own for an allocation, and 1 MiB more for each further task.
func TestShimMemory(t *testing.T) {
	const further = 8
	d := newDriver(t)
	specs := allocation(t, 1+further, run("sleep"))
	other := containertest.Start(t, d, world.Spec(t, run("sleep"))) // shares the program's pages
	first := containertest.Start(t, d, specs[0])
	shim := containertest.Parent(t, first.PID)
	one := private(t, shim)
	for _, spec := range specs[1:] {
		if h := containertest.Start(t, d, spec); containertest.Parent(t, h.PID) != shim {
			t.Fatal("a task has a shim of its own")
		}
	}
	each := (private(t, shim) - one) / further
	t.Logf("one task %d KiB (another allocation's %d KiB), each further %d KiB", one>>10, private(t, containertest.Parent(t, other.PID))>>10, each>>10)
	if one > 8<<20 || each > 1<<20 {
		t.Errorf("a shim has %d bytes for one task and %d more for each further, want at most 8 MiB and 1 MiB", one, each)
	}
}

// BenchmarkStart says how long the start of a container takes, of one and of many at once, and
// what processor time its whole life costs.
func BenchmarkStart(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("at-once=%d", n), func(b *testing.B) {
			d := newDriver(b)
			containertest.Start(b, d, world.Spec(b, run("sleep")))
			before := world.CPU(b)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				specs := make([]*drivers.TaskSpec, n)
				for i := range specs {
					specs[i] = world.Spec(b, run("sleep"))
				}
				b.StartTimer()
				begin := time.Now()
				handles := startAll(b, d, specs)
				took = append(took, time.Since(begin))
				b.StopTimer()
				for _, h := range handles {
					if err := d.Remove(containertest.Context(b), h); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
			b.ReportMetric((world.CPU(b)-before).Seconds()/float64(b.N*n), "cpu-s/task")
		})
	}
}

// startAll starts tasks at once.
func startAll(b *testing.B, d plain, specs []*drivers.TaskSpec) []*drivers.Handle {
	b.Helper()
	handles, errs := make([]*drivers.Handle, len(specs)), make([]error, len(specs))
	var wg sync.WaitGroup
	for i, spec := range specs {
		wg.Go(func() { handles[i], errs[i] = d.Start(containertest.Context(b), spec) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			b.Fatal(err)
		}
	}
	return handles
}
