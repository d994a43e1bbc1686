//go:build linux

package container_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// When containerd is killed, tasks run on as the same processes, those who wait for them
// notice nothing, and new ones start.
func TestContainerdKilled(t *testing.T) {
	d := newDriver(t)
	spec := world.Spec(t, run("trap", "12", "21"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	end := containertest.Waiting(t, d, h)
	for range 3 {
		world.KillContainerd(t)
		if err := d.Recover(containertest.Context(t), h); err != nil {
			t.Fatalf("Recover: %v", err)
		}
		if !process.Running(h.PID) {
			t.Fatal("the task's process is gone")
		}
	}
	again, err := d.Start(containertest.Context(t), spec)
	if err != nil || again.PID != h.PID {
		t.Errorf("starting it again gives %+v, %v; want process %d", again, err, h.PID)
	}
	if got := containertest.Output(t, d, world.Spec(t, run("print", "new"))); got != "new" {
		t.Errorf("a new task prints %q", got)
	}
	if err := d.Signal(containertest.Context(t), h, "SIGUSR2"); err != nil {
		t.Fatal(err)
	}
	if e := <-end; e.Err != nil || e.Exit.Code != 21 {
		t.Errorf("Wait gave %+v, %v; want code 21", e.Exit, e.Err)
	}
}

// A task that ends while neither agent nor containerd lives is reported with its exit code.
func TestExitSeenByNobody(t *testing.T) {
	spec := world.Spec(t, run("print", "ready", "after", "300ms", "print", " done", "exit", "9"))
	h := containertest.Start(t, newDriver(t), spec)
	containertest.Ready(t, spec)
	world.KillContainerd(t)
	containertest.Eventually(t, "the task has ended", func() bool { return !process.Running(h.PID) })
	d := newDriver(t) // the next agent
	if err := d.Recover(containertest.Context(t), h); err != nil {
		t.Fatalf("Recover: %v", err)
	}
	if exit := containertest.Wait(t, d, h); exit.Code != 9 || time.Since(exit.Time) > time.Minute {
		t.Errorf("exit %+v, want code 9", exit)
	}
	if got := drivertest.Said(t, spec.Stdout); got != "ready done" {
		t.Errorf("output %q", got)
	}
}

// A task whose shim is killed is lost, and nothing of it runs on; its neighbour in another
// allocation does.
func TestShimKilled(t *testing.T) {
	d := newDriver(t)
	other := containertest.Start(t, d, world.Spec(t, run("sleep")))
	spec := world.Spec(t, run("children", "2", "print", "ready", "sleep"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	end := containertest.Waiting(t, d, h)
	if err := unix.Kill(containertest.Parent(t, h.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if e := <-end; !errors.Is(e.Err, drivers.ErrTaskLost) {
		t.Errorf("Wait gave %+v, %v; want %v", e.Exit, e.Err, drivers.ErrTaskLost)
	}
	if process.Running(h.PID) {
		t.Error("the task's process is still there")
	}
	if !process.Running(other.PID) {
		t.Error("a task of another allocation is gone")
	}
	if err := d.Recover(containertest.Context(t), h); !errors.Is(err, drivers.ErrTaskLost) {
		t.Errorf("Recover: %v, want %v", err, drivers.ErrTaskLost)
	}
}

// A command in a task whose shim is killed ends with an error, and its streams are gone.
func TestShimKilledUnderACommand(t *testing.T) {
	d := newDriver(t)
	spec := world.Spec(t, run("children", "2", "print", "ready", "sleep"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	out, in := io.Pipe()
	defer func() { _ = in.Close() }()
	ended := make(chan error, 1)
	go func() {
		_, err := d.Exec(containertest.Context(t), h, &drivers.ExecRequest{
			Command: []string{"/task", "print", "ready", "sleep"}, Stdin: strings.NewReader(""), Stdout: in, Stderr: io.Discard,
		})
		ended <- err
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the command
	if err := unix.Kill(containertest.Parent(t, h.PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("the command ended well")
	}
	containertest.Eventually(t, "its streams are gone", func() bool {
		left, err := os.ReadDir(world.Layout().Streams())
		return err == nil && len(left) == 0
	})
	if err := d.Remove(containertest.Context(t), h); err != nil {
		t.Fatal(err)
	}
	containertest.Eventually(t, "containerd has no shim to look after", func() bool { return len(world.Processes()) == 1 })
}

// A task during whose start containerd is killed, at whatever moment, is started once.
func TestContainerdKilledDuringAStart(t *testing.T) {
	d := newDriver(t)
	containertest.Start(t, d, world.Spec(t, run("sleep"))) // containerd runs
	for i := range 16 {
		spec := world.Spec(t, run("print", "once", "sleep"))
		started := make(chan error, 1)
		var h *drivers.Handle
		go func() {
			var err error
			h, err = d.Start(containertest.Context(t), spec)
			started <- err
		}()
		time.Sleep(time.Duration(i) * 8 * time.Millisecond) // any moment will do
		world.KillContainerd(t)
		if err := <-started; err != nil {
			t.Fatal(err)
		}
		containertest.Eventually(t, "it runs", func() bool { return drivertest.Said(t, spec.Stdout) != "" })
		if got := drivertest.Said(t, spec.Stdout); got != "once" {
			t.Errorf("containerd killed after %d ms: the task says %q", i*8, got)
		}
		if err := d.Remove(containertest.Context(t), h); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever gives up a command, at whatever moment of its start, leaves nothing of it running.
func TestCommandGivenUpWhileItStarts(t *testing.T) {
	d := newDriver(t)
	spec := world.Spec(t, run("print", "ready", "sleep"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	tasks := func() (n int) {
		for _, exe := range world.Processes() {
			if exe == "/task" {
				n++
			}
		}
		return n
	}
	before := tasks()
	for i := range 30 {
		ctx, cancel := context.WithTimeout(containertest.Context(t), time.Duration(i)*4*time.Millisecond)
		_, err := d.Exec(ctx, h, &drivers.ExecRequest{Command: []string{"/task", "children", "2", "sleep"}})
		cancel()
		if err == nil {
			t.Fatal("a command that sleeps has ended well")
		}
	}
	containertest.Eventually(t, "nothing of the commands runs", func() bool { return tasks() == before })
}

// Streams of commands that an earlier agent was asked for are removed, and only those.
func TestStreamsOfAnEarlierAgent(t *testing.T) {
	before := time.Now()
	d := newDriver(t)
	h := containertest.Start(t, d, world.Spec(t, run("sleep")))
	streams := world.Layout().Streams()
	earlier, now := filepath.Join(streams, "earlier"), filepath.Join(streams, "now")
	for _, dir := range []string{earlier, now} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { _ = os.RemoveAll(now) }()
	if err := os.Chtimes(earlier, before, before); err != nil {
		t.Fatal(err)
	}
	if err := d.Reap(containertest.Context(t), map[string]bool{h.ID: true}); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(streams + "/*")
	if err != nil || !slices.Equal(left, []string{now}) {
		t.Errorf("left are %q, %v; want %q", left, err, now)
	}
}

// A killed shim takes all tasks of its allocation with it, once: each is lost, nothing of it
// runs on, and its next start succeeds at once.
func TestShimOfSeveralTasksKilled(t *testing.T) {
	d := newDriver(t)
	specs := allocation(t, 3, run("children", "1", "print", "ready", "sleep"))
	var handles []*drivers.Handle
	for _, spec := range specs {
		handles = append(handles, containertest.Start(t, d, spec))
		containertest.Ready(t, spec)
	}
	var ends []<-chan containertest.Ending
	for _, h := range handles {
		ends = append(ends, containertest.Waiting(t, d, h))
	}
	if err := unix.Kill(containertest.Parent(t, handles[0].PID), unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for i, end := range ends {
		if e := <-end; !errors.Is(e.Err, drivers.ErrTaskLost) {
			t.Errorf("task %d: Wait gave %+v, %v; want %v", i, e.Exit, e.Err, drivers.ErrTaskLost)
		}
		if procs := processesOf(t, specs[i]); len(procs) > 0 {
			t.Errorf("task %d: processes %v are still there", i, procs)
		}
	}
	for _, spec := range specs {
		again := *spec
		again.ID = spec.AllocID + "/" + spec.Task + "/1"
		again.Cgroup = containertest.Cgroup(&again)
		h := containertest.Start(t, d, &again)
		if !process.Running(h.PID) {
			t.Errorf("task %s does not run again", spec.Task)
		}
	}
}

// allocation returns specifications of tasks of one allocation.
func allocation(t *testing.T, n int, config map[string]any) []*drivers.TaskSpec {
	t.Helper()
	var out []*drivers.TaskSpec
	for i := range n {
		spec := world.Spec(t, config)
		spec.Task = "task" + strconv.Itoa(i)
		if i > 0 {
			spec.AllocID = out[0].AllocID
		}
		spec.ID = spec.AllocID + "/" + spec.Task + "/0"
		spec.Cgroup = containertest.Cgroup(spec)
		out = append(out, spec)
	}
	return out
}

// processesOf returns the processes in a task's control group.
func processesOf(t *testing.T, spec *drivers.TaskSpec) []int {
	t.Helper()
	groups, err := cgroup.Detect("/")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := groups.Group(spec.Cgroup).Procs()
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// A shim killed while containerd is dead leaves nothing running either.
func TestShimAndContainerdKilled(t *testing.T) {
	d := newDriver(t)
	spec := world.Spec(t, run("children", "2", "print", "ready", "sleep"))
	h := containertest.Start(t, d, spec)
	containertest.Ready(t, spec)
	shim := containertest.Parent(t, h.PID)
	world.KillContainerd(t)
	if err := unix.Kill(shim, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := newDriver(t).Recover(containertest.Context(t), h); !errors.Is(err, drivers.ErrTaskLost) {
		t.Errorf("Recover: %v, want %v", err, drivers.ErrTaskLost)
	}
	for pid, exe := range world.Processes() {
		if exe == "/task" {
			t.Errorf("process %s of the task is still there", pid)
		}
	}
}

// Tasks of one allocation share a shim.
func TestOneShimPerAllocation(t *testing.T) {
	d := newDriver(t)
	two := allocation(t, 2, run("sleep"))
	a, b := containertest.Start(t, d, two[0]), containertest.Start(t, d, two[1])
	if x, y := containertest.Parent(t, a.PID), containertest.Parent(t, b.PID); x != y {
		t.Errorf("shims %d and %d, want one", x, y)
	}
	if err := d.Remove(containertest.Context(t), a); err != nil {
		t.Fatal(err)
	}
	if !process.Running(b.PID) {
		t.Error("removing one task ended the other")
	}
}

// A task that starts just as its allocation's only other one is removed, as the main task behind
// a prestart task, does so at the first try: the shim that ends is not in its way.
func TestStartWhileTheShimEnds(t *testing.T) {
	d := newDriver(t)
	tries := 0
	d.change = func(*container.Plan) { tries++ }
	specs := allocation(t, 10, run("sleep"))
	h := containertest.Start(t, d, specs[0])
	for _, spec := range specs[1:] {
		removed := make(chan error, 1)
		go func(before *drivers.Handle) { removed <- d.Remove(containertest.Context(t), before) }(h)
		began := time.Now()
		next, err := d.Start(containertest.Context(t), spec)
		t.Logf("started after %s", time.Since(began).Round(time.Millisecond))
		if err := errors.Join(err, <-removed); err != nil {
			t.Fatalf("task %s: %v", spec.Task, err)
		}
		h = next
	}
	if err := d.Remove(containertest.Context(t), h); err != nil {
		t.Error(err)
	}
	if tries != len(specs) {
		t.Errorf("%d tries for %d starts", tries, len(specs))
	}
}

// What a task needed of the machine is given back: mounts, control groups, processes,
// files.
func TestNothingIsLeft(t *testing.T) {
	d := newDriver(t)
	h := containertest.Start(t, d, world.Spec(t, run("exit", "0")))
	containertest.Wait(t, d, h)
	if err := d.Remove(containertest.Context(t), h); err != nil {
		t.Fatal(err)
	}
	before := world.Calm(t)
	for i := range 6 {
		spec := world.Spec(t, run("children", "2", "deaf"))
		if i%3 == 1 {
			spec.Config = run("exit", "1")
		}
		if i%3 == 2 {
			spec.Config = run()
			if _, err := d.Start(containertest.Context(t), spec); err == nil {
				t.Fatal("a program that is missing starts")
			}
			continue
		}
		h, err := d.Start(containertest.Context(t), spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(containertest.Context(t), h); err != nil {
			t.Fatal(err)
		}
	}
	world.Returned(t, before)
}

// A start that is given up ends what it has begun, which may have just run, and is done again from
// scratch; one that succeeded is never done again.
func TestStartAgainAfterInterruption(t *testing.T) {
	spec := world.Spec(t, run("print", "once"))
	ctx, cancel := context.WithCancel(context.Background())
	d := newDriver(t)
	started := ""      // what the task had said by the end of a start that succeeded
	for i := range 8 { // each try is cut at another point
		cut, stop := context.WithTimeout(ctx, time.Duration(i*10)*time.Millisecond)
		if h, err := d.Start(cut, spec); err == nil {
			containertest.Wait(t, d, h)
			started = cmp.Or(started, drivertest.Said(t, spec.Stdout))
		}
		stop()
	}
	cancel()
	h := containertest.Start(t, newDriver(t), spec)
	if exit := containertest.Wait(t, d, h); !exit.Successful() {
		t.Errorf("exit %+v", exit)
	}
	got := drivertest.Said(t, spec.Stdout)
	if strings.ReplaceAll(got, "once", "") != "" || got == "" {
		t.Errorf("output %q: the last start is not whole", got)
	}
	if started != "" && got != started {
		t.Errorf("output %q, was %q: a task that had been started ran again", got, started)
	}
}

// Two of them would fight over the same files.
func TestContainerdRefusesASecond(t *testing.T) {
	d := newDriver(t)
	if info, err := d.Info(containertest.Context(t)); err != nil || info.Version == "" {
		t.Fatalf("Info: %+v, %v", info, err)
	}
	l := world.Layout()
	out, err := exec.CommandContext(containertest.Context(t), world.Program, "containerd", l.Data, l.Run).CombinedOutput()
	if err == nil || !strings.Contains(string(out)+containertest.Read(t, l.Log()), "another containerd runs") {
		t.Errorf("a second containerd on the same directory: %v, %s", err, out)
	}
	if !process.Read(l.Process()).Alive() {
		t.Error("the first one is gone")
	}
}
