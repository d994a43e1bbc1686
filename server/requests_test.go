package server_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/servertest"
)

// A write that is made again under its request ID, as after an election, happens once: the second answer is
// the first one's, by whichever leader, and also where the first has removed what it was about.
func TestRepeatedWrites(t *testing.T) {
	attempts := []struct {
		name string
		do   func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error)
	}{
		{"register", func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error) {
			return e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob("web", 1)})
		}},
		{"register unless it is there", func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error) {
			return e.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob("once", 1), EnforceIndex: true})
		}},
		{"scale", func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error) {
			return e.ScaleJob(ctx, "web", &nomadish.ScalingRequest{
				WriteRequest: nomadish.WriteRequest{Namespace: nomadish.DefaultNamespace}, Count: nomadish.Ptr(int64(2)), Target: map[string]string{"Group": "g"},
			})
		}},
		{"purge", func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error) {
			return e.DeregisterJob(ctx, &nomadish.JobDeregisterRequest{
				WriteRequest: nomadish.WriteRequest{Namespace: nomadish.DefaultNamespace}, JobID: "web", Purge: true,
			})
		}},
		{"stop what is not there", func(ctx context.Context, e *endpoint.Endpoint) (any, uint64, error) {
			resp, _, err := e.DeregisterJob(ctx, &nomadish.JobDeregisterRequest{
				WriteRequest: nomadish.WriteRequest{Namespace: nomadish.DefaultNamespace}, JobID: "none",
			})
			if err != nil {
				return nil, 0, err
			}
			return resp.EvalID, 0, nil
		}},
	}
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 5)
		for _, a := range attempts {
			try := func() (answer any, index uint64) {
				servertest.Eventually(t, a.name, func() (err error) { // a leader may be losing the lead just then
					answer, index, err = a.do(nomadish.WithRequestID(t.Context(), a.name), c.awaitLeader(t, nil).now.Load().Endpoint())
					return err
				})
				return answer, index
			}
			first, index := try()
			old := c.awaitLeader(t, nil)
			if err := old.now.Load().Consensus().TransferLeadership(t.Context(), ""); err != nil {
				t.Fatal(err)
			}
			c.awaitLeader(t, old)
			again, indexAgain := try()
			if diff := cmp.Diff(first, again); diff != "" || index != indexAgain {
				t.Errorf("%s: index %d, then %d; answers (-first +again):\n%s", a.name, index, indexAgain, diff)
			}
		}
	})
}
