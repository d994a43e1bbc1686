//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// The log flood: so many tasks, for so long, with so much kept of each.
const (
	floods     = 4
	floodFor   = 5 * time.Second
	floodFiles = 3
	floodMB    = 10
)

// flood measures tasks that write as fast as they can.
func (b *bench) flood(ctx context.Context) error {
	return b.with(ctx, "flood", machine.Config{}, func(ctx context.Context, n *machine.Node) error {
		if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
			return err
		}
		var allocs []string
		for i := range floods {
			job := machine.Job(fmt.Sprintf("flood-%d", i), nomadish.JobTypeService, "raw_exec", machine.Command("/usr/bin/yes"))
			job.TaskGroups[0].EphemeralDisk.SizeMB = nomadish.Ptr(100)
			job.TaskGroups[0].Tasks[0].LogConfig = &nomadish.LogConfig{MaxFiles: nomadish.Ptr(floodFiles), MaxFileSizeMB: nomadish.Ptr(floodMB)}
			if _, err := n.Register(ctx, job); err != nil {
				return err
			}
			if err := runs(ctx, n, *job.ID); err != nil {
				return err
			}
			a, err := n.Allocation(ctx, *job.ID, nomadish.AllocClientRunning)
			if err != nil {
				return err
			}
			allocs = append(allocs, a.ID)
		}
		return b.watchFlood(ctx, n, allocs)
	})
}

// watchFlood watches what the tasks write, and what becomes of it.
func (b *bench) watchFlood(ctx context.Context, n *machine.Node, allocs []string) error {
	cpu, err := machine.CPUTime(n.PID())
	if err != nil {
		return err
	}
	written, _, err := logged(n, allocs)
	if err != nil {
		return err
	}
	begin, most := time.Now(), int64(0)
	for time.Since(begin) < floodFor {
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		_, disk, err := logged(n, allocs)
		if err != nil {
			return err
		}
		most = max(most, disk)
	}
	took := time.Since(begin)
	written2, _, err := logged(n, allocs)
	if err != nil {
		return err
	}
	cpu2, err := machine.CPUTime(n.PID())
	if err != nil {
		return err
	}
	rss, err := machine.RSS(n.PID())
	if err != nil {
		return err
	}
	b.atLeast(fmt.Sprintf("log flood, %d tasks: written in all", floods), float64(written2-written)/1e9/took.Seconds(), 0.5, "GB/s")
	b.add("  disk of a task's log, largest", float64(most)/(1<<20), (floodFiles+1)*floodMB+0.001, "MiB")
	b.add("  CPU of the agent, of a core", 100*(cpu2-cpu).Seconds()/took.Seconds(), 20, "%")
	b.add("  memory of the agent", float64(rss)/(1<<20), 0, "MiB")
	return nil
}

// logged returns how much the allocations' tasks have written, and what the logs of the one
// with most take of the disk, with the spool that its output goes to.
func logged(n *machine.Node, allocs []string) (written, most int64, err error) {
	for _, id := range allocs {
		pids, err := n.TaskPIDs(id)
		if err != nil || len(pids) != 1 {
			return 0, 0, errors.Join(err, fmt.Errorf("allocation %s has the processes %v", id, pids))
		}
		spool, err := os.Stat(fmt.Sprintf("/proc/%d/fd/1", pids[0]))
		if err != nil {
			return 0, 0, err
		}
		written += spool.Size()
		disk := blocks(spool)
		kept, err := filepath.Glob(n.AllocFile(id, "alloc/logs/*"))
		if err != nil {
			return 0, 0, err
		}
		for _, path := range kept {
			if info, err := os.Stat(path); err == nil { // else it has just been removed
				disk += blocks(info)
			}
		}
		most = max(most, disk)
	}
	return written, most, nil
}

// blocks is what a file takes of the disk.
func blocks(info os.FileInfo) int64 {
	const size = 512 // of a block, whatever the file system's are
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * size
	}
	return 0
}
