package state_test

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

var start = time.Unix(1_700_000_000, 0)

// id is a UUID that starts with n.
func id(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

// write runs one command.
func write(t testing.TB, s *state.Store, index uint64, command func(w *state.Writer) error) {
	t.Helper()
	txn := s.Begin()
	w, err := txn.Writer(index, start.Add(time.Duration(index)*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := command(w); err != nil {
		txn.Abort()
		t.Fatalf("command at index %d: %v", index, err)
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
}

func job(namespace, id string, count int) *nomadish.Job {
	return &nomadish.Job{
		Namespace: &namespace, ID: &id, Type: nomadish.Ptr("service"),
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("group"), Count: &count}},
	}
}

func putJob(j *nomadish.Job) func(w *state.Writer) error {
	return func(w *state.Writer) error {
		_, _, err := w.PutJob(j)
		return err
	}
}

// withAllocs returns a store with a node, a job "web" of version 0 and n allocations.
func withAllocs(t testing.TB, n int) *state.Store {
	t.Helper()
	s := state.New()
	write(t, s, 1, func(w *state.Writer) error {
		if err := w.PutNode(&nomadish.Node{ID: id(1), Name: "node"}); err != nil {
			return err
		}
		return putJob(job("default", "web", n))(w)
	})
	write(t, s, 2, func(w *state.Writer) error {
		for i := range n {
			if err := w.PlaceAllocation(alloc(i)); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

func alloc(n int) *nomadish.Allocation {
	return &nomadish.Allocation{ID: id(n), Namespace: "default", JobID: "web", TaskGroup: "group", NodeID: id(1), EvalID: id(100)}
}

func names[T any](seq iter.Seq[T], name func(T) string) []string {
	var list []string
	for v := range seq {
		list = append(list, name(v))
	}
	return list
}

func allocName(a *nomadish.Allocation) string { return a.ID[:8] }

// A changed specification makes a version, an unchanged one does not; six are kept, and
// those with a tag or with allocations besides.
func TestJobVersions(t *testing.T) {
	s := withAllocs(t, 1) // runs version 0
	for i := range uint64(10) {
		write(t, s, 10+i, putJob(job("default", "web", int(100+i))))
	}
	write(t, s, 30, putJob(job("default", "web", 109)))
	r := s.Reader()
	versions, err := r.JobVersions(nil, "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for _, j := range versions {
		got = append(got, *j.Version)
	}
	if want := []uint64{10, 9, 8, 7, 6, 5, 0}; !slices.Equal(got, want) {
		t.Errorf("versions %d, want %d", got, want)
	}
	current, err := r.Job(nil, "default", "web")
	if err != nil || *current.JobModifyIndex != 19 || *current.CreateIndex != 1 {
		t.Errorf("current job is of index %d, made at %d (error %v); want 19 and 1", *current.JobModifyIndex, *current.CreateIndex, err)
	}
	write(t, s, 31, func(w *state.Writer) error {
		if err := w.ChangeAllocation(id(0), func(a *nomadish.Allocation) { a.DesiredStatus = "stop" }); err != nil {
			return err
		}
		return w.DeleteAllocation(id(0))
	})
	if _, err := s.Reader().JobVersion(nil, "default", "web", 0); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("version 0 after its last allocation: error %v, want not found", err)
	}
}

// A job is gone when it is deleted, but the versions that run are not, and their numbers
// are not given again.
func TestDeleteJob(t *testing.T) {
	s := withAllocs(t, 2)
	write(t, s, 3, func(w *state.Writer) error {
		return w.PutJobSubmission("default", "web", 0, &nomadish.JobSubmission{Source: "job {}"})
	})
	write(t, s, 4, func(w *state.Writer) error { return w.DeleteJob("default", "web") })
	r := s.Reader()
	if _, err := r.Job(nil, "default", "web"); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("job: error %v, want not found", err)
	}
	if _, err := r.JobSummary(nil, "default", "web"); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("summary: error %v, want not found", err)
	}
	if _, err := r.JobSubmission(nil, "default", "web", 0); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("source: error %v, want not found", err)
	}
	if _, err := r.JobVersion(nil, "default", "web", 0); err != nil {
		t.Errorf("version 0 runs and should be there: %v", err)
	}
	write(t, s, 5, putJob(job("default", "web", 1)))
	again, err := s.Reader().Job(nil, "default", "web")
	if err != nil || *again.Version != 1 || *again.CreateIndex != 5 {
		t.Errorf("registered again: version %d of index %d (error %v), want 1 and 5", *again.Version, *again.CreateIndex, err)
	}
	summary, err := s.Reader().JobSummary(nil, "default", "web")
	if err != nil || summary.Summary["group"].Starting != 2 {
		t.Errorf("registered again: summary %+v (error %v), want 2 starting", summary, err)
	}
}

// A job's state and summary follow its allocations and evaluations in the same command.
func TestJobStatus(t *testing.T) {
	s := state.New()
	eval := &nomadish.Evaluation{ID: id(100), Namespace: "default", JobID: "web", Status: "pending"}
	put := func(status string, queued int) func(w *state.Writer) error {
		return func(w *state.Writer) error {
			e := *eval
			e.Status, e.QueuedAllocations = status, map[string]int{"group": queued}
			return w.PutEvaluation(&e)
		}
	}
	report := func(status string) func(w *state.Writer) error {
		return func(w *state.Writer) error {
			return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(0), ClientStatus: status})
		}
	}
	for i, step := range []struct {
		name    string
		command func(w *state.Writer) error
		status  string
		summary nomadish.TaskGroupSummary
	}{
		{"registered", putJob(job("default", "web", 1)), "pending", nomadish.TaskGroupSummary{}},
		{"evaluated", put("pending", 0), "pending", nomadish.TaskGroupSummary{}},
		{"blocked", put("blocked", 1), "pending", nomadish.TaskGroupSummary{Queued: 1}},
		{"placed", func(w *state.Writer) error {
			if err := w.PutNode(&nomadish.Node{ID: id(1)}); err != nil {
				return err
			}
			if err := put("complete", 0)(w); err != nil {
				return err
			}
			return w.PlaceAllocation(alloc(0))
		}, "running", nomadish.TaskGroupSummary{Starting: 1}},
		{"running", report("running"), "running", nomadish.TaskGroupSummary{Running: 1}},
		{"unknown", report("unknown"), "running", nomadish.TaskGroupSummary{Unknown: 1}},
		{"failed", report("failed"), "dead", nomadish.TaskGroupSummary{Failed: 1}},
		{"late report", report("running"), "dead", nomadish.TaskGroupSummary{Failed: 1}},
		{"evaluated again", put("pending", 0), "pending", nomadish.TaskGroupSummary{Failed: 1}},
		{"collected", func(w *state.Writer) error {
			if err := put("canceled", 0)(w); err != nil {
				return err
			}
			if err := w.DeleteAllocation(id(0)); err != nil {
				return err
			}
			return w.DeleteEvaluation(id(100))
		}, "dead", nomadish.TaskGroupSummary{Failed: 1}},
	} {
		write(t, s, uint64(i+1), step.command)
		r := s.Reader()
		j, err := r.Job(nil, "default", "web")
		if err != nil || *j.Status != step.status {
			t.Errorf("%s: status %s (error %v), want %s", step.name, *j.Status, err, step.status)
		}
		summary, err := r.JobSummary(nil, "default", "web")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.summary, summary.Summary["group"]); diff != "" {
			t.Errorf("%s: summary (-want +got):\n%s", step.name, diff)
		}
	}
}

// A parent counts its children by state.
func TestChildren(t *testing.T) {
	s := state.New()
	parent := job("default", "cron", 1)
	parent.Periodic = &nomadish.PeriodicConfig{}
	child := job("default", "cron/1", 1)
	child.ParentID = nomadish.Ptr("cron")
	for i, step := range []struct {
		name    string
		command func(w *state.Writer) error
		want    nomadish.JobChildrenSummary
	}{
		{"parent", putJob(parent), nomadish.JobChildrenSummary{}},
		{"child", putJob(child), nomadish.JobChildrenSummary{Pending: 1}},
		{"child stopped", func(w *state.Writer) error {
			stopped := *child
			stopped.Stop = nomadish.Ptr(true)
			return putJob(&stopped)(w)
		}, nomadish.JobChildrenSummary{Dead: 1}},
		{"child deleted", func(w *state.Writer) error { return w.DeleteJob("default", "cron/1") }, nomadish.JobChildrenSummary{}},
	} {
		write(t, s, uint64(i+1), step.command)
		summary, err := s.Reader().JobSummary(nil, "default", "cron")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&step.want, summary.Children); diff != "" {
			t.Errorf("%s: children (-want +got):\n%s", step.name, diff)
		}
		if j, err := s.Reader().Job(nil, "default", "cron"); err != nil || *j.Status != "running" {
			t.Errorf("%s: parent is %s (error %v), want running", step.name, *j.Status, err)
		}
	}
}

// Lists are sorted and cut by namespace and prefix.
func TestLists(t *testing.T) {
	s := withAllocs(t, 3)
	write(t, s, 5, func(w *state.Writer) error {
		for _, j := range []*nomadish.Job{job("other", "web", 1), job("default", "api", 1), job("default", "we", 1)} {
			if err := putJob(j)(w); err != nil {
				return err
			}
		}
		return nil
	})
	r := s.Reader()
	jobName := func(j *nomadish.Job) string { return *j.Namespace + "/" + *j.ID }
	prefixed, err := r.AllocationsByPrefix(nil, "*", "00000001-00")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"jobs", names(r.Jobs(nil, "default"), jobName), []string{"default/api", "default/we", "default/web"}},
		{"all jobs", names(r.Jobs(nil, "*"), jobName), []string{"default/api", "default/we", "default/web", "other/web"}},
		{"jobs by prefix", names(r.JobsByPrefix(nil, "default", "we"), jobName), []string{"default/we", "default/web"}},
		{"all jobs by prefix", names(r.JobsByPrefix(nil, "*", "web"), jobName), []string{"default/web", "other/web"}},
		{"no such namespace", names(r.Jobs(nil, "def"), jobName), nil},
		{"allocations", names(r.Allocations(nil), allocName), []string{"00000000", "00000001", "00000002"}},
		{"of a node", names(r.AllocationsByNode(nil, id(1)), allocName), []string{"00000000", "00000001", "00000002"}},
		{"of another node", names(r.AllocationsByNode(nil, id(2)), allocName), nil},
		{"of an evaluation", names(r.AllocationsByEval(nil, id(100)), allocName), []string{"00000000", "00000001", "00000002"}},
		{"of a namespace", names(r.AllocationsByNamespace(nil, "other"), allocName), nil},
		{"by prefix", names(prefixed, allocName), []string{"00000001"}},
		{"node pools", names(r.NodePools(nil), func(p *nomadish.NodePool) string { return p.Name }), []string{"all", "default"}},
		{"node pools by prefix", names(r.NodePoolsByPrefix(nil, "d"), func(p *nomadish.NodePool) string { return p.Name }), []string{"default"}},
		{"namespaces", names(r.Namespaces(nil), func(n *nomadish.Namespace) string { return n.Name }), []string{"default"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// A prefix of a UUID has whole bytes; clients match the message.
func TestPrefixErrors(t *testing.T) {
	r := state.New().Reader()
	_, err := r.NodesByPrefix(nil, "abc")
	if !errors.Is(err, state.ErrOddPrefix) || err.Error() != "Input (without hyphens) must be even length" {
		t.Errorf("odd prefix: error %v", err)
	}
	for _, prefix := range []string{"zz", id(1) + "00"} {
		if _, err := r.NodesByPrefix(nil, prefix); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("prefix %q: error %v, want an invalid one", prefix, err)
		}
	}
	if _, err := r.Node(nil, "no uuid"); !errors.Is(err, nomadish.ErrNotFound) {
		t.Errorf("node with an odd name: error %v, want not found", err)
	}
}

// What a node says changes nothing that the servers decide, nor other nodes' allocations.
func TestUpdateAllocation(t *testing.T) {
	s := withAllocs(t, 1)
	said := &nomadish.Allocation{
		ID: id(0), ClientStatus: "running", DesiredStatus: "stop", JobID: "other", NodeID: id(9),
		TaskStates:       map[string]*nomadish.TaskState{"task": {Events: events(25)}},
		DeploymentStatus: &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(true), Canary: true},
	}
	write(t, s, 7, func(w *state.Writer) error { return w.UpdateAllocation(id(9), said) })
	if a, err := s.Reader().Allocation(nil, id(0)); err != nil || a.ModifyIndex != 2 {
		t.Errorf("said by another node: index %d (error %v), want 2", a.ModifyIndex, err)
	}
	write(t, s, 8, func(w *state.Writer) error { return w.UpdateAllocation(id(1), said) })
	got, err := s.Reader().Allocation(nil, id(0))
	if err != nil {
		t.Fatal(err)
	}
	want := alloc(0)
	want.NodeName, want.DesiredStatus, want.ClientStatus = "node", "run", "running"
	want.DeploymentStatus = &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(true), ModifyIndex: 8}
	want.TaskStates = map[string]*nomadish.TaskState{"task": {Events: events(25)[15:]}}
	want.CreateIndex, want.AllocModifyIndex, want.ModifyIndex = 2, 2, 8
	want.CreateTime, want.ModifyTime = start.Add(2*time.Second).UnixNano(), start.Add(8*time.Second).UnixNano()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func events(n int) []*nomadish.TaskEvent {
	var list []*nomadish.TaskEvent
	for i := range n {
		list = append(list, &nomadish.TaskEvent{Time: int64(i)})
	}
	return list
}

// A Reader may be used by many goroutines, while commands write.
func TestReaderIsShared(t *testing.T) {
	s := withAllocs(t, 50)
	r := s.Reader()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				ws := memdb.NewWatchSet()
				if n := len(names(r.AllocationsByJob(ws, "default", "web"), allocName)); n != 50 {
					t.Errorf("%d allocations, want 50", n)
				}
				if a, err := r.Allocation(ws, id(7)); err != nil || a.ClientStatus != "pending" {
					t.Errorf("allocation %+v (error %v)", a, err)
				}
			}
		})
	}
	for i := range uint64(20) {
		write(t, s, 3+i, func(w *state.Writer) error {
			return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(7), ClientStatus: "running"})
		})
	}
	wg.Wait()
}
