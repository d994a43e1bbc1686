//go:build linux

package docker_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// killContainerd ends containerd as the kernel would, and waits until it is gone.
func killContainerd(t *testing.T) {
	t.Helper()
	if err := process.Read(layout.For(shared.dir).Process()).Kill(unix.SIGKILL, 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

// parent returns the pid of a process's parent: of a task's first process, its shim.
func parent(t *testing.T, pid int) int {
	t.Helper()
	for line := range strings.Lines(read(t, filepath.Join("/proc", strconv.Itoa(pid), "status"))) {
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

type ending struct {
	exit drivers.Exit
	err  error
}

// waiting waits for a task in the background.
func waiting(t *testing.T, d *docker.Driver, h *drivers.Handle) <-chan ending {
	ch := make(chan ending, 1)
	ctx := testContext(t)
	go func() {
		exit, err := d.Wait(ctx, h)
		ch <- ending{exit, err}
	}()
	return ch
}

// When containerd is killed, tasks run on as the same processes, those who wait for them
// notice nothing, and new ones start.
func TestContainerdKilled(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("trap", "12", "21"))
	h := start(t, d, spec)
	ready(t, spec)
	end := waiting(t, d, h)
	for range 3 {
		killContainerd(t)
		if err := d.Recover(testContext(t), h); err != nil {
			t.Fatalf("Recover: %v", err)
		}
		if !drivertest.Alive(h.PID) {
			t.Fatal("the task's process is gone")
		}
	}
	again, err := d.Start(testContext(t), spec)
	if err != nil || again.PID != h.PID {
		t.Errorf("starting it again gives %+v, %v; want process %d", again, err, h.PID)
	}
	if got := output(t, d, taskSpec(t, run("print", "new"))); got != "new" {
		t.Errorf("a new task prints %q", got)
	}
	if err := d.Signal(testContext(t), h, "SIGUSR2"); err != nil {
		t.Fatal(err)
	}
	if e := <-end; e.err != nil || e.exit.Code != 21 {
		t.Errorf("Wait gave %+v, %v; want code 21", e.exit, e.err)
	}
}

// A task that ends while neither agent nor containerd lives is reported with its exit code.
func TestExitSeenByNobody(t *testing.T) {
	spec := taskSpec(t, run("print", "ready", "after", "300ms", "print", " done", "exit", "9"))
	h := start(t, newDriver(t), spec)
	ready(t, spec)
	killContainerd(t)
	eventually(t, "the task has ended", func() bool { return !drivertest.Alive(h.PID) })
	d := newDriver(t) // the next agent
	if err := d.Recover(testContext(t), h); err != nil {
		t.Fatalf("Recover: %v", err)
	}
	if exit := wait(t, d, h); exit.Code != 9 || time.Since(exit.Time) > time.Minute {
		t.Errorf("exit %+v, want code 9", exit)
	}
	if got := read(t, spec.Stdout); got != "ready done" {
		t.Errorf("output %q", got)
	}
}

// A task whose shim is killed is lost, and nothing of it runs on; its neighbour in another
// allocation does.
func TestShimKilled(t *testing.T) {
	d := newDriver(t)
	other := start(t, d, taskSpec(t, run("sleep")))
	spec := taskSpec(t, run("children", "2", "print", "ready", "sleep"))
	h := start(t, d, spec)
	ready(t, spec)
	end := waiting(t, d, h)
	if err := unix.Kill(parent(t, h.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := <-end; !errors.Is(e.err, drivers.ErrTaskLost) {
		t.Errorf("Wait gave %+v, %v; want %v", e.exit, e.err, drivers.ErrTaskLost)
	}
	if drivertest.Alive(h.PID) {
		t.Error("the task's process is still there")
	}
	if !drivertest.Alive(other.PID) {
		t.Error("a task of another allocation is gone")
	}
	if err := d.Recover(testContext(t), h); !errors.Is(err, drivers.ErrTaskLost) {
		t.Errorf("Recover: %v, want %v", err, drivers.ErrTaskLost)
	}
}

// A shim killed while containerd is dead leaves nothing running either.
func TestShimAndContainerdKilled(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("children", "2", "print", "ready", "sleep"))
	h := start(t, d, spec)
	ready(t, spec)
	shim := parent(t, h.PID)
	killContainerd(t)
	if err := unix.Kill(shim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := newDriver(t).Recover(testContext(t), h); !errors.Is(err, drivers.ErrTaskLost) {
		t.Errorf("Recover: %v, want %v", err, drivers.ErrTaskLost)
	}
	for pid, exe := range processes() {
		if exe == "/task" {
			t.Errorf("process %s of the task is still there", pid)
		}
	}
}

// Tasks of one allocation share a shim.
func TestOneShimPerAllocation(t *testing.T) {
	d := newDriver(t)
	first, second := taskSpec(t, run("sleep")), taskSpec(t, run("sleep"))
	second.AllocID, second.ID = first.AllocID, first.AllocID+"/other/0"
	a, b := start(t, d, first), start(t, d, second)
	if x, y := parent(t, a.PID), parent(t, b.PID); x != y {
		t.Errorf("shims %d and %d, want one", x, y)
	}
	if err := d.Remove(testContext(t), a); err != nil {
		t.Fatal(err)
	}
	if !drivertest.Alive(b.PID) {
		t.Error("removing one task ended the other")
	}
}

// What a task needed of the machine is given back: mounts, control groups, processes,
// files.
func TestNothingIsLeft(t *testing.T) {
	d := newDriver(t)
	h := start(t, d, taskSpec(t, run("exit", "0"))) // the image is here from now on
	wait(t, d, h)
	if err := d.Remove(testContext(t), h); err != nil {
		t.Fatal(err)
	}
	before, calm := census(t), 0
	eventually(t, "earlier tests' garbage is collected", func() bool {
		if now := census(t); now != before {
			before, calm = now, 0
		}
		calm++
		return calm > 100
	})
	for i := range 6 {
		spec := taskSpec(t, run("children", "2", "deaf"))
		if i%3 == 1 {
			spec.Config = run("exit", "1")
		}
		if i%3 == 2 {
			spec.Config = with(run("x"), "entrypoint", []any{"/missing"})
			if _, err := d.Start(testContext(t), spec); err == nil {
				t.Fatal("a program that is missing starts")
			}
			continue
		}
		h, err := d.Start(testContext(t), spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(testContext(t), h); err != nil {
			t.Fatal(err)
		}
	}
	var after count
	defer func() { t.Logf("before %+v, after %+v", before, after) }()
	eventually(t, "everything is given back", func() bool {
		after = census(t)
		return after == before
	})
}

// count is how much of the runtime is on the machine.
type count struct {
	mounts, processes, files, snapshots int
	names                               string
}

func census(t *testing.T) count {
	t.Helper()
	var c count
	l := layout.For(shared.dir)
	c.mounts = strings.Count(read(t, "/proc/self/mountinfo"), l.Run)
	for _, exe := range processes() {
		if exe == shared.program || exe == "/task" {
			c.processes++
		}
	}
	for _, pattern := range []string{
		l.Exits() + "/*", l.Files() + "/*", l.RuncRoot() + "/*/*", l.ShimSockets() + "/*", l.Streams() + "/*",
		l.State() + "/io.containerd.runtime.v2.task/*/*", l.Root() + "/io.containerd.runtime.v2.task/*/*",
	} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		c.files += len(found)
		c.names += strings.Join(found, "\n")
	}
	found, err := filepath.Glob(l.Root() + "/io.containerd.snapshotter.v1.*/snapshots/*")
	if err != nil {
		t.Fatal(err)
	}
	c.snapshots = len(found)
	if err := groups(); err != nil {
		c.files += 1000
	}
	return c
}

// A start that its agent's death cut short is done again from scratch.
func TestStartAgainAfterInterruption(t *testing.T) {
	spec := taskSpec(t, run("print", "once"))
	ctx, cancel := context.WithCancel(context.Background())
	d := newDriver(t)
	for i := range 8 { // each try is cut at another point
		cut, stop := context.WithTimeout(ctx, time.Duration(i*10)*time.Millisecond)
		if h, err := d.Start(cut, spec); err == nil {
			wait(t, d, h)
		}
		stop()
	}
	cancel()
	h := start(t, newDriver(t), spec)
	if exit := wait(t, d, h); !exit.Successful() {
		t.Errorf("exit %+v", exit)
	}
	if got := read(t, spec.Stdout); got != "once" {
		t.Errorf("output %q: the task ran not exactly once", got)
	}
}

// An ephemeral engine leaves nothing, also when tasks still run at its end.
func TestContainerdRefusesASecond(t *testing.T) {
	d := newDriver(t)
	if fp, err := d.Fingerprint(testContext(t)); err != nil || fp.Health != drivers.Healthy {
		t.Fatalf("Fingerprint: %+v, %v", fp, err)
	}
	l := layout.For(shared.dir)
	out, err := exec.CommandContext(testContext(t), shared.program, "containerd", l.Data, l.Run).CombinedOutput()
	if err == nil || !strings.Contains(string(out)+read(t, l.Log()), "another containerd runs") {
		t.Errorf("a second containerd on the same directory: %v, %s", err, out)
	}
	if !process.Read(l.Process()).Alive() {
		t.Error("the first one is gone")
	}
}

// The fingerprint says what users and constraints ask for.
func TestFingerprint(t *testing.T) {
	fp, err := newDriver(t).Fingerprint(testContext(t))
	if err != nil || fp.Health != drivers.Healthy {
		t.Fatalf("%+v, %v", fp, err)
	}
	for name, want := range map[string]string{
		"driver.docker":             "1",
		"driver.docker.runtimes":    "runc",
		"driver.docker.snapshotter": "overlayfs",
		"driver.docker.seccomp":     strconv.FormatBool(shared.seccomp),
	} {
		if fp.Attributes[name] != want {
			t.Errorf("attribute %s is %q, want %q", name, fp.Attributes[name], want)
		}
	}
	if fp.Attributes["driver.docker.version"] == "" || os.Geteuid() != 0 {
		t.Errorf("attributes %v lack the version", fp.Attributes)
	}
}
