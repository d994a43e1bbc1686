//go:build linux

package rawexec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/rawexec"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// The test program is its own supervisor.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == rawexec.Subcommand {
		if err := rawexec.Supervise(context.Background(), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func sh(script string) map[string]any {
	return map[string]any{"command": "/bin/sh", "args": []any{"-c", script}}
}

func newDriver(t testing.TB, dir string) *rawexec.Driver {
	t.Helper()
	d, err := rawexec.New(rawexec.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func harness(dir string) drivertest.Harness {
	return drivertest.Harness{
		New:   func(t testing.TB) drivers.Driver { return newDriver(t, dir) },
		Exit:  func(code int) map[string]any { return sh("exit " + strconv.Itoa(code)) },
		Sleep: func() map[string]any { return sh("while :; do sleep 1000; done") },
		Print: func(text string) map[string]any {
			return map[string]any{"command": "printf", "args": []any{"%s", text}}
		},
		Broken: func() map[string]any { return map[string]any{"command": "/nonexistent"} },
	}
}

func TestContractWithoutCgroup(t *testing.T) { drivertest.Run(t, harness(t.TempDir())) }

func TestContractInCgroup(t *testing.T) {
	h := harness(t.TempDir())
	h.Prepare = withCgroup
	drivertest.Run(t, h)
}

// withCgroup gives the task a cgroup of its own; an ordinary user's task gets none.
func withCgroup(t testing.TB, spec *drivers.TaskSpec) {
	t.Helper()
	sys, err := cgroup.Detect("/")
	if err != nil {
		t.Fatal(err)
	}
	spec.Cgroup = "nomadish-test/" + spec.Key()
	err = sys.Group(spec.Cgroup).Create(cgroup.Limits{MemoryMax: spec.Resources.Limit()})
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sys.Group(spec.Cgroup).Remove(); err != nil {
			t.Error(err)
		}
	})
}

func start(t *testing.T, d *rawexec.Driver, spec *drivers.TaskSpec) *drivers.Handle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), drivertest.Patience)
	defer cancel()
	h, err := d.Start(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(context.Background(), h); err != nil {
			t.Error(err)
		}
	})
	return h
}

// parent returns a process's parent: a task's is its supervisor.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := process.ReadStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return stat.Parent
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(drivertest.Patience); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, drivertest.Patience)
		}
		time.Sleep(time.Millisecond)
	}
}

// When a supervisor is killed, its task is lost, and every process of the task is killed, so
// that a restart does not run it twice.
func TestKilledSupervisorLeavesNoTaskBehind(t *testing.T) {
	for _, cgroup := range []bool{false, true} {
		t.Run(fmt.Sprintf("cgroup=%t", cgroup), func(t *testing.T) {
			d := newDriver(t, t.TempDir())
			spec := drivertest.Spec(t, sh("sleep 1000 & echo $!; wait"))
			if cgroup {
				withCgroup(t, spec)
			}
			h := start(t, d, spec)
			child := 0
			eventually(t, "the task's child", func() bool {
				var err error
				child, err = strconv.Atoi(strings.TrimSpace(drivertest.Said(t, spec.Stdout)))
				return err == nil
			})
			if err := syscall.Kill(parent(t, h.PID), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if exit, err := d.Wait(t.Context(), h); !errors.Is(err, drivers.ErrTaskLost) {
				t.Errorf("Wait = %+v, %v; want %v", exit, err, drivers.ErrTaskLost)
			}
			if process.Running(h.PID) || process.Running(child) {
				t.Error("processes of the task are still there")
			}
		})
	}
}

// A task that asks for more memory than its limit is told apart from one that was killed.
func TestOutOfMemory(t *testing.T) {
	d := newDriver(t, t.TempDir())
	spec := drivertest.Spec(t, sh("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"))
	spec.Resources.MemoryBytes = 20 << 20
	withCgroup(t, spec)
	h := start(t, d, spec)
	exit, err := d.Wait(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	if root := os.Getuid() == 0; exit.OOMKilled != root || root && exit.OOMPeak == 0 {
		t.Errorf("exit = %+v; want OOMKilled with a peak: %t", exit, root)
	}
}

// Tasks of one allocation share one supervisor.
func TestOneSupervisorPerAllocation(t *testing.T) {
	d := newDriver(t, t.TempDir())
	first, second := drivertest.Spec(t, sh("sleep 1000")), drivertest.Spec(t, sh("sleep 1000"))
	second.ID = first.AllocID + "/other/0"
	a, b := start(t, d, first), start(t, d, second)
	if pa, pb := parent(t, a.PID), parent(t, b.PID); pa != pb {
		t.Errorf("the tasks' supervisors are %d and %d, want one", pa, pb)
	}
}

// The program is looked up in the task's directories before PATH.
func TestCommandLookup(t *testing.T) {
	d := newDriver(t, t.TempDir())
	spec := drivertest.Spec(t, map[string]any{"command": "mine"})
	if err := os.WriteFile(filepath.Join(spec.Dir.Local, "mine"), []byte("#!/bin/sh\nexit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	exit, err := d.Wait(t.Context(), start(t, d, spec))
	if err != nil || exit.Code != 9 {
		t.Errorf("exit = %+v, %v; want code 9", exit, err)
	}
}

// A supervisor is in a control group of its own kind, not in that of the agent that started it,
// and the group goes with the last of them.
func TestSupervisorLeavesTheAgentsGroup(t *testing.T) {
	d := newDriver(t, t.TempDir())
	h := start(t, d, drivertest.Spec(t, sh("exec sleep 1000")))
	groups, err := os.ReadFile("/proc/" + strconv.Itoa(parent(t, h.PID)) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(groups), ":/nomadish-runtime/supervisors\n") {
		t.Errorf("the supervisor is in\n%s", groups)
	}
}

func BenchmarkStart(b *testing.B) {
	d := newDriver(b, b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		spec := drivertest.Spec(b, sh("exit 0"))
		h, err := d.Start(b.Context(), spec)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := d.Remove(b.Context(), h); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// A task in a network namespace sees that one's links; a namespace that is not there is said.
func TestNetworkNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	holder := exec.CommandContext(t.Context(), "/bin/sleep", "1000")
	t.Cleanup(func() { _ = holder.Wait() }) // killed with the test's context
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, t.TempDir())
	inside := fmt.Sprintf("/proc/%d/ns/net", holder.Process.Pid)
	want, err := os.Readlink(inside)
	if err != nil {
		t.Fatal(err)
	}
	spec := drivertest.Spec(t, map[string]any{"command": "/bin/sleep", "args": []any{"1000"}})
	spec.Network = &drivers.Network{Namespace: inside}
	task := start(t, d, spec)
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", task.PID)); err != nil || got != want {
		t.Errorf("namespace %s, %v; want %s", got, err, want)
	}
	spec = drivertest.Spec(t, map[string]any{"command": "/bin/sleep", "args": []any{"1000"}})
	spec.Network = &drivers.Network{Namespace: "/nowhere"}
	if _, err := d.Start(t.Context(), spec); err == nil || !strings.Contains(err.Error(), "network namespace: open /nowhere") {
		t.Errorf("got %v", err)
	}
}

// When a task has ended, all that it had written is in its log, however much that was; what it
// has left running goes on writing there.
func TestOutputIsThereAtTheEnd(t *testing.T) {
	d := newDriver(t, t.TempDir())
	spec := drivertest.Spec(t, sh("(while [ ! -e go ]; do sleep 0.01; done; echo later) & seq 200000"))
	h := start(t, d, spec)
	if exit, err := d.Wait(t.Context(), h); err != nil || !exit.Successful() {
		t.Fatalf("Wait = %+v, %v", exit, err)
	}
	said := drivertest.Said(t, spec.Stdout)
	if n := strings.Count(said, "\n"); n != 200000 || !strings.HasSuffix(said, "\n200000\n") {
		t.Errorf("%d lines, the last %q", n, said[max(0, len(said)-20):])
	}
	if err := os.WriteFile(filepath.Join(spec.Dir.Task, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was left running has written", func() bool {
		return strings.HasSuffix(drivertest.Said(t, spec.Stdout), "\n200000\nlater\n")
	})
}

// A task that writes does not run on unseen when its supervisor is killed, also while no agent is
// there to end it: its pipe is broken.
func TestKilledSupervisorEndsWhoWrites(t *testing.T) {
	d := newDriver(t, t.TempDir())
	h := start(t, d, drivertest.Spec(t, sh("exec yes")))
	if err := syscall.Kill(parent(t, h.PID), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task has ended", func() bool { return !process.Running(h.PID) })
}
