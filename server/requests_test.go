package server_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
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
			try := func() (any, uint64) {
				answer, index, err := a.do(nomadish.WithRequestID(t.Context(), a.name), c.awaitLeader(t, nil).now.Load().Endpoint())
				if err != nil {
					t.Fatalf("%s: %v", a.name, err)
				}
				return answer, index
			}
			first, index := try()
			leader := c.awaitLeader(t, nil)
			if err := errors.Join(leader.now.Load().Consensus().TransferLeadership(t.Context(), "")); err != nil {
				t.Fatal(err)
			}
			again, indexAgain := try()
			if diff := cmp.Diff(first, again); diff != "" || index != indexAgain {
				t.Errorf("%s: index %d, then %d; answers (-first +again):\n%s", a.name, index, indexAgain, diff)
			}
		}
	})
}
