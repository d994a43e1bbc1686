package task

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// usageSpan is the shortest span over which CPU use is told: askers that come close behind
// one another are told the same, and don't make one another's spans too short to mean much.
const usageSpan = time.Second

// usageWindow is two looks at a task's counters, between which its CPU use is the mean.
type usageWindow struct {
	id          string // of the task's start: another one counts from 0
	first, last *drivers.Usage
}

// Usage returns what the running task uses, or nil when its driver can't tell. CPU is the
// mean since an earlier call, at least a second ago, or since the task's start.
func (r *Runner) Usage(ctx context.Context) (*nomadish.TaskResourceUsage, error) {
	handle, err := r.running()
	if err != nil {
		return nil, err
	}
	able, ok := r.cfg.Driver.(drivers.StatsReader)
	if !ok {
		return nil, nil
	}
	now, err := able.Stats(ctx, handle)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	before := r.usage.next(handle.ID, now, r.record.State.StartedAt)
	r.mu.Unlock()
	return taskUsage(before, now, r.cfg.Node), nil
}

// next takes in a look and returns the one to compare it with. CPU time counts from the
// task's start.
func (w *usageWindow) next(id string, now *drivers.Usage, started time.Time) *drivers.Usage {
	if w.id != id || w.last == nil || now.CPUNanos < w.last.CPUNanos {
		*w = usageWindow{id: id, first: &drivers.Usage{Time: started}, last: &drivers.Usage{Time: started}}
	}
	if now.Time.Sub(w.last.Time) >= usageSpan {
		w.first, w.last = w.last, now
	}
	return w.first
}

func taskUsage(before, now *drivers.Usage, node *nomadish.Node) *nomadish.TaskResourceUsage {
	span := now.Time.Sub(before.Time)
	percent := share(before.CPUNanos, now.CPUNanos, span)
	return &nomadish.TaskResourceUsage{
		Timestamp: now.Time.UnixNano(),
		ResourceUsage: &nomadish.ResourceUsage{
			MemoryStats: &nomadish.MemoryStats{
				RSS: now.RSS, Cache: now.Cache, Swap: now.Swap, Usage: now.MemoryUsage, MaxUsage: now.MemoryPeak,
				KernelUsage: now.MemoryKernel, KernelMaxUsage: now.MemoryKernelPeak,
				Measured: measuredMemory(now),
			},
			CpuStats: &nomadish.CpuStats{
				Percent:          percent,
				UserMode:         share(before.UserNanos, now.UserNanos, span),
				SystemMode:       share(before.SystemNanos, now.SystemNanos, span),
				TotalTicks:       percent / 100 * coreMHz(node),
				ThrottledPeriods: now.ThrottledPeriods,
				ThrottledTime:    now.ThrottledNanos,
				Measured:         []string{"Throttled Periods", "Throttled Time", "Percent", "System Mode", "User Mode"},
			},
			DeviceStats: []*nomadish.DeviceGroupStats{},
		},
	}
}

// measuredMemory names the fields that are known, as clients look them up. Not every kernel
// counts its own memory, or keeps that one's peak.
func measuredMemory(u *drivers.Usage) []string {
	names := []string{"RSS", "Cache", "Swap", "Usage", "Max Usage"}
	if u.MemoryKernel > 0 {
		names = append(names, "Kernel Usage")
	}
	if u.MemoryKernelPeak > 0 {
		names = append(names, "Kernel Max Usage")
	}
	return names
}

// share is CPU time used in a span as percent of one core.
func share(before, now uint64, span time.Duration) float64 {
	if span <= 0 || now < before {
		return 0
	}
	return 100 * float64(now-before) / float64(span)
}

func coreMHz(node *nomadish.Node) float64 {
	if node == nil || node.NodeResources == nil || node.NodeResources.Cpu.TotalCpuCores == 0 {
		return 0
	}
	return float64(node.NodeResources.Cpu.CpuShares) / float64(node.NodeResources.Cpu.TotalCpuCores)
}
