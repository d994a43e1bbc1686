package endpoint_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

func (w *world) scale(count *int64, change ...func(*nomadish.ScalingRequest)) (*nomadish.JobRegisterResponse, error) {
	req := &nomadish.ScalingRequest{Count: count, Target: map[string]string{"Group": "g"}, Message: "because", WriteRequest: inDefault}
	for _, f := range change {
		f(req)
	}
	resp, _, err := w.ScaleJob(w.t.Context(), "web", req)
	return resp, err
}

func (w *world) scaleStatus() *nomadish.JobScaleStatus {
	w.t.Helper()
	status, _, err := w.ScaleStatus(w.t.Context(), nil, "default", "web")
	if err != nil {
		w.t.Fatal(err)
	}
	return status
}

// Scaling sets the count, which makes a version and an evaluation, and is noted. Without a
// count it is a note.
func TestScaleJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(1)
	w.register(newJob("web"))
	w.place("web", 1, nomadish.AllocClientRunning)
	resp, err := w.scale(nomadish.Ptr(int64(5)), func(r *nomadish.ScalingRequest) { r.Meta = map[string]any{"by": "me"} })
	if err != nil {
		t.Fatal(err)
	}
	if eval := w.eval(resp.EvalID); w.version("web") != 1 || nomadish.Val(w.job("web").TaskGroups[0].Count) != 5 ||
		eval.TriggeredBy != nomadish.EvalTriggerScaling || resp.JobModifyIndex != nomadish.Val(w.job("web").JobModifyIndex) {
		t.Errorf("version %d, %+v, %+v", w.version("web"), resp, eval)
	}
	note, err := w.scale(nil, func(r *nomadish.ScalingRequest) { r.Error = true })
	if err != nil || note.EvalID != "" || note.JobModifyIndex != resp.JobModifyIndex || w.version("web") != 1 {
		t.Errorf("a note: %+v, %v, version %d", note, err, w.version("web"))
	}
	got := w.scaleStatus().TaskGroups["g"]
	events := got.Events
	got.Events = nil
	if diff := cmp.Diff(&nomadish.TaskGroupScaleStatus{Desired: 5, Placed: 1, Running: 1}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if len(events) != 2 || !events[0].Error || events[0].Count != nil || events[0].PreviousCount != 5 ||
		nomadish.Val(events[1].Count) != 5 || events[1].PreviousCount != 1 || nomadish.Val(events[1].EvalID) != resp.EvalID ||
		events[1].Message != "because" || events[1].Meta["by"] != "me" || events[1].Time != epoch.UnixNano() {
		t.Errorf("events %s", shown(t, events))
	}
}

// Of each group the newest events are kept, and all go with the job.
func TestScalingEventsAreBounded(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.register(newJob("web"))
	for i := range nomadish.MaxScalingEvents + 5 {
		if _, err := w.scale(nil, func(r *nomadish.ScalingRequest) { r.Message = fmt.Sprint(i) }); err != nil {
			t.Fatal(err)
		}
	}
	events := w.scaleStatus().TaskGroups["g"].Events
	if len(events) != nomadish.MaxScalingEvents || events[0].Message != "24" {
		t.Errorf("%d events, the newest %q", len(events), events[0].Message)
	}
	if _, _, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{JobID: "web", Purge: true, WriteRequest: inDefault}); err != nil {
		t.Fatal(err)
	}
	w.register(newJob("web"))
	if events := w.scaleStatus().TaskGroups["g"].Events; len(events) != 0 {
		t.Errorf("%d events of the job before", len(events))
	}
}

// What can't be scaled so is refused, with Nomad's words where it has some.
func TestScaleRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		count  int64
		change func(*nomadish.ScalingRequest)
		kind   nomadish.Kind
		want   string
	}{
		{"another group", 1, func(r *nomadish.ScalingRequest) { r.Target["Group"] = "x" }, nomadish.KindInvalid, `task group "x" specified for scaling does not exist in job`},
		{"below zero", -1, nil, nomadish.KindInvalid, "scaling action count can't be negative"},
		{"below the policy", 1, nil, nomadish.KindInvalid, "group count was less than scaling policy minimum: 1 < 2"},
		{"above the policy", 9, nil, nomadish.KindInvalid, "group count was greater than scaling policy maximum: 9 > 8"},
		{"error with a count", 3, func(r *nomadish.ScalingRequest) { r.Error = true }, nomadish.KindInvalid, "scaling action should not contain count if error is true"},
		{"changed since", 3, func(r *nomadish.ScalingRequest) { r.JobModifyIndex = 99 }, nomadish.KindConflict, "Enforcing job modify index 99: job exists with conflicting job modify index: 2"},
		{"long message", 3, func(r *nomadish.ScalingRequest) { r.Message = string(make([]byte, 1025)) }, nomadish.KindInvalid, "Message has 1025 bytes, more than the limit of 1024"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			job := newJob("web")
			job.TaskGroups[0].Count = nomadish.Ptr(2)
			job.TaskGroups[0].Scaling = &nomadish.ScalingPolicy{Min: nomadish.Ptr(int64(2)), Max: nomadish.Ptr(int64(8))}
			w.register(job)
			if tt.change == nil {
				tt.change = func(*nomadish.ScalingRequest) {}
			}
			_, err := w.scale(&tt.count, tt.change)
			wantKind(t, err, tt.kind, tt.want)
			if got := nomadish.Val(w.job("web").TaskGroups[0].Count); got != 2 {
				t.Errorf("count %d", got)
			}
		})
	}
}

// Scaling policies are those of the groups of jobs that are not stopped, each with an id that
// versions of the job share.
func TestScalingPolicies(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newJob("web")
	job.TaskGroups[0].Scaling = &nomadish.ScalingPolicy{Max: nomadish.Ptr(int64(8))}
	w.register(job)
	w.register(newJob("plain"))
	list := func(job, kind string) []*nomadish.ScalingPolicyStub {
		t.Helper()
		all, _, err := w.ScalingPolicies(t.Context(), nil, "default", job, kind)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := list("", "")
	if len(all) != 1 || all[0].Target["Job"] != "web" || !all[0].Enabled || all[0].CreateIndex == 0 {
		t.Fatalf("got %s", shown(t, all))
	}
	if len(list("plain", "")) != 0 || len(list("web", "vertical")) != 0 || len(list("web", "horizontal")) != 1 {
		t.Error("the job's name or the type does not count")
	}
	policy, _, err := w.ScalingPolicy(t.Context(), nil, "default", all[0].ID)
	if err != nil || nomadish.Val(policy.Max) != 8 || policy.Namespace != "default" {
		t.Errorf("got %s, %v", shown(t, policy), err)
	}
	_, _, err = w.ScalingPolicy(t.Context(), nil, "default", "x")
	wantKind(t, err, nomadish.KindNotFound, "scaling policy not found")
	if _, _, err := w.DeregisterJob(t.Context(), &nomadish.JobDeregisterRequest{JobID: "web", WriteRequest: inDefault}); err != nil {
		t.Fatal(err)
	}
	if len(list("", "")) != 0 {
		t.Error("a stopped job has a policy")
	}
}
