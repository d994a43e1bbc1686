package agent_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/function"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

const patience = time.Minute

// config is that of a whole agent without sockets, with a driver that calls f.
func config(t testing.TB, f function.Func) agent.Config {
	return agent.Config{
		Name: "test", DataDir: t.TempDir(), Server: &server.Config{}, Client: &client.Config{},
		Drivers: map[string]drivers.Driver{"function": function.New(f)},
	}
}

func job(id string) *nomadish.Job {
	return nomadish.NewJob(id, nomadish.JobTypeBatch, &nomadish.Task{Name: "task", Driver: "function"})
}

// An embedder runs a job to its end in one process, and hears of a task that fails.
func TestWithRunsJobs(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := config(t, func(_ context.Context, task *drivers.TaskSpec) int {
		if strings.HasPrefix(task.JobID, "bad") {
			return 7
		}
		return 0
	})
	err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
		if err := c.Jobs().Finish(ctx, job("good")); err != nil {
			return err
		}
		bad := job("bad")
		bad.TaskGroups[0].RestartPolicy = &nomadish.RestartPolicy{Attempts: nomadish.Ptr(0), Mode: nomadish.Ptr("fail")}
		bad.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0), Unlimited: nomadish.Ptr(false)}
		if err := c.Jobs().Finish(ctx, bad); err == nil || !strings.Contains(err.Error(), "failed") {
			return fmt.Errorf("the failing job ends with %w, want an error that says so", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A node in an agent of its own runs the server's jobs over the network, and the server reads
// the files of its allocations over the session that the node keeps.
func TestNodeOverTheNetwork(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	srv, err := agent.New(agent.Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{}, RPC: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, func(_ context.Context, task *drivers.TaskSpec) int {
		log, err := output.Open(task.Stdout)
		if err != nil {
			return 1
		}
		_, err = io.WriteString(log, "written on the node")
		if errors.Join(err, log.Close()) != nil {
			return 1
		}
		return 0
	})
	cfg.Server, cfg.Servers, cfg.RPC = nil, []string{srv.RPCAddr().String()}, ""
	node, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- srv.Run(ctx) }()
	go func() { ended <- node.Run(ctx) }()
	c := srv.Client()
	if err := c.Jobs().Finish(ctx, job("remote")); err != nil {
		t.Fatal(err)
	}
	allocs, _, err := c.Jobs().Allocations(ctx, "remote", false, nil)
	if err != nil || len(allocs) != 1 {
		t.Fatalf("allocations %v, %v; want one", allocs, err)
	}
	var got strings.Builder
	for frame, err := range c.Files().Logs(ctx, &nomadish.LogRequest{AllocID: allocs[0].ID, Task: "task", Type: "stdout"}) {
		if err != nil {
			t.Fatal(err)
		}
		got.Write(frame.Data)
	}
	if got.String() != "written on the node" {
		t.Errorf("the log says %q", got.String())
	}
	cancel()
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Error(err)
	}
}

// Rounds of New, Run and cancel leave no goroutine and no open file behind, and state comes
// back: the job of the first round is there in the last.
func TestRoundsLeaveNothingBehind(t *testing.T) {
	rounds := 20
	if os.Getenv("NOMADISH_SOAK") != "" {
		rounds = 200
	}
	cfg := config(t, func(context.Context, *drivers.TaskSpec) int { return 0 })
	round := func(i int) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error {
			if err := c.Jobs().Finish(ctx, job(fmt.Sprintf("job-%d", i))); err != nil {
				return err
			}
			_, _, err := c.Jobs().Job(ctx, "job-0", nil)
			return err
		})
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	round(0)
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	for i := 1; i < rounds; i++ {
		round(i)
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > goroutines; {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines after %d rounds, %d after the first:\n%s", runtime.NumGoroutine(), rounds, goroutines, buf[:runtime.Stack(buf, true)])
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d open files after %d rounds, %d after the first", n, rounds, files)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Without addresses no socket is opened; with one, it is bound before Run, and a second agent
// that wants the same gets an error and leaves its data free.
func TestListeners(t *testing.T) {
	cfg := config(t, nil)
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if a.Addr() != nil {
		t.Errorf("an agent without addresses listens on %s", a.Addr())
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg.HTTP = []string{taken.Addr().String()}
	if _, err := agent.New(cfg); err == nil {
		t.Fatal("an agent took an address that is in use")
	}
	cfg.HTTP = []string{"127.0.0.1:0"}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if a, err = agent.New(cfg); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Addr().String()+"/v1/regions", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != `["global"]` {
		t.Errorf("regions: %q, %v", body, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// One agent at a time uses a data directory, and one of a later format is refused.
func TestDataDir(t *testing.T) {
	cfg := config(t, nil)
	a, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agent.New(cfg); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second agent: %v, want that the directory is in use", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "format"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := agent.New(cfg); err == nil || !strings.Contains(err.Error(), "format") {
		t.Errorf("a later format: %v, want that it is refused", err)
	}
}
