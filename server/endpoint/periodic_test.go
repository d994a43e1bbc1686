package endpoint_test

import (
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// Forcing a periodic job makes a job for this time and its evaluation.
func TestForcePeriodicJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	force := func(id string) (*nomadish.PeriodicForceResponse, error) {
		resp, _, err := w.ForcePeriodicJob(t.Context(), &nomadish.PeriodicForceRequest{JobID: id, WriteRequest: inDefault})
		return resp, err
	}
	_, err := force("nightly")
	wantKind(t, err, nomadish.KindNotFound, "job not found")
	job := newBatch("nightly")
	job.Periodic = &nomadish.PeriodicConfig{Specs: []string{"0 3 * * *"}}
	w.register(job)
	w.register(newBatch("once"))
	_, err = force("once")
	wantKind(t, err, nomadish.KindInvalid, "can't force launch non-periodic job")
	resp, err := force("nightly")
	if err != nil {
		t.Fatal(err)
	}
	child := w.job("nightly/periodic-1700000000")
	if eval := w.eval(resp.EvalID); eval.JobID != *child.ID || eval.TriggeredBy != nomadish.EvalTriggerPeriodicJob || nomadish.Val(child.ParentID) != "nightly" {
		t.Errorf("evaluation %+v of a child of %q", eval, nomadish.Val(child.ParentID))
	}
	if summary, err := w.read().JobSummary(nil, "default", "nightly"); err != nil || summary.Children == nil || summary.Children.Pending != 1 {
		t.Errorf("summary %+v, %v", summary, err)
	}
}
