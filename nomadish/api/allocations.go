package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Allocations are the routes of allocations.
type Allocations struct{ c *Client }

// Allocations returns the routes of allocations.
func (c *Client) Allocations() Allocations { return Allocations{c} }

// List lists allocations, the oldest first. Query.Params may hold resources and
// task_states.
func (a Allocations) List(ctx context.Context, q *Query) ([]*nomadish.AllocationListStub, Meta, error) {
	return get[[]*nomadish.AllocationListStub](ctx, a.c, "/v1/allocations", q)
}

// Allocation reads an allocation with its job.
func (a Allocations) Allocation(ctx context.Context, allocID string, q *Query) (*nomadish.Allocation, Meta, error) {
	return get[*nomadish.Allocation](ctx, a.c, "/v1/allocation/"+id(allocID), q)
}

// Stop stops an allocation; the scheduler replaces it.
func (a Allocations) Stop(ctx context.Context, allocID string, noShutdownDelay bool) (*nomadish.AllocStopResponse, error) {
	params := url.Values{"no_shutdown_delay": {strconv.FormatBool(noShutdownDelay)}}
	return put[*nomadish.AllocStopResponse](ctx, a.c, "/v1/allocation/"+id(allocID)+"/stop", params, nil)
}

// Stats tells what an allocation uses.
func (a Allocations) Stats(ctx context.Context, allocID string, q *Query) (*nomadish.AllocResourceUsage, error) {
	out, _, err := get[*nomadish.AllocResourceUsage](ctx, a.c, "/v1/client/allocation/"+id(allocID)+"/stats", q)
	return out, err
}

// Signal sends a signal by its name to a task, or to all that run if task is empty.
func (a Allocations) Signal(ctx context.Context, allocID, task, signal string) error {
	req := &nomadish.AllocSignalRequest{Task: task, Signal: signal}
	_, err := a.c.do(ctx, call{method: http.MethodPut, path: "/v1/client/allocation/" + id(allocID) + "/signal", in: req})
	return err
}

// Restart restarts a task of an allocation, all that run, or all.
func (a Allocations) Restart(ctx context.Context, allocID string, req *nomadish.AllocRestartRequest) error {
	_, err := a.c.do(ctx, call{method: http.MethodPut, path: "/v1/client/allocation/" + id(allocID) + "/restart", in: req})
	return err
}

// CollectGarbage removes an ended allocation's directory from its node.
func (a Allocations) CollectGarbage(ctx context.Context, allocID string) error {
	_, err := a.c.do(ctx, call{method: http.MethodGet, path: "/v1/client/allocation/" + id(allocID) + "/gc"})
	return err
}

// Evaluations are the routes of evaluations.
type Evaluations struct{ c *Client }

// Evaluations returns the routes of evaluations.
func (c *Client) Evaluations() Evaluations { return Evaluations{c} }

// List lists evaluations, the oldest first.
func (e Evaluations) List(ctx context.Context, q *Query) ([]*nomadish.Evaluation, Meta, error) {
	return get[[]*nomadish.Evaluation](ctx, e.c, "/v1/evaluations", q)
}

// Count counts evaluations.
func (e Evaluations) Count(ctx context.Context, q *Query) (int, Meta, error) {
	out, meta, err := get[nomadish.EvaluationCount](ctx, e.c, "/v1/evaluations/count", q)
	return out.Count, meta, err
}

// Evaluation reads an evaluation.
func (e Evaluations) Evaluation(ctx context.Context, evalID string, q *Query) (*nomadish.Evaluation, Meta, error) {
	return get[*nomadish.Evaluation](ctx, e.c, "/v1/evaluation/"+id(evalID), q)
}

// Allocations lists the allocations that an evaluation placed.
func (e Evaluations) Allocations(ctx context.Context, evalID string, q *Query) ([]*nomadish.AllocationListStub, Meta, error) {
	return get[[]*nomadish.AllocationListStub](ctx, e.c, "/v1/evaluation/"+id(evalID)+"/allocations", q)
}

// Delete removes ended evaluations and says how many.
func (e Evaluations) Delete(ctx context.Context, req *nomadish.EvaluationDeleteRequest) (int, error) {
	var out struct{ Count int }
	_, err := e.c.do(ctx, call{
		method: http.MethodDelete, path: "/v1/evaluations", params: target(req.WriteRequest), in: req, out: &out,
	})
	return out.Count, err
}
