package endpoint_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

var inDefault = nomadish.WriteRequest{Namespace: "default"}

// Stopping makes a version and an evaluation; purging forgets the job; stopping what is not
// there is no error, and has what may be left of it looked after.
func TestDeregisterJob(t *testing.T) {
	for _, tt := range []struct {
		name    string
		known   bool
		purge   bool
		stopped bool // the job is there, and stopped
	}{
		{"known", true, false, true},
		{"purge", true, true, false},
		{"unknown", false, false, false},
		{"purge unknown", false, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			if tt.known {
				w.register(newJob("web"))
			}
			since := w.read().Index()
			resp, index, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{
				JobID: "web", Purge: tt.purge, EvalPriority: 80, WriteRequest: inDefault,
			})
			if err != nil {
				t.Fatal(err)
			}
			want := &nomadish.JobDeregisterResponse{EvalID: resp.EvalID, EvalCreateIndex: index, JobModifyIndex: index}
			if diff := cmp.Diff(want, resp); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"web job-deregister"}, w.newEvals(since)); diff != "" {
				t.Errorf("evaluations (-want +got):\n%s", diff)
			}
			if eval := w.eval(resp.EvalID); eval.Priority != 80 || eval.Namespace != "default" {
				t.Errorf("evaluation %+v", eval)
			}
			job, err := w.read().Job(nil, "default", "web")
			if stopped := err == nil && nomadish.Val(job.Stop); stopped != tt.stopped || (err == nil) != tt.stopped {
				t.Errorf("job %+v, %v", job, err)
			}
		})
	}
}

// Stopping without shutdown delays tells the allocations so.
func TestDeregisterWithoutDelay(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newJob("web"))
	id := w.place("web", 0, nomadish.AllocClientRunning)
	if _, _, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{JobID: "web", NoShutdownDelay: true, WriteRequest: inDefault}); err != nil {
		t.Fatal(err)
	}
	if !nomadish.Val(w.alloc(id).DesiredTransition.NoShutdownDelay) {
		t.Error("its allocation still waits")
	}
}

// A forced evaluation is one more; with ForceReschedule, failed allocations that nothing has
// replaced yet are to be.
func TestEvaluateJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	w.register(newJob("web"))
	failed, running := w.place("web", 0, nomadish.AllocClientFailed), w.place("web", 0, nomadish.AllocClientRunning)
	for _, force := range []bool{false, true} {
		resp, index, err := w.EvaluateJob(t.Context(), &nomadish.JobEvaluateRequest{
			JobID: "web", EvalOptions: nomadish.EvalOptions{ForceReschedule: force}, WriteRequest: inDefault,
		})
		if err != nil {
			t.Fatal(err)
		}
		eval := w.eval(resp.EvalID)
		if resp.EvalCreateIndex != index || eval.TriggeredBy != nomadish.EvalTriggerJobRegister || eval.JobModifyIndex != nomadish.Val(w.job("web").JobModifyIndex) {
			t.Errorf("force %t: %+v, %+v", force, resp, eval)
		}
		if got := nomadish.Val(w.alloc(failed).DesiredTransition.ForceReschedule); got != force {
			t.Errorf("force %t: the failed allocation is to be replaced: %t", force, got)
		}
	}
	if nomadish.Val(w.alloc(running).DesiredTransition.ForceReschedule) {
		t.Error("an allocation that runs is to be replaced")
	}
	_, _, err := w.EvaluateJob(t.Context(), &nomadish.JobEvaluateRequest{JobID: "nope", WriteRequest: inDefault})
	wantKind(t, err, nomadish.KindNotFound, "job not found")
}

// A stopped allocation is moved, by an evaluation of its job.
func TestStopAllocation(t *testing.T) {
	yes := nomadish.Ptr(true)
	for _, tt := range []struct {
		name string
		req  nomadish.AllocStopRequest
		want nomadish.DesiredTransition
	}{
		{"plain", nomadish.AllocStopRequest{}, nomadish.DesiredTransition{Migrate: yes}},
		{"reschedule", nomadish.AllocStopRequest{Reschedule: true}, nomadish.DesiredTransition{Migrate: yes, Reschedule: yes}},
		{"at once", nomadish.AllocStopRequest{NoShutdownDelay: true}, nomadish.DesiredTransition{Migrate: yes, NoShutdownDelay: yes}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			w.node(0)
			w.register(newJob("web"))
			tt.req.AllocID = w.place("web", 0, nomadish.AllocClientRunning)
			resp, index, err := w.StopAllocation(t.Context(), &tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if eval := w.eval(resp.EvalID); eval.TriggeredBy != nomadish.EvalTriggerAllocStop || eval.JobID != "web" || resp.Index != index {
				t.Errorf("%+v, %+v", resp, eval)
			}
			if diff := cmp.Diff(tt.want, w.alloc(tt.req.AllocID).DesiredTransition); diff != "" {
				t.Errorf("transition (-want +got):\n%s", diff)
			}
		})
	}
	w := newWorld(t, endpoint.Config{})
	_, _, err := w.StopAllocation(t.Context(), &nomadish.AllocStopRequest{AllocID: nomadish.NewID()})
	wantKind(t, err, nomadish.KindNotFound, "alloc not found")
}

// Of a job that was purged and registered anew, the allocations of the earlier one are shown
// only if all are asked for. While it is gone, what is left of it is shown.
func TestAllocationsOfAnEarlierJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	list := func(all bool) []string {
		rows, _, err := w.AllocationsByJob(t.Context(), nil, "default", "web", all)
		if err != nil {
			t.Fatal(err)
		}
		out := []string{}
		for a := range rows {
			out = append(out, a.ID)
		}
		return out
	}
	w.register(newJob("web"))
	old := w.place("web", 0, nomadish.AllocClientRunning)
	if _, _, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{JobID: "web", Purge: true, WriteRequest: inDefault}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{old}, list(false)); diff != "" {
		t.Errorf("while the job is gone (-want +got):\n%s", diff)
	}
	w.register(newJob("web"))
	current := w.place("web", 0, nomadish.AllocClientRunning)
	if diff := cmp.Diff([]string{current}, list(false)); diff != "" {
		t.Errorf("of the job (-want +got):\n%s", diff)
	}
	if got, want := list(true), []string{old, current}; len(got) != 2 || !slices.Contains(got, old) || !slices.Contains(got, current) {
		t.Errorf("all: got %q, want %q", got, want)
	}
	// A node that still has both learns the job version of each.
	answer, _, err := w.NodeAllocations(t.Context(), nil, nodeID(0), 0, 0)
	if err != nil || len(answer.Allocs) != 2 || len(answer.Jobs) != 2 || answer.Link() != nil {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// An old version that changes moves the index of the versions: who waits for it learns of it.
func TestJobVersionsIndex(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.register(newJob("web"))
	job := newJob("web")
	job.Priority = nomadish.Ptr(60)
	w.register(job)
	stable := w.apply(&fsm.StabilizeJob{Namespace: "default", JobID: "web", Version: 0, Stable: true})
	if _, index, err := w.JobVersions(t.Context(), nil, "default", "web"); err != nil || index != stable {
		t.Errorf("index %d, %v, want %d", index, err, stable)
	}
}

// Only ended evaluations are deleted, and only while the broker is paused: it could hold them.
func TestDeleteEvaluations(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	id := w.register(newJob("web")).EvalID
	remove := func(ids ...string) (int, error) {
		n, _, err := w.DeleteEvaluations(t.Context(), &nomadish.EvaluationDeleteRequest{EvalIDs: ids})
		return n, err
	}
	_, err := remove(id)
	wantKind(t, err, nomadish.KindConflict, "eval broker is enabled: pause it (PauseEvalBroker in the scheduler configuration) before evaluations are deleted")
	if _, _, err := w.SetSchedulerConfig(t.Context(), &nomadish.SchedulerConfiguration{PauseEvalBroker: true}, nil); err != nil {
		t.Fatal(err)
	}
	_, err = remove(id)
	wantKind(t, err, nomadish.KindInvalid, "eval "+id+" is pending: only ended ones are deleted")
	_, err = remove(nomadish.NewID())
	wantKind(t, err, nomadish.KindNotFound, "eval not found")
	_, err = remove(slices.Repeat([]string{id}, 10_001)...)
	wantKind(t, err, nomadish.KindInvalid, "EvalIDs: 10001 evaluations, at most 10000 are deleted at once")
	ended := *w.eval(id)
	ended.Status = nomadish.EvalStatusComplete
	w.apply(&fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{&ended}})
	if n, err := remove(id); n != 1 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if _, err := w.read().Evaluation(nil, id); err == nil {
		t.Error("it is still there")
	}
}

// Related evaluations are all that an evaluation follows from or led to, over several steps.
func TestRelatedEvaluations(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ids := []string{nomadish.NewID(), nomadish.NewID(), nomadish.NewID()}
	chain := []*nomadish.Evaluation{
		{ID: ids[0], NextEval: ids[1], BlockedEval: nomadish.NewID()}, // the blocked one is collected already
		{ID: ids[1], PreviousEval: ids[0], NextEval: ids[2]},
		{ID: ids[2], PreviousEval: ids[1]},
	}
	for _, e := range chain {
		e.Namespace, e.JobID, e.Status = "default", "web", nomadish.EvalStatusComplete
	}
	w.apply(&fsm.UpdateEvaluations{Evals: chain})
	related, err := w.RelatedEvaluations(t.Context(), nil, ids[0])
	if err != nil || len(related) != 2 || related[0].ID != ids[1] || related[1].ID != ids[2] {
		t.Errorf("got %+v, %v", related, err)
	}
	_, err = w.RelatedEvaluations(t.Context(), nil, nomadish.NewID())
	wantKind(t, err, nomadish.KindNotFound, "eval not found")
}

// The scheduler's configuration is set as a whole, with cas only over the one that was seen.
func TestSchedulerConfig(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	spread := &nomadish.SchedulerConfiguration{SchedulerAlgorithm: nomadish.SchedulerSpread}
	set := func(c *nomadish.SchedulerConfiguration, cas *uint64) bool {
		ok, _, err := w.SetSchedulerConfig(t.Context(), c, cas)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if set(spread, nomadish.Ptr[uint64](99)) {
		t.Error("set over another index")
	}
	if !set(spread, nil) {
		t.Error("not set without cas")
	}
	now, index, _ := w.SchedulerConfig(t.Context(), nil)
	if now.SchedulerAlgorithm != nomadish.SchedulerSpread || index != now.ModifyIndex {
		t.Errorf("got %+v at %d", now, index)
	}
	if !set(&nomadish.SchedulerConfiguration{}, &now.ModifyIndex) {
		t.Error("not set over the index that was seen")
	}
	if now, _, _ = w.SchedulerConfig(t.Context(), nil); now.SchedulerAlgorithm != nomadish.SchedulerBinpack {
		t.Errorf("without an algorithm: got %q, want binpack", now.SchedulerAlgorithm)
	}
	_, _, err := w.SetSchedulerConfig(t.Context(), &nomadish.SchedulerConfiguration{SchedulerAlgorithm: "dice"}, nil)
	wantKind(t, err, nomadish.KindInvalid, "invalid scheduler algorithm: dice")
}
