package nodesim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/nodesim"
	"github.com/nomadish/nomadish/server"
)

const patience = 30 * time.Second

// eventually waits until check returns nil.
func eventually(ctx context.Context, what string, check func(ctx context.Context) error) error {
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("never happened: %s: %w", what, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// withServer calls use with a server of this process, and the address for its nodes.
func withServer(t *testing.T, use func(ctx context.Context, c *api.Client, addr string) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := agent.Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{}, RPC: addr}
	if err := agent.With(ctx, cfg, func(ctx context.Context, c *api.Client) error { return use(ctx, c, addr) }); err != nil {
		t.Fatal(err)
	}
}

// running runs a fleet while use is called.
func running(ctx context.Context, cfg nodesim.Config, use func(ctx context.Context, f *nodesim.Fleet) error) error {
	f, err := nodesim.New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	err = use(ctx, f)
	cancel()
	return errors.Join(err, <-ended)
}

// online checks that all nodes of a fleet are.
func online(f *nodesim.Fleet) func(context.Context) error {
	return func(context.Context) error {
		if s := f.Figures(); s.Online != s.Nodes {
			return fmt.Errorf("%+v", s)
		}
		return nil
	}
}

func sleeper(id, kind string, count int) *nomadish.Job {
	job := nomadish.NewJob(id, kind, &nomadish.Task{
		Name: "main", Driver: "docker", Config: map[string]any{"image": "none"},
		Resources: &nomadish.Resources{CPU: nomadish.Ptr(100), MemoryMB: nomadish.Ptr(64)},
	})
	job.TaskGroups[0].Count = nomadish.Ptr(count)
	return job
}

// Fifty nodes register, a job of two hundred allocations runs on them until it is stopped, and
// when the nodes have ended and are purged nothing is left of them, here and there.
func TestFleet(t *testing.T) {
	const nodes, count = 50, 200
	before := runtime.NumGoroutine()
	withServer(t, func(ctx context.Context, c *api.Client, addr string) error {
		cfg := nodesim.Config{
			Servers: []string{addr}, Nodes: nodes, Pace: 1000,
			Purge: func(ctx context.Context, id string) error {
				_, err := c.Nodes().Purge(ctx, id)
				return err
			},
		}
		err := running(ctx, cfg, func(ctx context.Context, f *nodesim.Fleet) error {
			if err := eventually(ctx, "all nodes are online", online(f)); err != nil {
				return err
			}
			if _, err := c.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: sleeper("web", nomadish.JobTypeService, count)}); err != nil {
				return err
			}
			if err := eventually(ctx, "all run", summary(c, "web", func(g nomadish.TaskGroupSummary) bool { return g.Running == count })); err != nil {
				return err
			}
			if err := eventually(ctx, "the figures say so", func(context.Context) error {
				if s := f.Figures(); s.Arrived != count || s.Running != count || s.Errors != 0 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			}); err != nil {
				return err
			}
			if _, err := c.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{JobID: "web"}); err != nil {
				return err
			}
			return eventually(ctx, "all have ended", summary(c, "web", func(g nomadish.TaskGroupSummary) bool { return g.Complete == count }))
		})
		left, _, listErr := c.Nodes().List(ctx, nil)
		if len(left) > 0 {
			t.Errorf("%d nodes are left", len(left))
		}
		return errors.Join(err, listErr)
	})
	if err := eventually(t.Context(), "no goroutine is left", func(context.Context) error {
		if now := runtime.NumGoroutine(); now > before {
			return fmt.Errorf("%d goroutines, %d before", now, before)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// summary checks a job's group.
func summary(c *api.Client, id string, enough func(nomadish.TaskGroupSummary) bool) func(context.Context) error {
	return func(ctx context.Context) error {
		jobs, _, err := c.Jobs().List(ctx, &api.Query{Prefix: id})
		if err != nil {
			return err
		}
		for _, j := range jobs {
			for _, g := range j.JobSummary.Summary {
				if !enough(g) {
					return fmt.Errorf("%+v", g)
				}
			}
		}
		return nil
	}
}

// Batch jobs end by themselves, and the share that is to fail fails.
func TestBatchEnds(t *testing.T) {
	const count = 60
	withServer(t, func(ctx context.Context, c *api.Client, addr string) error {
		cfg := nodesim.Config{Servers: []string{addr}, Nodes: 10, Pace: 1000, RunFor: time.Millisecond, Fail: 0.5}
		return running(ctx, cfg, func(ctx context.Context, f *nodesim.Fleet) error {
			if err := eventually(ctx, "all nodes are online", online(f)); err != nil {
				return err
			}
			job := sleeper("sum", nomadish.JobTypeBatch, count)
			job.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0), Unlimited: nomadish.Ptr(false)}
			if _, err := c.Jobs().Register(ctx, &nomadish.JobRegisterRequest{Job: job}); err != nil {
				return err
			}
			return eventually(ctx, "all have ended, some of them badly", summary(c, "sum", func(g nomadish.TaskGroupSummary) bool {
				return g.Complete+g.Failed == count && g.Complete > 0 && g.Failed > 0
			}))
		})
	})
}

// A configuration that can't work is refused with all that is wrong with it.
func TestConfig(t *testing.T) {
	_, err := nodesim.New(nodesim.Config{Nodes: -1, Fail: 2, Pace: -1})
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, want := range []string{"servers", "nodes: -1", "fail: 2", "pace"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v says nothing of %q", err, want)
		}
	}
	_, err = nodesim.New(nodesim.Config{Servers: []string{"127.0.0.1:1"}, Nodes: 100_000})
	if err != nil && !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("%v does not say what mends it", err)
	}
}
