package client

import (
	"slices"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// What is not to run on without servers ends when they are away for so long, and nothing else does.
// They learn of it once they are back.
func TestAbandonedAllocationEnds(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	bounded, free := newAlloc(newJob("service", newTask("t", nil))), newAlloc(newJob("service", newTask("t", nil)))
	bounded.Job.TaskGroups[0].Disconnect = &nomadish.DisconnectStrategy{StopOnClientAfter: nomadish.Ptr(1500 * time.Millisecond)}
	server.place(bounded)
	server.place(free)
	eventually(t, "both run", func() bool { return len(w.running()) == 2 })
	eventually(t, "the servers know", statusIs(server, bounded.ID, nomadish.AllocClientRunning))
	server.change(func() { server.down = true })
	eventually(t, "one has ended", func() bool { return len(w.running()) == 1 })
	server.change(func() { server.down = false })
	eventually(t, "the servers know of it", statusIs(server, bounded.ID, nomadish.AllocClientComplete))
	if got := server.report(free.ID).ClientStatus; got != nomadish.AllocClientRunning {
		t.Errorf("the other allocation is %s, want running", got)
	}
}

// An allocation that the servers call unknown is told of again.
func TestUnknownIsToldAgain(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("service", newTask("t", nil)))
	server.place(a)
	eventually(t, "the servers know", statusIs(server, a.ID, nomadish.AllocClientRunning))
	server.change(func() {
		unknown := *server.allocs[a.ID]
		unknown.ClientStatus, unknown.AllocModifyIndex = nomadish.AllocClientUnknown, server.index+1
		server.allocs[a.ID] = &unknown
		delete(server.reports, a.ID)
	})
	eventually(t, "it is told again", func() bool {
		r := server.report(a.ID)
		return r != nil && r.ClientStatus == nomadish.AllocClientRunning
	})
}

// What happens while the servers are away is told in the order in which it happened, and once: the
// newest state of each allocation.
func TestReportsWaitForServers(t *testing.T) {
	w, server := newWorld(), newFakeServer()
	start(t, testConfig(t.TempDir(), w), server, nil)
	a := newAlloc(newJob("batch", newTask("t", nil)))
	server.place(a)
	eventually(t, "the servers know", statusIs(server, a.ID, nomadish.AllocClientRunning))
	server.change(func() { server.down = true })
	for _, id := range w.running() {
		w.kill(id, drivers.Exit{})
	}
	eventually(t, "it has ended", func() bool { return len(w.running()) == 0 })
	server.change(func() { server.down = false })
	eventually(t, "the end is told", statusIs(server, a.ID, nomadish.AllocClientComplete))
}

// The servers that a node was told of are known to the next agent.
func TestServersAreRemembered(t *testing.T) {
	dir, server := t.TempDir(), newFakeServer()
	server.addrs = []string{"10.0.0.1:4647", "10.0.0.2:4647"}
	told := make(chan *nomadish.NodeLease, 64)
	cfg := testConfig(dir, newWorld())
	cfg.Leased = func(l *nomadish.NodeLease) { told <- l }
	c := start(t, cfg, server, nil)
	if lease := <-told; !slices.Equal(lease.Servers, server.addrs) {
		t.Errorf("told of %v, want %v", lease.Servers, server.addrs)
	}
	c.stop()
	next, err := New(testConfig(dir, newWorld()), server)
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Servers(); !slices.Equal(got, server.addrs) {
		t.Errorf("after a restart the servers are %v, want %v", got, server.addrs)
	}
}

// A node has its identity signed when it is registered, and again when it is asked to.
func TestNodeIdentity(t *testing.T) {
	server := newFakeServer()
	c := start(t, testConfig(t.TempDir(), newWorld()), server, nil)
	says := func(id string) func() bool {
		return func() bool {
			identity, err := c.Identity(t.Context())
			return err == nil && len(identity.Claims) == 1 && identity.Claims["jti"] == id
		}
	}
	eventually(t, "the node has an identity", says("1"))
	if err := c.RenewIdentity(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has a new one", says("2"))
}
