//go:build linux

package container_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// copyProgram copies the runtime's program, with something more at its end.
func copyProgram(t *testing.T, more string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nomadish")
	if err := os.WriteFile(path, []byte(containertest.Read(t, world.Program)+more), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// An agent of another build replaces the containerd that it finds; one of the same build keeps
// it. Tasks notice neither.
func TestContainerdOfAnotherBuild(t *testing.T) {
	d := newDriver(t)
	spec := world.Spec(t, run("trap", "12", "21"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	first := world.Containerd()

	same := plain{Runtime: world.RuntimeOf(t, copyProgram(t, ""))}
	if err := same.Recover(containertest.Context(t), h); err != nil || world.Containerd() != first {
		t.Errorf("the same build: %v, containerd %d, want still %d", err, world.Containerd(), first)
	}

	program := copyProgram(t, "another")
	other := plain{Runtime: world.RuntimeOf(t, program)}
	if err := other.Recover(containertest.Context(t), h); err != nil {
		t.Fatal(err)
	}
	if exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(world.Containerd()), "exe")); err != nil || exe != program {
		t.Errorf("containerd is %s, %v; want %s", exe, err, program)
	}
	end := containertest.Waiting(t, other, h)
	if !process.Running(h.PID) {
		t.Fatal("the task's process is gone")
	}
	if got := containertest.Output(t, other, world.Spec(t, run("print", "new"))); got != "new" {
		t.Errorf("a new task prints %q", got)
	}
	if err := other.Signal(containertest.Context(t), h, "SIGUSR2"); err != nil {
		t.Fatal(err)
	}
	if e := <-end; e.Err != nil || e.Exit.Code != 21 {
		t.Errorf("Wait gave %+v, %v; want code 21", e.Exit, e.Err)
	}
	if err := newDriver(t).Recover(containertest.Context(t), h); err != nil { // back again, for the other tests
		t.Error(err)
	}
}

// Making a container leaves no complaint in containerd's log.
func TestQuietLog(t *testing.T) {
	d := newDriver(t)
	before := len(containertest.Read(t, world.Layout().Log()))
	containertest.Output(t, d, world.Spec(t, run("exit", "0")))
	if said := containertest.Read(t, world.Layout().Log())[before:]; strings.Contains(said, "runc") {
		t.Errorf("containerd says %s", said)
	}
}
