package client

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// crashing is a store that stops working at one of its writes, as if the agent had been
// killed there: the write is on disk or is not, and nobody learns of it.
type crashing struct {
	store
	mu      sync.Mutex
	left    int  // writes that still succeed
	after   bool // the fatal write is on disk
	crashed chan struct{}
}

func (s *crashing) write(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.left < 0:
		return errCrashed
	case s.left == 0:
		s.left--
		close(s.crashed)
		if s.after {
			if err := do(); err != nil {
				return err
			}
		}
		return errCrashed
	}
	s.left--
	return do()
}

func (s *crashing) PutAlloc(a *nomadish.Allocation) error {
	return s.write(func() error { return s.store.PutAlloc(a) })
}

func (s *crashing) PutTask(id, name string, t *localstate.Task) error {
	return s.write(func() error { return s.store.PutTask(id, name, t) })
}

func (s *crashing) DeleteAlloc(id string) error {
	return s.write(func() error { return s.store.DeleteAlloc(id) })
}

// TestCrashAtEveryWrite drops the client at each write of its state, before and after the
// write, and lets a new one go on. Whatever the moment: every start runs exactly once, the
// task that ends with 7 is told to have done so, no output is missing or doubled, and
// nothing is left behind in the driver.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 0; ; n++ {
			survived := false
			t.Run(fmt.Sprintf("write=%d,after=%v", n, after), func(t *testing.T) { survived = crashAt(t, n, after) })
			if survived || t.Failed() {
				break
			}
		}
	}
}

// crashAt returns true when there are fewer writes than n.
func crashAt(t *testing.T, n int, after bool) (survived bool) {
	w, server, dir := newWorld(), newFakeServer(), t.TempDir()
	job := newJob("batch",
		newTask("stays", map[string]any{"prints": "stays\n"}),
		newTask("fails", map[string]any{"prints": "fails\n", "exits": 7.0}),
		newTask("ends", map[string]any{"prints": "ends\n", "exits": 0.0}),
	)
	job.TaskGroups[0].RestartPolicy.Attempts = nomadish.Ptr(1)
	a := newAlloc(job)
	crashed := make(chan struct{})
	c := start(t, testConfig(dir, w), server, func(path string) (store, error) {
		db, err := localstate.Open(path)
		return &crashing{store: db, left: n, after: after, crashed: crashed}, err
	})
	server.place(a)
	eventually(t, "the crash, or the end", func() bool {
		select {
		case <-crashed:
			return true
		default:
			return statusIs(server, a.ID, nomadish.AllocClientFailed)() && w.left() == 0
		}
	})
	c.stop()
	select {
	case <-crashed:
	default:
		survived = true
	}
	c = start(t, testConfig(dir, w), server, nil)
	eventually(t, "the allocation is taken over", func() bool { return c.Has(a.ID) })
	eventually(t, "the allocation failed", statusIs(server, a.ID, nomadish.AllocClientFailed))
	eventually(t, "the driver holds nothing", func() bool { return w.left() == 0 })
	checkCrash(t, w, server.report(a.ID), c.Client)
	return survived
}

func checkCrash(t *testing.T, w *world, report *nomadish.Allocation, c *Client) {
	t.Helper()
	for id, n := range w.starts {
		if n != 1 {
			t.Errorf("%s was started %d times", id, n)
		}
	}
	state := report.TaskStates["fails"]
	if state.Restarts != 1 || w.count(task.TaskID(report.ID, "fails", 3)) != 0 {
		t.Errorf("the failing task: got %d restarts, want 1", state.Restarts)
	}
	codes := 0
	for _, e := range state.Events {
		if e.Type == nomadish.TaskEventTerminated && e.ExitCode == 7 {
			codes++
		}
	}
	if codes != 2 {
		t.Errorf("ends with code 7: got %d, want 2: %q", codes, eventTypes(state))
	}
	if got := logsOf(t, c, report.ID, "fails"); got != "fails\nfails\n" {
		t.Errorf("log: got %q", got)
	}
	for _, name := range []string{"stays", "ends"} { // they may have been killed before they began
		if got := logsOf(t, c, report.ID, name); got != strings.Repeat(name+"\n", w.count(task.TaskID(report.ID, name, 1))) {
			t.Errorf("log of %s: got %q", name, got)
		}
	}
}

// TestReapKeepsWhatIsKnown checks that a start that the agent did not live to record is
// taken up, and that only what no record knows is removed.
func TestReapKeepsWhatIsKnown(t *testing.T) {
	w, server, dir := newWorld(), newFakeServer(), t.TempDir()
	c := start(t, testConfig(dir, w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	c.stop()
	stray := &proc{spec: &drivers.TaskSpec{}, ended: make(chan struct{})}
	w.procs["gone/t/1"] = stray
	start(t, testConfig(dir, w), server, nil)
	eventually(t, "the stray is removed", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return stray.removed
	})
	if got := w.running(); !slices.Equal(got, []string{task.TaskID(a.ID, "t", 1)}) {
		t.Errorf("running: %q", got)
	}
}
