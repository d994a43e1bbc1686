package client

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// started is a client that runs in a test.
type started struct {
	*Client
	stop func() // ends it and waits
}

func testConfig(dir string, w *world) Config {
	return Config{
		DataDir: dir, Drivers: map[string]drivers.Driver{"world": w}, Name: "n1", Meta: map[string]string{"rack": "r1"},
		CgroupParent: "nomadish-test", RetryInterval: 5 * time.Millisecond, UpdateInterval: 5 * time.Millisecond,
		GCInterval: 20 * time.Millisecond, Jitter: func() float64 { return 0 },
	}
}

func start(t testing.TB, cfg Config, server Server, open func(string) (store, error)) *started {
	t.Helper()
	if testing.Verbose() {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	c, err := New(cfg, server)
	if err != nil {
		t.Fatal(err)
	}
	if open != nil {
		c.open = open
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	ended := false
	s := &started{Client: c, stop: func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, errCrashed) {
			t.Errorf("client: %v", err)
		}
	}}
	t.Cleanup(func() {
		s.stop()
		cleanUp(t, c)
	})
	return s
}

// cleanUp unmounts what the hooks mounted, so that the test's directory can go.
func cleanUp(t testing.TB, c *Client) {
	for _, e := range c.entries() {
		if err := e.runner.Destroy(context.Background()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Logf("clean up: %v", err)
		}
	}
}

func lastEventType(s *nomadish.TaskState) string { return s.Events[len(s.Events)-1].Type }

func eventTypes(s *nomadish.TaskState) []string {
	var out []string
	for _, e := range s.Events {
		out = append(out, e.Type)
	}
	return out
}

func statusIs(s *fakeServer, id, status string) func() bool {
	return func() bool { r := s.report(id); return r != nil && r.ClientStatus == status }
}

func TestServiceRunsUntilItIsStopped(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	c := start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("web", map[string]any{"prints": "hello\n"})))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	if got, want := eventTypes(server.report(a.ID).TaskStates["web"]), []string{"Received", "Task Setup", "Started"}; !slices.Equal(got, want) {
		t.Errorf("events: got %q, want %q", got, want)
	}
	if n := server.nodes[c.NodeID()]; n.Attributes["driver.world"] != "1" || n.Status != nomadish.NodeStatusReady {
		t.Errorf("node: got attribute %q, status %q; want 1, ready", n.Attributes["driver.world"], n.Status)
	}
	server.stop(a.ID)
	eventually(t, "the allocation is complete", statusIs(server, a.ID, nomadish.AllocClientComplete))
	state := server.report(a.ID).TaskStates["web"]
	want := []string{"Received", "Task Setup", "Started", "Killing", "Terminated", "Killed"}
	if got := eventTypes(state); !slices.Equal(got, want) || state.Failed {
		t.Errorf("events: got %q, failed %v; want %q, false", got, state.Failed, want)
	}
	if got := logsOf(t, c.Client, a.ID, "web"); got != "hello\n" {
		t.Errorf("log: got %q, want %q", got, "hello\n")
	}
	server.forget(a.ID)
	eventually(t, "the directory goes with the server's record", func() bool {
		_, err := os.Stat(filepath.Join(c.allocDir(), a.ID))
		return errors.Is(err, fs.ErrNotExist) && !c.Has(a.ID)
	})
	if w.left() != 0 {
		t.Errorf("the driver still holds %d tasks", w.left())
	}
}

func logsOf(t testing.TB, c *Client, id, name string) string {
	t.Helper()
	var out strings.Builder
	req := &nomadish.LogRequest{AllocID: id, Task: name, Type: "stdout"}
	if err := c.Logs(t.Context(), req, func(f *nomadish.StreamFrame) error { out.Write(f.Data); return nil }); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEndsAreJudgedByTheRestartPolicy(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		code       int
		status     string
		restarts   uint64
		last       string
	}{
		{"batch ends well", "batch", 0, nomadish.AllocClientComplete, 0, "Terminated"},
		{"batch fails", "batch", 7, nomadish.AllocClientFailed, 2, "Not Restarting"},
		{"service ends well", "service", 0, nomadish.AllocClientFailed, 2, "Not Restarting"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, server := newWorld(), newFakeServer()
			start(t, testConfig(t.TempDir(), w), server, nil)
			a := newAlloc(newJob(tt.kind, newTask("t", map[string]any{"exits": float64(tt.code)})))
			server.place(a)
			eventually(t, tt.status, statusIs(server, a.ID, tt.status))
			state := server.report(a.ID).TaskStates["t"]
			if state.Restarts != tt.restarts || lastEventType(state) != tt.last {
				t.Errorf("got %d restarts, last event %q; want %d, %q", state.Restarts, lastEventType(state), tt.restarts, tt.last)
			}
			eventually(t, "the driver holds nothing", func() bool { return w.left() == 0 })
		})
	}
}

func TestFaultyConfigIsNamed(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("t", map[string]any{"imagee": "x"})))
	server.place(a)
	eventually(t, "the allocation fails", statusIs(server, a.ID, nomadish.AllocClientFailed))
	state := server.report(a.ID).TaskStates["t"]
	event := state.Events[len(state.Events)-2]
	if event.Type != nomadish.TaskEventFailedValidation || !strings.Contains(event.DisplayMessage, `unknown option "imagee"`) {
		t.Errorf("got event %q: %s", event.Type, event.DisplayMessage)
	}
	if len(w.starts) != 0 {
		t.Error("the driver was asked to start it")
	}
}

func TestLifecyclesAreInOrder(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	hook := func(t *nomadish.Task, hook string, sidecar bool) *nomadish.Task {
		t.Lifecycle = &nomadish.TaskLifecycle{Hook: hook, Sidecar: sidecar}
		return t
	}
	var order []string
	w.startFn = func(s *drivers.TaskSpec) error { order = append(order, s.Task); return nil }
	a := newAlloc(newJob("batch",
		hook(newTask("cleanup", map[string]any{"exits": 0.0}), "poststop", false),
		newTask("main", map[string]any{"exits": 0.0}),
		hook(newTask("sidecar", nil), "prestart", true),
		hook(newTask("init", map[string]any{"exits": 0.0}), "prestart", false),
	))
	server.place(a)
	eventually(t, "the allocation is complete", statusIs(server, a.ID, nomadish.AllocClientComplete))
	slices.Sort(order[:2])
	if want := []string{"init", "sidecar", "main", "cleanup"}; !slices.Equal(order, want) {
		t.Errorf("order of starts: got %q, want %q", order, want)
	}
	if got := eventTypes(server.report(a.ID).TaskStates["sidecar"]); !slices.Contains(got, "Main Tasks Dead") {
		t.Errorf("events of the sidecar: %q", got)
	}
}

func TestTasksOutliveTheClient(t *testing.T) {
	w, server, dir := newWorld(), newFakeServer(), t.TempDir()
	c := start(t, testConfig(dir, w), server, nil)
	job := newJob("service", newTask("stays", nil), newTask("dies", nil))
	job.Type = nomadish.Ptr("batch")
	a := newAlloc(job)
	server.place(a)
	eventually(t, "both run", func() bool { return len(w.running()) == 2 })
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	c.stop()
	if len(w.running()) != 2 {
		t.Fatal("a task ended with the client")
	}
	w.kill(task.TaskID(a.ID, "dies", 1), drivers.Exit{Code: 7})
	start(t, testConfig(dir, w), server, nil)
	eventually(t, "the end with code 7 is told", func() bool {
		return slices.ContainsFunc(server.report(a.ID).TaskStates["dies"].Events, func(e *nomadish.TaskEvent) bool {
			return e.Type == nomadish.TaskEventTerminated && e.ExitCode == 7
		})
	})
	eventually(t, "it was restarted", func() bool { return w.count(task.TaskID(a.ID, "dies", 2)) == 1 })
	if got := w.count(task.TaskID(a.ID, "stays", 1)); got != 1 || server.report(a.ID).TaskStates["stays"].Restarts != 0 {
		t.Errorf("the task that stayed was started %d times", got)
	}
}

func (w *world) count(id string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.starts[id]
}

func TestLostTaskIsRestartedOnce(t *testing.T) {
	w, server, dir := newWorld(), newFakeServer(), t.TempDir()
	c := start(t, testConfig(dir, w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	c.stop()
	w.mu.Lock()
	w.procs = map[string]*proc{} // the machine was started anew
	w.mu.Unlock()
	start(t, testConfig(dir, w), server, nil)
	eventually(t, "it runs again", func() bool {
		return len(w.running()) == 1 && server.report(a.ID).TaskStates["t"].Restarts == 1
	})
}

func TestTasksEndWithAClientThatIsToldSo(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	cfg := testConfig(t.TempDir(), w)
	cfg.StopTasksOnShutdown = true
	c := start(t, cfg, server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	c.stop()
	if got := w.running(); len(got) != 0 {
		t.Errorf("still running: %q", got)
	}
}

func TestServersAwayChangeNothing(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("batch", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	server.change(func() { server.down = true })
	w.kill(task.TaskID(a.ID, "t", 1), drivers.Exit{Code: 1}) // restarts go on without servers
	eventually(t, "it was restarted", func() bool { return w.count(task.TaskID(a.ID, "t", 2)) == 1 })
	server.change(func() { server.down = false; clear(server.nodes) })
	eventually(t, "the restart is told", func() bool { return server.report(a.ID).TaskStates["t"].Restarts == 1 })
	eventually(t, "the node is known again", func() bool { return server.node() })
}

// TestOlderAnswerEndsNothing: an answer of a server that lags behind lacks the newest
// allocation, which must not be stopped for that.
func TestOlderAnswerEndsNothing(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	c := start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	index := c.entries()[a.ID].runner.Alloc().AllocModifyIndex
	c.apply(&nomadish.NodeAllocations{Index: index - 1, Since: index - 1, Listed: []string{}}, false)
	c.apply(&nomadish.NodeAllocations{Index: index - 1}, false)
	if c.entries()[a.ID].unwanted {
		t.Error("an older answer ended the allocation")
	}
	server.change(func() { // the servers have lost all they knew
		clear(server.nodes)
		clear(server.allocs)
		server.index = 0
	})
	eventually(t, "the allocation is gone", func() bool { return !c.Has(a.ID) && len(w.running()) == 0 })
}

// What the servers have given up as ended, while the node was silent, does not go on here. Its
// end is still told, and what has ended here anyway is left alone.
func TestGivenUpAllocationEnds(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	server.change(func() {
		lost := *server.allocs[a.ID]
		lost.AllocModifyIndex = server.index + 1
		server.allocs[a.ID], server.reports[a.ID] = &lost, &nomadish.Allocation{ID: a.ID, ClientStatus: nomadish.AllocClientLost}
	})
	eventually(t, "it has ended", statusIs(server, a.ID, nomadish.AllocClientComplete))
	if got := w.running(); len(got) != 0 {
		t.Errorf("still running: %q", got)
	}
}

// Changes alone tell a node which allocations go on: others that run stay as they are, and
// one that the servers have forgotten goes, with whatever change they tell next.
func TestChangesLeaveOthersAlone(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	c := start(t, testConfig(t.TempDir(), w), server, nil)
	stays, goes, new := newAlloc(newJob("service", newTask("t", nil))), newAlloc(newJob("batch", newTask("t", map[string]any{"exits": 0.0}))), newAlloc(newJob("service", newTask("t", nil)))
	server.place(stays)
	server.place(goes)
	eventually(t, "one runs", statusIs(server, stays.ID, nomadish.AllocClientRunning))
	eventually(t, "one has ended", statusIs(server, goes.ID, nomadish.AllocClientComplete))
	server.place(new)
	eventually(t, "another runs", statusIs(server, new.ID, nomadish.AllocClientRunning))
	if !c.Has(goes.ID) {
		t.Error("what has ended and is known to the servers is gone")
	}
	server.forget(goes.ID)
	eventually(t, "what they have forgotten is gone", func() bool { return !c.Has(goes.ID) })
	if got := w.running(); len(got) != 2 {
		t.Errorf("running: %q, want two", got)
	}
}

func (s *fakeServer) node() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.nodes) == 1
}

func TestUserRestartsATask(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	c := start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the allocation runs", statusIs(server, a.ID, nomadish.AllocClientRunning))
	if err := c.Restart(t.Context(), a.ID, &nomadish.AllocRestartRequest{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was restarted", func() bool { return w.count(task.TaskID(a.ID, "t", 2)) == 1 })
	if err := c.Restart(t.Context(), a.ID, &nomadish.AllocRestartRequest{TaskName: "zz"}); err == nil || err.Error() != `unknown task name "zz"` {
		t.Errorf("got %v", err)
	}
}

// Restarted as a whole, an allocation does again what prepares it, before its main tasks.
func TestUserRestartsAllTasks(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	c := start(t, testConfig(t.TempDir(), w), server, nil)
	hook := func(t *nomadish.Task, hook string, sidecar bool) *nomadish.Task {
		t.Lifecycle = &nomadish.TaskLifecycle{Hook: hook, Sidecar: sidecar}
		return t
	}
	var mu sync.Mutex
	var order []string
	w.startFn = func(s *drivers.TaskSpec) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s.Task)
		return nil
	}
	a := newAlloc(newJob("service",
		hook(newTask("cleanup", map[string]any{"exits": 0.0}), "poststop", false), newTask("main", nil), newTask("other", nil),
		hook(newTask("after", map[string]any{"exits": 0.0}), "poststart", false), hook(newTask("init", map[string]any{"exits": 0.0}), "prestart", false),
	))
	server.place(a)
	begun := func(n int) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(order) == n && statusIs(server, a.ID, nomadish.AllocClientRunning)()
		}
	}
	eventually(t, "the tasks run", begun(4))
	// The last one has ended, too, or it would be killed in its midst.
	eventually(t, "the helper has ended", func() bool { return server.report(a.ID).TaskStates["after"].State == nomadish.TaskStateDead })
	if err := c.Restart(t.Context(), a.ID, &nomadish.AllocRestartRequest{AllTasks: true}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all tasks were started again", begun(8))
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(order[1:3])
	slices.Sort(order[5:7])
	if want := []string{"init", "main", "other", "after", "init", "main", "other", "after"}; !slices.Equal(order, want) {
		t.Errorf("order of starts: got %q, want %q", order, want)
	}
}

func TestOldestEndedAllocationsGo(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	cfg := testConfig(t.TempDir(), w)
	cfg.GCMaxAllocs = 2
	c := start(t, cfg, server, nil)
	for range 5 {
		a := newAlloc(newJob("batch", newTask("t", map[string]any{"exits": 0.0})))
		server.place(a)
		eventually(t, "the allocation is complete", statusIs(server, a.ID, nomadish.AllocClientComplete))
	}
	eventually(t, "two are kept", func() bool { return len(c.entries()) == 2 })
	for id, n := range w.starts {
		if n != 1 {
			t.Errorf("%s was started %d times", id, n)
		}
	}
}

func TestAllocationHealth(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config map[string]any
		min    time.Duration
		want   bool
	}{
		{"running long enough", nil, 20 * time.Millisecond, true},
		{"failed", map[string]any{"exits": 1.0}, time.Hour, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, server := newWorld(), newFakeServer()
			start(t, testConfig(t.TempDir(), w), server, nil)
			job := newJob("service", newTask("t", tt.config))
			job.TaskGroups[0].Update = &nomadish.UpdateStrategy{MinHealthyTime: &tt.min}
			a := newAlloc(job)
			a.DeploymentID = nomadish.NewID()
			server.place(a)
			eventually(t, "the health is told", func() bool {
				r := server.report(a.ID)
				return r != nil && r.DeploymentStatus != nil && r.DeploymentStatus.Healthy != nil
			})
			if got := *server.report(a.ID).DeploymentStatus.Healthy; got != tt.want {
				t.Errorf("healthy: got %v, want %v", got, tt.want)
			}
		})
	}
}
