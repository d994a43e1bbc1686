package fsm_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// The same log gives the same state and the same answers: entry by entry, in batches, and
// over a snapshot at any place. After every entry the state is consistent.
func TestReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := drawLog(t)
		one, batches, over := newFSM(t), newFSM(t), newFSM(t)

		var answers, batchAnswers []any
		seen := map[string]*nomadish.Allocation{}
		for _, l := range logs {
			answers = append(answers, one.Apply(l))
			checkState(t, one.Store().Reader(), seen)
		}
		for rest := logs; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "batch")
			batchAnswers = append(batchAnswers, batches.ApplyBatch(rest[:n])...)
			rest = rest[n:]
		}
		cut := rapid.IntRange(0, len(logs)).Draw(t, "snapshot after")
		for _, l := range logs[:cut] {
			over.Apply(l)
		}
		over = restored(t, over.Store().Reader())
		for _, l := range logs[cut:] {
			over.Apply(l)
		}

		want := one.Store().Reader()
		for name, f := range map[string]*fsm.FSM{"batches": batches, "over a snapshot": over} {
			got := f.Store().Reader()
			if got.Hash() != want.Hash() {
				t.Errorf("%s: hash %s, want %s", name, got.Hash(), want.Hash())
			}
			if !bytes.Equal(snapshot(t, got), snapshot(t, want)) {
				t.Errorf("%s: the state differs", name)
			}
			checkState(t, got, nil)
		}
		if diff := cmp.Diff(texts(answers), texts(batchAnswers)); diff != "" {
			t.Errorf("answers differ (-one by one +batches):\n%s", diff)
		}
		if got := restored(t, want).Store().Reader().Hash(); got != want.Hash() {
			t.Errorf("restored: hash %s, want %s", got, want.Hash())
		}
	})
}

func newFSM(t rapid.TB) *fsm.FSM {
	return fsm.New(state.New(), fsm.Config{OnFatal: func(err error) { t.Errorf("the state machine has stopped: %v", err) }})
}

func snapshot(t rapid.TB, r state.Reader) []byte {
	var b bytes.Buffer
	if err := r.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func restored(t rapid.TB, r state.Reader) *fsm.FSM {
	f := newFSM(t)
	if err := f.Store().Restore(bytes.NewReader(snapshot(t, r))); err != nil {
		t.Fatal(err)
	}
	return f
}

// texts makes answers comparable.
func texts(answers []any) []string {
	var list []string
	for _, a := range answers {
		r := a.(fsm.Result)
		text := ""
		if r.Err != nil {
			text = r.Err.Error()
		}
		list = append(list, text+cmp.Diff(nil, r.Value))
	}
	return list
}

// checkState checks what holds at every index. seen holds the allocations of the index
// before, if the caller wants to check how they change.
func checkState(t rapid.TB, r state.Reader, seen map[string]*nomadish.Allocation) {
	t.Helper()
	now := map[string]*nomadish.Allocation{}
	for a := range r.Allocations(nil) {
		now[a.ID] = a
		checkAllocation(t, r, a, seen[a.ID])
	}
	for job := range r.Jobs(nil, state.AnyNamespace) {
		checkJob(t, r, job)
	}
	if max := r.TableIndex(state.TableAllocations, state.TableJobs, state.TableNodes); max > r.Index() {
		t.Errorf("a table changed at index %d, the state is at %d", max, r.Index())
	}
	if seen != nil {
		clear(seen)
		maps.Copy(seen, now)
	}
}

func checkAllocation(t rapid.TB, r state.Reader, a, before *nomadish.Allocation) {
	t.Helper()
	if _, err := r.JobVersion(nil, a.Namespace, a.JobID, a.JobVersion); err != nil {
		t.Errorf("alloc %s: its job version is gone: %v", a.ID, err)
	}
	onNode := slices.Collect(r.AllocationsByNode(nil, a.NodeID))
	ofJob := slices.Collect(r.AllocationsByJob(nil, a.Namespace, a.JobID))
	if !slices.Contains(onNode, a) || !slices.Contains(ofJob, a) {
		t.Errorf("alloc %s is missing in an index", a.ID)
	}
	if a.CreateIndex > a.AllocModifyIndex || a.AllocModifyIndex > a.ModifyIndex || a.ModifyIndex > r.Index() {
		t.Errorf("alloc %s: indexes %d, %d, %d at %d", a.ID, a.CreateIndex, a.AllocModifyIndex, a.ModifyIndex, r.Index())
	}
	if before == nil || before.CreateIndex != a.CreateIndex {
		return
	}
	if a.ModifyIndex < before.ModifyIndex || a.ModifyTime < before.ModifyTime {
		t.Errorf("alloc %s: index or time went back", a.ID)
	}
	if before.ClientTerminal() && !a.ClientTerminal() || before.ServerTerminal() && !a.ServerTerminal() {
		t.Errorf("alloc %s has ended, and now it is %s, %s", a.ID, a.DesiredStatus, a.ClientStatus)
	}
}

func checkJob(t rapid.TB, r state.Reader, job *nomadish.Job) {
	t.Helper()
	version, err := r.JobVersion(nil, *job.Namespace, *job.ID, *job.Version)
	if err != nil || version != job {
		t.Errorf("job %s: its current version is another one (error %v)", *job.ID, err)
	}
	var count nomadish.TaskGroupSummary
	referred := map[uint64]bool{}
	live, open, some := 0, 0, 0
	for a := range r.AllocationsByJob(nil, *job.Namespace, *job.ID) {
		some++
		referred[a.JobVersion] = true
		if !a.Terminal() {
			live++
		}
		add(&count, a.ClientStatus)
	}
	for e := range r.EvaluationsByJob(nil, *job.Namespace, *job.ID) {
		some++
		if !e.Terminal() {
			open++
		}
	}
	checkSummary(t, r, job, count)
	checkStatus(t, job, live, open, some)
	versions, err := r.JobVersions(nil, *job.Namespace, *job.ID)
	if err != nil || len(versions) > state.TrackedVersions+len(referred) {
		t.Errorf("job %s has %d versions (error %v)", *job.ID, len(versions), err)
	}
}

func add(count *nomadish.TaskGroupSummary, status string) {
	switch status {
	case "pending":
		count.Starting++
	case "running":
		count.Running++
	case "complete":
		count.Complete++
	case "failed":
		count.Failed++
	case "lost":
		count.Lost++
	case "unknown":
		count.Unknown++
	}
}

// checkSummary compares a summary with what can be counted; what has ended and is gone
// still counts in it.
func checkSummary(t rapid.TB, r state.Reader, job *nomadish.Job, count nomadish.TaskGroupSummary) {
	t.Helper()
	s, err := r.JobSummary(nil, *job.Namespace, *job.ID)
	if err != nil {
		t.Errorf("job %s: %v", *job.ID, err)
		return
	}
	got := s.Summary["group"]
	if got.Starting != count.Starting || got.Running != count.Running || got.Unknown != count.Unknown ||
		got.Complete < count.Complete || got.Failed < count.Failed || got.Lost < count.Lost {
		t.Errorf("job %s: summary %+v, counted %+v", *job.ID, got, count)
	}
}

func checkStatus(t rapid.TB, job *nomadish.Job, live, open, some int) {
	t.Helper()
	want := nomadish.JobStatusPending
	switch {
	case live > 0:
		want = nomadish.JobStatusRunning
	case open > 0:
	case *job.Stop || some > 0:
		want = nomadish.JobStatusDead
	case *job.Status == nomadish.JobStatusDead:
		want = nomadish.JobStatusDead // nothing of it is left
	}
	if *job.Status != want {
		t.Errorf("job %s is %s with %d live allocations, %d open evaluations, %d rows; want %s", *job.ID, *job.Status, live, open, some, want)
	}
}
