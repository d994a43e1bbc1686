//go:build linux

package cgroup_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
)

// A process that a thread of the group forks is born in the group, counts there, and ends
// with it; nothing of the group is left after Remove. An ordinary user is told that there
// are no groups for him.
func TestProcessLivesAndDiesWithItsGroup(t *testing.T) {
	sys, err := cgroup.Detect("/")
	if err != nil {
		t.Fatal(err)
	}
	g := sys.Group(fmt.Sprintf("nomadish-test-%d/a/b", os.Getpid()))
	parent := sys.Group(fmt.Sprintf("nomadish-test-%d", os.Getpid()))
	t.Cleanup(func() {
		if err := parent.Remove(); err != nil {
			t.Error(err)
		}
	})
	err = g.Create(cgroup.Limits{CPUShares: 100, MemoryMax: 64 << 20, PIDs: 50})
	if os.Getuid() != 0 {
		if !errors.Is(err, cgroup.ErrUnavailable) {
			t.Fatalf("Create as an ordinary user: %v, want %v", err, cgroup.ErrUnavailable)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait")
	if g.Version() == 1 {
		err = g.Fork(cmd.Start)
	} else {
		var dir *os.File
		if dir, err = g.OpenDir(); err == nil {
			defer dir.Close()
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
			err = cmd.Start()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	pids, err := g.Procs()
	if err != nil || !slices.Contains(pids, cmd.Process.Pid) {
		t.Fatalf("Procs() = %v, %v; want %d among them", pids, err, cmd.Process.Pid)
	}
	if u, err := g.Usage(time.Now()); err != nil || u.PIDs < 1 || u.MemoryPeak == 0 {
		t.Errorf("Usage() = %+v, %v; want processes and memory", u, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := parent.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the process ended well, want it killed")
	}
	if err := parent.RemoveEmpty(); err != nil || !g.Exists() {
		t.Fatalf("RemoveEmpty: %v, and the group below is there: %t; want it kept", err, g.Exists())
	}
	if err := parent.Remove(); err != nil {
		t.Fatal(err)
	}
	if parent.Exists() {
		t.Error("the group exists after Remove")
	}
}

// The files of version 2 read into the same figures, in bytes and nanoseconds.
func TestUsageOfVersion2(t *testing.T) {
	root := t.TempDir()
	tree := filepath.Join(root, "cg")
	files := map[string]string{
		"proc/self/mountinfo":      "30 20 0:26 / /cg rw,nosuid - cgroup2 cgroup2 rw\n",
		"cg/t/cgroup.procs":        "",
		"cg/t/cpu.stat":            "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_throttled 2\nthrottled_usec 7\n",
		"cg/t/memory.stat":         "anon 4096\nfile 8192\n",
		"cg/t/memory.current":      "12288\n",
		"cg/t/memory.peak":         "20000\n",
		"cg/t/memory.events":       "low 0\noom 1\noom_kill 3\n",
		"cg/t/memory.swap.current": "0\n",
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sys, err := cgroup.Detect(root)
	if err != nil || sys.Version != 2 {
		t.Fatalf("Detect = %+v, %v; want version 2 at %s", sys, err, tree)
	}
	now := time.Unix(1, 0)
	got, err := sys.Group("t").Usage(now)
	want := drivers.Usage{
		Time: now, CPUNanos: 1_500_000, UserNanos: 1_000_000, SystemNanos: 500_000,
		ThrottledPeriods: 2, ThrottledNanos: 7000, RSS: 4096, Cache: 8192, MemoryUsage: 12288, MemoryPeak: 20000,
	}
	if err != nil || *got != want {
		t.Errorf("Usage() = %+v, %v; want %+v", got, err, want)
	}
	if n, err := sys.Group("t").OOMKills(); n != 3 || err != nil {
		t.Errorf("OOMKills() = %d, %v; want 3", n, err)
	}
}

func TestWeightKeepsTheEndsAndTheOrder(t *testing.T) {
	for _, tt := range []struct{ shares, weight uint64 }{{0, 1}, {2, 1}, {1024, 39}, {262144, 10000}, {1 << 40, 10000}} {
		if got := cgroup.Weight(tt.shares); got != tt.weight {
			t.Errorf("Weight(%d) = %d, want %d", tt.shares, got, tt.weight)
		}
	}
}
