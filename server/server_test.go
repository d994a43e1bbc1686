package server_test

import (
	"testing"
	"testing/synctest"

	"github.com/nomadish/nomadish/nomadish"
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
