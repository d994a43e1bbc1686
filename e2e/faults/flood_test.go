//go:build linux

package faults

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// Tasks that write as fast as they can do so also while no agent is there, and their logs take no
// more of the disk than their jobs say. The next agent finds the newest of it.
func TestFloodWithoutAnAgent(t *testing.T) {
	w := newWorkload(t, seed(t))
	const (
		limit = 2 << 20 // of two files of 1 MiB
		flood = 200 << 20
	)
	pids := map[string]int{} // by allocation
	for _, driver := range []string{"raw_exec", "exec"} {
		job := machine.Job("flood-"+driver, nomadish.JobTypeService, driver, machine.Command("/usr/bin/yes"))
		job.TaskGroups[0].Tasks[0].LogConfig = &nomadish.LogConfig{MaxFiles: nomadish.Ptr(2), MaxFileSizeMB: nomadish.Ptr(1)}
		w.register(job)
		w.identity(*job.ID)
		a, err := w.node.Allocation(w.context(), *job.ID, nomadish.AllocClientRunning)
		w.must(err)
		all, err := w.node.TaskPIDs(a.ID)
		w.must(err)
		pids[a.ID] = all[0]
	}
	w.must(w.node.Kill())
	for alloc, pid := range pids {
		begin := w.written(pid)
		w.must(machine.Until(w.context(), "the task writes on", func(context.Context) error {
			if disk := w.disk(alloc); disk > limit {
				return machine.Final(fmt.Errorf("the log takes %d bytes, at most %d are allowed", disk, limit))
			}
			if more := w.written(pid) - begin; more < flood {
				return fmt.Errorf("%d bytes", more)
			}
			return nil
		}))
	}
	w.startAgent()
	for alloc, pid := range pids {
		now, err := w.node.TaskPIDs(alloc)
		w.must(err)
		if len(now) != 1 || now[0] != pid {
			t.Errorf("the allocation's processes are %v, want %d", now, pid)
		}
	}
	for _, driver := range []string{"raw_exec", "exec"} {
		w.must(w.node.Stopped(w.context(), "flood-"+driver, false))
	}
	for alloc := range pids {
		out, err := w.node.Output(w.context(), alloc, machine.Task)
		w.must(err)
		if len(out) < limit/2 || len(out) > limit || strings.Trim(out, "y\n") != "" {
			t.Errorf("%d bytes of output are kept", len(out))
		}
	}
}

// written is how much a process has written.
func (w *workload) written(pid int) (bytes int64) {
	w.t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	w.must(err)
	var read int64
	_, err = fmt.Sscanf(string(data), "rchar: %d\nwchar: %d", &read, &bytes)
	w.must(err)
	return bytes
}

// disk is how much an allocation's logs hold.
func (w *workload) disk(alloc string) (sum int64) {
	w.t.Helper()
	w.must(filepath.WalkDir(w.node.AllocFile(alloc, "alloc/logs"), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if info, err := e.Info(); err == nil { // else it has just been removed
			sum += info.Size()
		}
		return nil
	}))
	return sum
}
