//go:build linux

package container_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
)

// A task with users of its own whose root is a directory leaves nothing when it is removed, and
// neither does one whose process can't be made.
func TestRemappedDirectory(t *testing.T) {
	d := newDriver(t)
	if _, err := d.Info(containertest.Context(t)); err != nil {
		t.Fatal(err)
	}
	before := world.Calm(t)
	d.change = func(p *container.Plan) { p.Remap = &container.Pool{} }
	spec := world.Spec(t, run("stat", "/task", "write", "/proc/self/fd/1", "anew\n", "cat", "/proc/self/uid_map"))
	h := containertest.Start(t, d, spec)
	if exit := containertest.Wait(t, d, h); !exit.Successful() {
		t.Errorf("it ends with %+v", exit)
	}
	if got := drivertest.Said(t, spec.Stdout); !strings.HasPrefix(got, "755 0:0\nanew\n") || strings.Contains(got, "4294967295") {
		t.Errorf("the task sees %q", got)
	}
	if err := d.Remove(containertest.Context(t), h); err != nil {
		t.Fatal(err)
	}
	if h, err := d.Start(containertest.Context(t), world.Spec(t, run())); err == nil {
		t.Errorf("a program that is not there runs: %+v", h)
	}
	world.Returned(t, before)
}

// What an agent, or a shim, had mounted for a moment when it was killed goes at the next start.
func TestReapMountsOfAStart(t *testing.T) {
	d := newDriver(t)
	if _, err := d.Info(containertest.Context(t)); err != nil {
		t.Fatal(err)
	}
	l := world.Layout()
	mounts := []string{filepath.Join(l.Files(), "nmd-killed", "sys"), filepath.Join(l.Mounts(), "ovl-idmapped123")}
	for _, at := range mounts {
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(root, at, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Reap(containertest.Context(t), nil); err != nil {
		t.Errorf("Reap: %v", err)
	}
	for _, at := range mounts {
		if _, err := os.Lstat(at); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", at, err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "task")); err != nil {
		t.Errorf("what was mounted there: %v", err)
	}
}

// A node that can't give tasks users of their own says why, is not healthy for drivers that
// are to, and refuses their tasks: none runs with the host's in silence.
func TestRemapNotPossible(t *testing.T) {
	e, err := engine.New(engine.Config{DataDir: world.Dir, Program: world.Program})
	if err != nil {
		t.Fatal(err)
	}
	r, err := container.New(container.Config{Snapshotter: "native", Seccomp: world.Seccomp}, e)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	const why = "the snapshotter native can't map owners of files"
	healthy := drivers.Fingerprint{Health: drivers.Healthy, Attributes: map[string]string{"driver.plain": "1"}}
	fp := r.Remaps(containertest.Context(t), "plain", &container.Pool{}, healthy)
	if fp.Health != drivers.Unhealthy || !strings.Contains(fp.Reason, why) || fp.Attributes["driver.plain.userns"] != "false" || !strings.Contains(fp.Attributes["driver.plain.userns.reason"], why) {
		t.Errorf("fingerprint where users are to be given: %+v", fp)
	}
	if fp := r.Remaps(containertest.Context(t), "plain", nil, healthy); fp.Health != drivers.Healthy || fp.Attributes["driver.plain.userns.supported"] != "false" {
		t.Errorf("fingerprint where they are not: %+v", fp)
	}
	d := plain{Runtime: r, change: func(p *container.Plan) { p.Remap = &container.Pool{} }}
	spec := world.Spec(t, run("sleep"))
	if h, err := d.Start(containertest.Context(t), spec); err == nil || !strings.Contains(err.Error(), "userns: this node is to give tasks users of their own, and can't: "+why) {
		t.Errorf("Start: %+v, %v", h, err)
	}
}

// Tasks that start at once, each of its own allocation, have no range in common.
func TestRemapAtOnce(t *testing.T) {
	const tasks = 8
	d := newDriver(t)
	d.change = func(p *container.Plan) { p.Remap = &container.Pool{Base: 1 << 20, Size: tasks << 16} }
	pids := make([]int, tasks)
	specs := make([]*drivers.TaskSpec, tasks)
	for i := range specs {
		specs[i] = world.Spec(t, run("sleep"))
	}
	var starts sync.WaitGroup
	began := time.Now()
	for i, spec := range specs {
		starts.Go(func() {
			h, err := d.Start(containertest.Context(t), spec)
			if err != nil {
				t.Errorf("Start: %v", err)
				return
			}
			pids[i] = h.PID
		})
	}
	starts.Wait()
	t.Logf("%d tasks in %s", tasks, time.Since(began))
	seen := map[string]bool{}
	for i, pid := range pids {
		users := containertest.Read(t, fmt.Sprintf("/proc/%d/uid_map", pid))
		if seen[users] || !strings.HasSuffix(users, " 65536\n") {
			t.Errorf("uid_map of task %d: %q", i, users)
		}
		seen[users] = true
		if err := d.Remove(containertest.Context(t), &drivers.Handle{ID: specs[i].ID}); err != nil {
			t.Error(err)
		}
	}
}
