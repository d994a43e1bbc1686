//go:build linux

package container_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
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
	if got := containertest.Read(t, spec.Stdout); !strings.HasPrefix(got, "755 0:0\nanew\n") || strings.Contains(got, "4294967295") {
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
