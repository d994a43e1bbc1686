package task

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Release frees what the hooks made for the task: its mounts, its control group, its spools.
// Run does so when the task is dead; who removes the allocation calls it again.
func (r *Runner) Release(ctx context.Context) error {
	return r.cfg.Hooks.Release(ctx, r.newSetup(r.Record().Attempt))
}

// running returns the handle of the running task, or an error for users.
func (r *Runner) running() (*drivers.Handle, error) {
	record := r.Record()
	if record.Phase != localstate.PhaseRunning && record.Phase != localstate.PhaseStopping || record.Handle == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Task not running")
	}
	return record.Handle, nil
}

// Network returns the network of the task's newest start, nil if that is the host's.
func (r *Runner) Network() *drivers.Network {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.network
}

// Signal sends the running task a signal by its name.
func (r *Runner) Signal(ctx context.Context, signal, reason string) error {
	handle, err := r.running()
	if err != nil {
		return err
	}
	able, ok := r.cfg.Driver.(drivers.Signaler)
	if !ok {
		return nomadish.Errorf(nomadish.KindInvalid, "driver %q can't send signals", r.cfg.Task.Driver)
	}
	r.Emit(SignalingEvent(signal, reason))
	return able.Signal(ctx, handle, signal)
}

// Exec runs a command inside the running task and returns its exit code.
func (r *Runner) Exec(ctx context.Context, req *drivers.ExecRequest) (int, error) {
	handle, err := r.running()
	if err != nil {
		return 0, err
	}
	able, ok := r.cfg.Driver.(drivers.Execer)
	if !ok {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "driver %q can't run commands inside a task", r.cfg.Task.Driver)
	}
	return able.Exec(ctx, handle, req)
}

// Usage returns what the running task uses, or nil when its driver can't tell. CPU is the
// mean since the call before.
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
	before := r.usage
	r.usage = now
	r.mu.Unlock()
	if before == nil || before.CPUNanos > now.CPUNanos {
		before = now
	}
	return taskUsage(before, now, r.cfg.Node), nil
}

func taskUsage(before, now *drivers.Usage, node *nomadish.Node) *nomadish.TaskResourceUsage {
	percent := share(before.CPUNanos, now.CPUNanos, now.Time.Sub(before.Time))
	return &nomadish.TaskResourceUsage{
		Timestamp: now.Time.UnixNano(),
		ResourceUsage: &nomadish.ResourceUsage{
			MemoryStats: &nomadish.MemoryStats{
				RSS: now.RSS, Cache: now.Cache, Swap: now.Swap, Usage: now.MemoryUsage, MaxUsage: now.MemoryPeak,
				Measured: []string{"RSS", "Cache", "Swap", "Usage", "Max Usage"},
			},
			CpuStats: &nomadish.CpuStats{
				Percent:          percent,
				UserMode:         share(before.UserNanos, now.UserNanos, now.Time.Sub(before.Time)),
				SystemMode:       share(before.SystemNanos, now.SystemNanos, now.Time.Sub(before.Time)),
				TotalTicks:       percent / 100 * coreMHz(node),
				ThrottledPeriods: now.ThrottledPeriods,
				ThrottledTime:    now.ThrottledNanos,
				Measured:         []string{"Throttled Periods", "Throttled Time", "Percent", "System Mode", "User Mode"},
			},
		},
	}
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
