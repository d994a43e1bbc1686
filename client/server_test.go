package client

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// fakeServer is the servers as a node sees them.
type fakeServer struct {
	mu      sync.Mutex
	index   uint64
	nodes   map[string]*nomadish.Node
	allocs  map[string]*nomadish.Allocation
	reports map[string]*nomadish.Allocation // the newest of each allocation
	beats   int
	down    bool
	signed  int      // identities of nodes
	addrs   []string // of servers, that nodes are told
	changed chan struct{}

	reported chan struct{}
}

func newFakeServer() *fakeServer {
	return &fakeServer{
		nodes: map[string]*nomadish.Node{}, allocs: map[string]*nomadish.Allocation{},
		reports: map[string]*nomadish.Allocation{}, changed: make(chan struct{}), reported: make(chan struct{}),
	}
}

var errCrashed = errors.New("crashed")

var errDown = errors.New("the servers are down")

// change changes the server and wakes who waits.
func (s *fakeServer) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	s.index++
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeServer) place(a *nomadish.Allocation) {
	s.change(func() {
		placed := *a
		placed.CreateIndex, placed.AllocModifyIndex = s.index+1, s.index+1
		s.allocs[a.ID] = &placed
	})
}

func (s *fakeServer) stop(id string) {
	s.change(func() {
		stopped := *s.allocs[id]
		stopped.DesiredStatus = nomadish.AllocDesiredStop
		stopped.AllocModifyIndex = s.index + 1
		s.allocs[id] = &stopped
	})
}

func (s *fakeServer) forget(id string) { s.change(func() { delete(s.allocs, id) }) }

func (s *fakeServer) Register(_ context.Context, n *nomadish.Node) (*nomadish.NodeLease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	s.nodes[n.ID] = n
	return &nomadish.NodeLease{HeartbeatTTL: time.Second, Servers: s.addrs}, nil
}

func (s *fakeServer) Heartbeat(_ context.Context, id, _ string) (*nomadish.NodeLease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	if s.nodes[id] == nil {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "node %s", id)
	}
	s.beats++
	return &nomadish.NodeLease{HeartbeatTTL: time.Second, Servers: s.addrs}, nil
}

func (s *fakeServer) Allocations(ctx context.Context, _ string, since uint64, count int) (*nomadish.NodeAllocations, error) {
	for {
		s.mu.Lock()
		answer, changed, down := s.answer(since, count), s.changed, s.down
		s.mu.Unlock()
		if down {
			return nil, errDown
		}
		if answer.Index > since {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-changed:
		}
	}
}

// answer tells what has changed since an earlier answer.
func (s *fakeServer) answer(since uint64, count int) *nomadish.NodeAllocations {
	out := &nomadish.NodeAllocations{Index: s.index, Since: since, Count: len(s.allocs)}
	ids := slices.Sorted(maps.Keys(s.allocs))
	remain := 0
	for _, id := range ids {
		a := *s.allocs[id]
		if a.CreateIndex <= since {
			remain++
		}
		if r := s.reports[id]; r != nil {
			a.ClientStatus = r.ClientStatus
		}
		switch {
		case a.AllocModifyIndex <= since:
		case a.ClientTerminal():
			out.Ended = append(out.Ended, id)
		default:
			out.Allocs = append(out.Allocs, &a)
		}
	}
	if since > 0 && remain != count {
		out.Listed = append([]string{}, ids...)
	}
	return out
}

func (s *fakeServer) UpdateAllocations(_ context.Context, _ string, allocs []*nomadish.Allocation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	for _, a := range allocs {
		s.reports[a.ID] = a
	}
	close(s.reported)
	s.reported = make(chan struct{})
	return nil
}

// SignIdentities signs with the names of what it is asked for.
func (s *fakeServer) SignNodeIdentity(context.Context, string) (*nomadish.SignedNodeIdentity, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signed++
	claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"jti":"%d","nomad_job_id":""}`, s.signed))
	return &nomadish.SignedNodeIdentity{JWT: nomadish.SecretText("h." + claims + ".s"), Expires: time.Now().Add(time.Hour).Unix()}, nil
}

func (s *fakeServer) SignIdentities(_ context.Context, _ string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	resp := &nomadish.IdentitiesResponse{}
	for _, want := range req.Identities {
		resp.Identities = append(resp.Identities, nomadish.SignedIdentity{JWT: nomadish.SecretText("signed-" + want.Task + "-" + want.Identity)})
	}
	return resp, nil
}

// await waits until an allocation's status is reported.
func (s *fakeServer) await(id, status string) {
	for {
		s.mu.Lock()
		r, reported := s.reports[id], s.reported
		s.mu.Unlock()
		if r != nil && r.ClientStatus == status {
			return
		}
		<-reported
	}
}

func (s *fakeServer) report(id string) *nomadish.Allocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[id]
}

// eventually waits until a condition holds, and fails the test when it never does.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never seen: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// newJob returns an admitted job of one group and the given tasks.
func newJob(kind string, tasks ...*nomadish.Task) *nomadish.Job {
	return &nomadish.Job{
		ID: nomadish.Ptr("web"), Name: nomadish.Ptr("web"), Namespace: nomadish.Ptr("default"),
		Type: nomadish.Ptr(kind), Version: nomadish.Ptr(uint64(0)),
		TaskGroups: []*nomadish.TaskGroup{{
			Name: nomadish.Ptr("g"), Tasks: tasks,
			RestartPolicy: &nomadish.RestartPolicy{
				Attempts: nomadish.Ptr(2), Interval: nomadish.Ptr(30 * time.Minute),
				Delay: nomadish.Ptr(10 * time.Millisecond), Mode: nomadish.Ptr("fail"),
			},
		}},
	}
}

func newTask(name string, config map[string]any) *nomadish.Task {
	return &nomadish.Task{Name: name, Driver: "world", Config: config}
}

func newAlloc(job *nomadish.Job) *nomadish.Allocation {
	a := &nomadish.Allocation{
		ID: nomadish.NewID(), Namespace: "default", Name: "web.g[0]", JobID: "web", TaskGroup: "g", Job: job,
		DesiredStatus: nomadish.AllocDesiredRun, ClientStatus: nomadish.AllocClientPending,
		AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{}},
	}
	for _, t := range job.TaskGroups[0].Tasks {
		a.AllocatedResources.Tasks[t.Name] = &nomadish.AllocatedTaskResources{
			Cpu: nomadish.AllocatedCpuResources{CpuShares: 100}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: 64},
		}
	}
	return a
}
