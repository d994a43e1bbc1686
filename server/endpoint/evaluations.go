package endpoint

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Evaluations lists the evaluations of a namespace by id.
func (e *Endpoint) Evaluations(ctx context.Context, ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Evaluation], uint64, error) {
	r := e.store.Reader()
	rows, err := r.EvaluationsByPrefix(ws, namespace, prefix)
	if err != nil {
		return nil, 0, err
	}
	rows = visibleRows(ctx, e, nomadish.PermReadJob, rows, func(e *nomadish.Evaluation) string { return e.Namespace })
	return rows, r.TableIndex(state.TableEvaluations), nil
}

// EvaluationsByJob lists a job's evaluations.
func (e *Endpoint) EvaluationsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string) (iter.Seq[*nomadish.Evaluation], uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	return r.EvaluationsByJob(ws, namespace, jobID), r.TableIndex(state.TableEvaluations), nil
}

// Evaluation returns an evaluation.
func (e *Endpoint) Evaluation(ctx context.Context, ws memdb.WatchSet, id string) (*nomadish.Evaluation, uint64, error) {
	r := e.store.Reader()
	eval, err := r.Evaluation(ws, id)
	if eval, err = found(eval, err, "eval not found"); err != nil {
		return nil, r.TableIndex(state.TableEvaluations), err
	}
	if err := e.may(ctx, nomadish.PermReadJob, eval.Namespace); err != nil {
		return nil, 0, err
	}
	return eval, eval.ModifyIndex, nil
}

// RelatedEvaluations returns the evaluations that an evaluation follows from or led to.
func (e *Endpoint) RelatedEvaluations(ctx context.Context, _ memdb.WatchSet, id string) ([]*nomadish.EvaluationStub, error) {
	r := e.store.Reader()
	eval, err := r.Evaluation(nil, id)
	if eval, err = found(eval, err, "eval not found"); err != nil {
		return nil, err
	}
	if err := e.may(ctx, nomadish.PermReadJob, eval.Namespace); err != nil {
		return nil, err
	}
	seen := map[string]bool{id: true}
	related := []*nomadish.EvaluationStub{}
	for todo := relatives(eval); len(todo) > 0; {
		next := todo[0]
		todo = todo[1:]
		if seen[next] {
			continue
		}
		seen[next] = true
		other, err := r.Evaluation(nil, next)
		if err != nil {
			continue // collected already
		}
		related = append(related, other.Stub())
		todo = append(todo, relatives(other)...)
	}
	return related, nil
}

func relatives(e *nomadish.Evaluation) []string {
	var ids []string
	for _, id := range []string{e.PreviousEval, e.NextEval, e.BlockedEval} {
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// maxDeletes bounds how many evaluations one request deletes.
const maxDeletes = 10_000

// DeleteEvaluations deletes ended evaluations by id.
func (e *Endpoint) DeleteEvaluations(ctx context.Context, req *nomadish.EvaluationDeleteRequest) (int, uint64, error) {
	if len(req.EvalIDs) > maxDeletes {
		return 0, 0, nomadish.Errorf(nomadish.KindInvalid, "EvalIDs: %d evaluations, at most %d are deleted at once", len(req.EvalIDs), maxDeletes)
	}
	r := e.store.Reader()
	if !r.SchedulerConfig(nil).PauseEvalBroker {
		return 0, 0, nomadish.Errorf(nomadish.KindConflict, "eval broker is enabled: pause it (PauseEvalBroker in the scheduler configuration) before evaluations are deleted")
	}
	for _, id := range req.EvalIDs {
		eval, err := r.Evaluation(nil, id)
		if eval, err = found(eval, err, "eval not found"); err != nil {
			return 0, 0, err
		}
		if !eval.Terminal() {
			return 0, 0, nomadish.Errorf(nomadish.KindInvalid, "eval %s is %s: only ended ones are deleted", eval.ID, eval.Status)
		}
	}
	_, index, err := propose[any](ctx, e, &fsm.DeleteEvaluations{EvalIDs: req.EvalIDs})
	return len(req.EvalIDs), index, err
}

// Deployments lists the deployments of a namespace by id.
func (e *Endpoint) Deployments(ctx context.Context, ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Deployment], uint64, error) {
	r := e.store.Reader()
	rows, err := r.DeploymentsByPrefix(ws, namespace, prefix)
	if err != nil {
		return nil, 0, err
	}
	rows = visibleRows(ctx, e, nomadish.PermReadJob, rows, func(d *nomadish.Deployment) string { return d.Namespace })
	return rows, r.TableIndex(state.TableDeployments), nil
}

// DeploymentsByJob lists a job's deployments.
func (e *Endpoint) DeploymentsByJob(ctx context.Context, ws memdb.WatchSet, namespace, jobID string, all bool) (iter.Seq[*nomadish.Deployment], uint64, error) {
	if err := e.may(ctx, nomadish.PermReadJob, namespace); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	rows := r.DeploymentsByJob(ws, namespace, jobID)
	if job, err := r.Job(ws, namespace, jobID); err == nil && !all {
		rows = where(rows, func(d *nomadish.Deployment) bool { return d.JobCreateIndex == nomadish.Val(job.CreateIndex) })
	}
	return rows, r.TableIndex(state.TableDeployments), nil
}
