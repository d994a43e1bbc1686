//go:build linux

package containertest

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// Context bounds what a test waits for.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), drivertest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// Start starts a task and sees to its removal.
func Start(t testing.TB, d drivers.Driver, spec *drivers.TaskSpec) *drivers.Handle {
	t.Helper()
	h, err := d.Start(Context(t), spec)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() {
		if err := d.Remove(Context(t), h); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
	return h
}

// Wait waits for a task's end.
func Wait(t testing.TB, d drivers.Driver, h *drivers.Handle) drivers.Exit {
	t.Helper()
	exit, err := d.Wait(Context(t), h)
	if err != nil {
		t.Fatalf("Wait: %v", err)
	}
	return exit
}

// Output runs a task to its successful end and returns what it printed.
func Output(t testing.TB, d drivers.Driver, spec *drivers.TaskSpec) string {
	t.Helper()
	if exit := Wait(t, d, Start(t, d, spec)); !exit.Successful() {
		t.Fatalf("the task ended with %+v\n%s%s", exit, drivertest.Said(t, spec.Stdout), drivertest.Said(t, spec.Stderr))
	}
	return drivertest.Said(t, spec.Stdout)
}

// Ending is what Wait gave.
type Ending struct {
	Exit drivers.Exit
	Err  error
}

// Waiting waits for a task in the background.
func Waiting(t testing.TB, d drivers.Driver, h *drivers.Handle) <-chan Ending {
	ch := make(chan Ending, 1)
	ctx := Context(t)
	go func() {
		exit, err := d.Wait(ctx, h)
		ch <- Ending{exit, err}
	}()
	return ch
}

// Ready waits until the task has said that it is ready.
func Ready(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	Eventually(t, "the task is ready", func() bool { return strings.Contains(drivertest.Said(t, spec.Stdout), "ready") })
}

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// Read reads a file.
func Read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// CPU is the processor time that the runtime (containerd, shims, runc) and this process have
// used so far.
func (w *World) CPU(t testing.TB) time.Duration {
	t.Helper()
	groups, err := cgroup.Detect("/")
	if err != nil {
		t.Fatal(err)
	}
	used, err := groups.Group(w.Layout().Cgroup()).Usage(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.CPUNanos) + time.Duration(own.Utime.Nano()+own.Stime.Nano())
}

// Containerd is the pid of the containerd that runs.
func (w *World) Containerd() int { return process.Read(w.Layout().Process()).PID }

// KillContainerd ends containerd as the kernel would, and waits until it is gone.
func (w *World) KillContainerd(t testing.TB) {
	t.Helper()
	if err := process.Read(w.Layout().Process()).Kill(unix.SIGKILL, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

// Parent returns the pid of a process's parent: of a task's first process, its shim.
func Parent(t testing.TB, pid int) int {
	t.Helper()
	for line := range strings.Lines(Read(t, filepath.Join("/proc", strconv.Itoa(pid), "status"))) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("process %d has no parent", pid)
	return 0
}
