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

	"github.com/nomadish/nomadish/drivers/runtime/process"
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
	for _, driver := range []string{"raw_exec", "exec"} {
		if err := b.with(ctx, "flood-"+driver, machine.Config{}, func(ctx context.Context, n *machine.Node) error {
			if err := errors.Join(n.Start(), n.Ready(ctx)); err != nil {
				return err
			}
			var all []flooder
			for i := range floods {
				f, err := newFlooder(ctx, n, driver, fmt.Sprintf("flood-%d", i))
				if err != nil {
					return err
				}
				all = append(all, f)
			}
			return b.watchFlood(ctx, n, driver, all)
		}); err != nil {
			return err
		}
	}
	return nil
}

// flooder is a task that writes as fast as it can.
type flooder struct {
	alloc  string
	pid    int
	helper int // that writes its log
}

func newFlooder(ctx context.Context, n *machine.Node, driver, id string) (f flooder, err error) {
	job := machine.Job(id, nomadish.JobTypeService, driver, machine.Command("/usr/bin/yes"))
	job.TaskGroups[0].EphemeralDisk.SizeMB = nomadish.Ptr(100)
	job.TaskGroups[0].Tasks[0].LogConfig = &nomadish.LogConfig{MaxFiles: nomadish.Ptr(floodFiles), MaxFileSizeMB: nomadish.Ptr(floodMB)}
	if _, err := n.Register(ctx, job); err != nil {
		return f, err
	}
	if err := runs(ctx, n, id); err != nil {
		return f, err
	}
	a, err := n.Allocation(ctx, id, nomadish.AllocClientRunning)
	if err != nil {
		return f, err
	}
	f.alloc = a.ID
	pids, err := n.TaskPIDs(a.ID)
	if err != nil || len(pids) != 1 {
		return f, errors.Join(err, fmt.Errorf("allocation %s has the processes %v", a.ID, pids))
	}
	f.pid = pids[0]
	stat, err := process.ReadStat(f.pid)
	f.helper = stat.Parent
	return f, err
}

// written is how much a task has written so far.
func (f flooder) written() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", f.pid))
	if err != nil {
		return 0, err
	}
	var read, wrote int64
	_, err = fmt.Sscanf(string(data), "rchar: %d\nwchar: %d", &read, &wrote)
	return wrote, err
}

// disk is what a task's log takes of the disk.
func (f flooder) disk(n *machine.Node) (sum int64, err error) {
	kept, err := filepath.Glob(n.AllocFile(f.alloc, "alloc/logs/*"))
	for _, path := range kept {
		if info, err := os.Stat(path); err == nil { // else it has just been removed
			sum += blocks(info)
		}
	}
	return sum, err
}

// spent is what a flood has made and cost so far.
type spent struct {
	written        int64
	agent, helpers time.Duration
}

func spentBy(n *machine.Node, all []flooder) (s spent, err error) {
	for _, f := range all {
		written, err := f.written()
		if err != nil {
			return s, err
		}
		cpu, err := machine.CPUTime(f.helper)
		if err != nil {
			return s, err
		}
		s.written += written
		s.helpers += cpu
	}
	s.agent, err = machine.CPUTime(n.PID())
	return s, err
}

// watchFlood watches what the tasks write, and what becomes of it.
func (b *bench) watchFlood(ctx context.Context, n *machine.Node, driver string, all []flooder) error {
	before, err := spentBy(n, all)
	if err != nil {
		return err
	}
	begin, most := time.Now(), int64(0)
	for time.Since(begin) < floodFor {
		if err := wait(ctx, 20*time.Millisecond); err != nil {
			return err
		}
		for _, f := range all {
			disk, err := f.disk(n)
			if err != nil {
				return err
			}
			most = max(most, disk)
		}
	}
	took := time.Since(begin).Seconds()
	after, err := spentBy(n, all)
	if err != nil {
		return err
	}
	memory := int64(0)
	for _, f := range all {
		private, err := machine.PrivateMemory(f.helper)
		if err != nil {
			return err
		}
		memory = max(memory, private)
	}
	b.atLeast(fmt.Sprintf("log flood, %d tasks of %s: written in all", floods, driver), float64(after.written-before.written)/1e9/took, 0.5, "GB/s")
	b.add("  disk of a task's log, largest", float64(most)/(1<<20), (floodFiles+1)*floodMB+0.001, "MiB")
	b.add("  CPU of the agent, of a core", 100*(after.agent-before.agent).Seconds()/took, 20, "%")
	b.add("  CPU of the helpers that write the logs", 100*(after.helpers-before.helpers).Seconds()/took, 0, "%")
	b.add("  memory of a helper, private, largest", float64(memory)/(1<<20), 8, "MiB")
	return nil
}

// blocks is what a file takes of the disk.
func blocks(info os.FileInfo) int64 {
	const size = 512 // of a block, whatever the file system's are
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * size
	}
	return 0
}
