// Package drivertest checks a driver against the contract of drivers.Driver.
//
//	func TestContract(t *testing.T) { drivertest.Run(t, drivertest.Harness{New: …}) }
package drivertest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/nomadish"
)

// Harness tells the suite how to use a driver.
type Harness struct {
	// New opens the driver over the same state each time, as an agent does that was restarted.
	New func(t testing.TB) drivers.Driver
	// Exit, Sleep and Print are config blocks of tasks that end at once with a code, that run
	// until they are stopped, and that write a text to their output and end.
	Exit  func(code int) map[string]any
	Sleep func() map[string]any
	Print func(text string) map[string]any
	// Broken is a config block with which Start fails; nil: it never does.
	Broken func() map[string]any
	// Prepare completes a spec; nil: nothing to add.
	Prepare func(t testing.TB, spec *drivers.TaskSpec)
}

// Patience bounds every wait of the suite.
const Patience = time.Minute

// suite is a harness in one test.
type suite struct {
	Harness
	t testing.TB
	d drivers.Driver
}

// Run checks every rule of the contract.
func Run(t *testing.T, h Harness) {
	for _, tt := range []struct {
		name string
		rule func(*suite)
	}{
		{"a task's exit code is told to all who wait", (*suite).exitCodes},
		{"output is appended to the task's log", (*suite).output},
		{"starting a known ID gives the same task", (*suite).startTwice},
		{"stop ends a task, and an ended one is no error", (*suite).stop},
		{"remove frees a running task, and twice is no error", (*suite).remove},
		{"a failed start leaves nothing behind", (*suite).failedStart},
		{"a later driver finds a running task", (*suite).recoverRunning},
		{"a later driver learns an exit that nobody saw", (*suite).recoverEnded},
		{"what was never started is lost", (*suite).unknown},
		{"waiting ends with its context", (*suite).waitCancelled},
		{"reap removes what is not kept", (*suite).reap},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.rule(&suite{Harness: h, t: t, d: h.New(t)}) })
	}
}

// Spec returns a spec with directories and output files below a test's own directory.
func Spec(t testing.TB, config map[string]any) *drivers.TaskSpec {
	t.Helper()
	root := t.TempDir()
	alloc := nomadish.NewID()
	spec := &drivers.TaskSpec{
		ID: alloc + "/task/0", AllocID: alloc, JobID: "job", Namespace: "default", Group: "group", Task: "task",
		Config: config, Env: map[string]string{"PATH": os.Getenv("PATH")},
		Dir: drivers.TaskDir{
			Alloc: filepath.Join(root, "alloc"), Task: filepath.Join(root, "task"),
			Local: filepath.Join(root, "task", "local"), Secrets: filepath.Join(root, "task", "secrets"),
		},
		Resources: drivers.Resources{CPUMHz: 100, MemoryBytes: 64 << 20},
		Stdout:    drivers.Output{Root: root, Path: "stdout"}, Stderr: drivers.Output{Root: root, Path: "stderr"},
	}
	for _, dir := range []string{spec.Dir.Alloc, spec.Dir.Local, spec.Dir.Secrets} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

// Said returns what is kept of an output.
func Said(t testing.TB, o drivers.Output) string {
	t.Helper()
	data, err := output.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (s *suite) spec(config map[string]any) *drivers.TaskSpec {
	s.t.Helper()
	spec := Spec(s.t, config)
	if s.Prepare != nil {
		s.Prepare(s.t, spec)
	}
	return spec
}

func (s *suite) context() context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), Patience)
	s.t.Cleanup(cancel)
	return ctx
}

// start starts a task and sees to its removal.
func (s *suite) start(spec *drivers.TaskSpec) *drivers.Handle {
	s.t.Helper()
	h, err := s.d.Start(s.context(), spec)
	if err != nil {
		s.t.Fatalf("Start: %v", err)
	}
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		if err := s.d.Remove(ctx, h); err != nil {
			s.t.Errorf("Remove: %v", err)
		}
	})
	return h
}

func (s *suite) wait(h *drivers.Handle) drivers.Exit {
	s.t.Helper()
	exit, err := s.d.Wait(s.context(), h)
	if err != nil {
		s.t.Fatalf("Wait: %v", err)
	}
	return exit
}

// running fails unless the task is still running.
func (s *suite) running(h *drivers.Handle) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 50*time.Millisecond)
	defer cancel()
	if exit, err := s.d.Wait(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		s.t.Fatalf("Wait = %+v, %v; want the task still running", exit, err)
	}
}

func (s *suite) exitCodes() {
	for _, code := range []int{0, 7, 255} {
		h := s.start(s.spec(s.Exit(code)))
		first, second := s.wait(h), s.wait(h)
		if first.Code != code || first.Signal != 0 || first.Time.IsZero() {
			s.t.Errorf("exit %d is told as %+v", code, first)
		}
		if !first.Time.Equal(second.Time) || first.Code != second.Code {
			s.t.Errorf("a second wait is told %+v, the first %+v", second, first)
		}
	}
}

func (s *suite) output() {
	spec := s.spec(s.Print("hello from the task"))
	if err := os.WriteFile(filepath.Join(spec.Stdout.Root, spec.Stdout.Path+".0"), []byte("before "), 0o666); err != nil {
		s.t.Fatal(err)
	}
	s.wait(s.start(spec))
	if got, want := Said(s.t, spec.Stdout), "before hello from the task"; got != want {
		s.t.Errorf("output is %q; want %q", got, want)
	}
}

func (s *suite) startTwice() {
	spec := s.spec(s.Sleep())
	first := s.start(spec)
	second, err := s.d.Start(s.context(), spec)
	if err != nil || second.ID != first.ID || second.PID != first.PID {
		s.t.Errorf("the second start gives %+v, %v; want %+v", second, err, first)
	}
	ended := s.spec(s.Exit(3))
	h := s.start(ended)
	s.wait(h)
	if again, err := s.d.Start(s.context(), ended); err != nil || s.wait(again).Code != 3 {
		s.t.Errorf("starting an ended task gives %+v, %v; want the ended task", again, err)
	}
}

func (s *suite) stop() {
	h := s.start(s.spec(s.Sleep()))
	s.running(h)
	for range 2 {
		if err := s.d.Stop(s.context(), h, "", 100*time.Millisecond); err != nil {
			s.t.Fatalf("Stop: %v", err)
		}
	}
	s.wait(h)
}

func (s *suite) remove() {
	h := s.start(s.spec(s.Sleep()))
	for range 2 {
		if err := s.d.Remove(s.context(), h); err != nil {
			s.t.Fatalf("Remove: %v", err)
		}
	}
	if err := s.d.Recover(s.context(), h); !errors.Is(err, drivers.ErrTaskLost) {
		s.t.Errorf("Recover after Remove: %v, want %v", err, drivers.ErrTaskLost)
	}
}

func (s *suite) failedStart() {
	if s.Broken == nil {
		return
	}
	spec := s.spec(s.Broken())
	if h, err := s.d.Start(s.context(), spec); err == nil {
		s.t.Fatalf("Start = %+v, want an error", h)
	}
	spec.Config = s.Exit(0)
	if exit := s.wait(s.start(spec)); exit.Code != 0 {
		s.t.Errorf("after a failed start the task ends with %+v", exit)
	}
}

func (s *suite) recoverRunning() {
	h := s.start(s.spec(s.Sleep()))
	s.d = s.New(s.t)
	if err := s.d.Recover(s.context(), h); err != nil {
		s.t.Fatalf("Recover: %v", err)
	}
	s.running(h)
	if err := s.d.Stop(s.context(), h, "", 100*time.Millisecond); err != nil {
		s.t.Fatalf("Stop: %v", err)
	}
	s.wait(h)
}

func (s *suite) recoverEnded() {
	h := s.start(s.spec(s.Exit(7)))
	s.d = s.New(s.t)
	if err := s.d.Recover(s.context(), h); err != nil {
		s.t.Fatalf("Recover: %v", err)
	}
	if exit := s.wait(h); exit.Code != 7 {
		s.t.Errorf("the exit is told as %+v, want code 7", exit)
	}
}

func (s *suite) unknown() {
	known := s.start(s.spec(s.Exit(0)))
	h := &drivers.Handle{ID: nomadish.NewID() + "/task/0", Driver: known.Driver}
	if _, err := s.d.Wait(s.context(), h); !errors.Is(err, drivers.ErrTaskLost) {
		s.t.Errorf("Wait: %v, want %v", err, drivers.ErrTaskLost)
	}
	if err := s.d.Remove(s.context(), h); err != nil {
		s.t.Errorf("Remove: %v", err)
	}
}

func (s *suite) waitCancelled() {
	h := s.start(s.spec(s.Sleep()))
	ctx, cancel := context.WithCancel(s.t.Context())
	cancel()
	if _, err := s.d.Wait(ctx, h); !errors.Is(err, context.Canceled) {
		s.t.Errorf("Wait: %v, want %v", err, context.Canceled)
	}
}

func (s *suite) reap() {
	if _, ok := s.d.(drivers.Reaper); !ok {
		return // nothing of its tasks outlives the agent
	}
	kept, dropped := s.start(s.spec(s.Sleep())), s.start(s.spec(s.Sleep()))
	s.d = s.New(s.t)
	r := s.d.(drivers.Reaper)
	if err := r.Reap(s.context(), map[string]bool{kept.ID: true}); err != nil {
		s.t.Fatalf("Reap: %v", err)
	}
	if err := s.d.Recover(s.context(), kept); err != nil {
		s.t.Errorf("the kept task: %v", err)
	}
	s.running(kept)
	if err := s.d.Recover(s.context(), dropped); !errors.Is(err, drivers.ErrTaskLost) {
		s.t.Errorf("the other task: %v, want %v", err, drivers.ErrTaskLost)
	}
}
