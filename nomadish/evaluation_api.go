package nomadish

import "time"

// EvaluationStub is an evaluation in the list of its relatives.
type EvaluationStub struct {
	ID                string
	Priority          int
	Type              string
	TriggeredBy       string
	Namespace         string
	JobID             string
	NodeID            string
	DeploymentID      string
	Status            string
	StatusDescription string
	WaitUntil         time.Time
	NextEval          string
	PreviousEval      string
	BlockedEval       string
	CreateIndex       uint64
	ModifyIndex       uint64
	CreateTime        int64 // nanoseconds since 1970
	ModifyTime        int64 // nanoseconds since 1970
}

// Stub returns the evaluation as lists of relatives show it.
func (e *Evaluation) Stub() *EvaluationStub {
	return &EvaluationStub{
		ID:                e.ID,
		Priority:          e.Priority,
		Type:              e.Type,
		TriggeredBy:       e.TriggeredBy,
		Namespace:         e.Namespace,
		JobID:             e.JobID,
		NodeID:            e.NodeID,
		DeploymentID:      e.DeploymentID,
		Status:            e.Status,
		StatusDescription: e.StatusDescription,
		WaitUntil:         e.WaitUntil,
		NextEval:          e.NextEval,
		PreviousEval:      e.PreviousEval,
		BlockedEval:       e.BlockedEval,
		CreateIndex:       e.CreateIndex,
		ModifyIndex:       e.ModifyIndex,
		CreateTime:        e.CreateTime,
		ModifyTime:        e.ModifyTime,
	}
}

// EvaluationDeleteRequest asks to remove ended evaluations by id, or by filter.
type EvaluationDeleteRequest struct {
	EvalIDs []string
	Filter  string
	WriteRequest
}

// EvaluationCount is how many evaluations a filter matches.
type EvaluationCount struct {
	Count int
	QueryMeta
}
