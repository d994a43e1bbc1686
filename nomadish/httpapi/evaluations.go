package httpapi

import (
	"context"
	"iter"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// evaluationOrder is that of the making of evaluations.
var evaluationOrder = order[*nomadish.Evaluation]{
	at:      func(e *nomadish.Evaluation) position { return position{e.CreateIndex, e.ID} },
	byIndex: true,
}

func (a *API) evaluations(r *Request) (any, error) {
	read, err := a.readEvaluations(r)
	if err != nil {
		return nil, err
	}
	return list(r, evaluationOrder, read)
}

func (a *API) countEvaluations(r *Request) (any, error) {
	read, err := a.readEvaluations(r)
	if err != nil {
		return nil, err
	}
	if err := checkIDPrefix(r.Query.Prefix); err != nil {
		return nil, err
	}
	match, err := filter[*nomadish.Evaluation](r.Query.Filter)
	if err != nil {
		return nil, err
	}
	n, err := Blocking(r, func(ctx context.Context, ws memdb.WatchSet) (int, uint64, error) {
		rows, index, err := read(ctx, ws)
		if err != nil {
			return 0, index, err
		}
		n := 0
		for row := range rows {
			ok := true
			if match != nil {
				if ok, err = match(row); err != nil {
					return 0, index, err
				}
			}
			if ok {
				n++
			}
		}
		return n, index, nil
	})
	if err != nil {
		return nil, err
	}
	return &nomadish.EvaluationCount{Count: n, QueryMeta: r.meta()}, nil
}

// readEvaluations makes the read of a list that ?job and ?status may narrow.
func (a *API) readEvaluations(r *Request) (func(context.Context, memdb.WatchSet) (iter.Seq[*nomadish.Evaluation], uint64, error), error) {
	job, status := r.Value("job"), r.Value("status")
	if r.Query.Filter != "" && (job != "" || status != "") {
		return nil, errFilterAlone
	}
	return func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.Evaluation], uint64, error) {
		rows, index, err := a.back.Server.Evaluations.Evaluations(ctx, ws, r.Query.Namespace, r.Query.Prefix)
		if err != nil || (job == "" && status == "") {
			return rows, index, err
		}
		return func(yield func(*nomadish.Evaluation) bool) {
			for e := range rows {
				if (job == "" || e.JobID == job) && (status == "" || e.Status == status) && !yield(e) {
					return
				}
			}
		}, index, nil
	}, nil
}

// relatedEvaluation is an evaluation with its relatives.
type relatedEvaluation struct {
	nomadish.Evaluation
	RelatedEvals []*nomadish.EvaluationStub
}

func (a *API) evaluation(r *Request) (any, error) {
	related, err := r.Bool("related")
	if err != nil {
		return nil, err
	}
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*relatedEvaluation, uint64, error) {
		e, index, err := a.back.Server.Evaluations.Evaluation(ctx, ws, r.Param("id"))
		if err != nil {
			return nil, index, err
		}
		answer := &relatedEvaluation{Evaluation: *e}
		if related {
			answer.RelatedEvals, err = a.back.Server.Evaluations.RelatedEvaluations(ctx, ws, e.ID)
		}
		return answer, index, err
	})
}

func (a *API) evaluationAllocations(r *Request) (any, error) {
	return list(r, allocationOrder, func(ctx context.Context, ws memdb.WatchSet) (iter.Seq[*nomadish.AllocationListStub], uint64, error) {
		return a.back.Server.Allocations.AllocationsByEvaluation(ctx, ws, r.Param("id"))
	})
}

func (a *API) deleteEvaluations(r *Request) (any, error) {
	req := &nomadish.EvaluationDeleteRequest{}
	if err := r.DecodeOptional(req); err != nil {
		return nil, err
	}
	if req.Filter == "" {
		req.Filter = r.Query.Filter
	}
	switch {
	case len(req.EvalIDs) == 0 && req.Filter == "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "evals must be deleted by either ID or filter")
	case len(req.EvalIDs) > 0 && req.Filter != "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "evals cannot be deleted by both ID and filter")
	}
	if _, err := filter[*nomadish.Evaluation](req.Filter); err != nil {
		return nil, err
	}
	a.writeTarget(r, &req.WriteRequest)
	n, index, err := a.back.Server.Evaluations.DeleteEvaluations(r.Context(), req)
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return struct{ Count int }{n}, nil
}
