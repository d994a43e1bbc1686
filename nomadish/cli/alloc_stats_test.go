package cli

import (
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// What a task uses stands beside what it was given; what is not known stays empty.
func TestStatsPage(t *testing.T) {
	a := &nomadish.Allocation{Name: "web.g[0]", ID: "5f2c", AllocatedResources: &nomadish.AllocatedResources{
		Tasks: map[string]*nomadish.AllocatedTaskResources{"server": {
			Cpu: nomadish.AllocatedCpuResources{CpuShares: 500}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: 64, MemoryMaxMB: 128},
		}},
	}}
	usage := &nomadish.AllocResourceUsage{Tasks: map[string]*nomadish.TaskResourceUsage{
		"server": {ResourceUsage: &nomadish.ResourceUsage{
			CpuStats:    &nomadish.CpuStats{Percent: 12.5, TotalTicks: 250, ThrottledPeriods: 3, ThrottledTime: 40_000_000},
			MemoryStats: &nomadish.MemoryStats{Usage: 33 << 20, RSS: 30 << 20, Cache: 3 << 20, MaxUsage: 40 << 20},
		}},
		"unknown": {},
	}}
	p := &page{}
	statsPage(p, a, usage)
	for _, want := range []string{"web.g[0]", "12.5%", "250 MHz / 500 MHz", "40ms in 3", "33 MiB / 128 MiB", "30 MiB", "40 MiB", "unknown"} {
		if !strings.Contains(p.String(), want) {
			t.Errorf("want %q in\n%s", want, p)
		}
	}
}
