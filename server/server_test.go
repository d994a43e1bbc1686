package server_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/servertest"
)

func newJob(id string, count int) *nomadish.Job {
	return &nomadish.Job{
		ID: &id, TaskGroups: []*nomadish.TaskGroup{{
			Name: nomadish.Ptr("g"), Count: &count,
			Networks: []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http"}}}},
			Tasks: []*nomadish.Task{{
				Name: "t", Driver: "mock", Resources: &nomadish.Resources{CPU: nomadish.Ptr(10), MemoryMB: nomadish.Ptr(taskMemory)},
			}},
		}},
	}
}

// Whichever server is asked: after Sync it knows what any server has acknowledged before.
func TestEveryServerReadsWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		leader := c.awaitLeader(t, nil).now.Load()
		for i := range 20 {
			resp, _, err := leader.Endpoint().RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web", i)})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range c.members {
				s := m.now.Load()
				if err := s.Sync(t.Context()); err != nil {
					t.Fatalf("%s: %v", m.id, err)
				}
				job, _, err := s.Endpoint().Job(t.Context(), nil, "default", "web")
				if err != nil || nomadish.Val(job.JobModifyIndex) != resp.JobModifyIndex {
					t.Errorf("%s: index %d, %v, want %d", m.id, nomadish.Val(job.JobModifyIndex), err, resp.JobModifyIndex)
				}
			}
		}
	})
}

// Without a leader nobody answers a read that has to be up to date, and nobody writes.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		leader := c.awaitLeader(t, nil)
		var follower *member
		for _, m := range c.members {
			if m != leader {
				follower = m
			}
		}
		_, _, err := follower.now.Load().Endpoint().RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: newJob("web", 1)})
		if nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Errorf("a follower's write: %v, want KindNoLeader", err)
		}
		for _, m := range c.members {
			if m != follower {
				c.kill(t, m)
			}
		}
		if err := follower.now.Load().Sync(t.Context()); nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Errorf("a read: %v, want KindNoLeader", err)
		}
	})
}

// A node that falls silent is down once its lease is over, and its work goes on elsewhere.
func TestSilentNodeIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		c.awaitLeader(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		silent, silence := context.WithCancel(ctx)
		defer cancel()
		f := &failover{t: t, cluster: c, counts: map[string][]int{"web": {3}}}
		var fakes sync.WaitGroup
		fakes.Go(func() { f.node(silent, 0) })
		if !f.attempt(ctx, func(ctx context.Context, e *endpoint.Endpoint) error {
			_, _, err := e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob("web", 3)})
			return err
		}) {
			t.Fatal("the job is not registered")
		}
		f.awaitPlaced("on the first node")
		fakes.Go(func() { f.node(ctx, 1) })
		silence()
		time.Sleep(time.Minute)
		f.awaitPlaced("on the second node")
		for a := range c.leader().now.Load().Store().Reader().AllocationsByNode(nil, newNode(0).ID) {
			if a.ClientStatus != nomadish.AllocClientLost || a.NextAllocation == "" {
				t.Errorf("%s on the silent node is %s, followed by %q", a.Name, a.ClientStatus, a.NextAllocation)
			}
		}
		leader := c.leader().now.Load()
		if s := leader.Evals().Stats(); s.Lost != 3 || s.Replaced != 3 {
			t.Errorf("counted are %d lost and %d replaced allocations, want 3 of each", s.Lost, s.Replaced)
		}
		if s := leader.Liveness(); !s.Leads || s.Active != 1 {
			t.Errorf("figures of nodes are %+v, want one that has a lease", s)
		}
		gone := endpoint.Eviction{Cause: nomadish.NodeGoneLease, Status: nomadish.NodeStatusDown}
		if n := leader.Endpoint().Evictions().Gone[gone]; n != 1 {
			t.Errorf("%d nodes are down for their leases, want 1", n)
		}
		cancel()
		fakes.Wait()
	})
}

// A server that was opened and never run gives its data back.
func TestCloseWithoutRun(t *testing.T) {
	disk, dir := vfs.NewMem(), t.TempDir()
	for range 2 {
		s, err := server.New(server.Config{ID: "s1", Dir: dir, FS: disk, Bootstrap: []string{"s1"}}, servertest.NewNetwork(nil, 0).Listen("s1"))
		if err != nil {
			t.Fatal(err)
		}
		if known, _ := s.Contact(); known {
			t.Error("it knows a leader before it runs")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := server.New(server.Config{Dir: dir, FS: disk}, servertest.NewNetwork(nil, 0).Listen("s1")); err == nil {
		t.Error("a server without an ID was opened")
	}
}
