package state

import (
	"cmp"
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

var evaluations = evaluationTable()

func evaluationTable() *table[nomadish.Evaluation] {
	t := newTable[nomadish.Evaluation](7, TableEvaluations, func(e *nomadish.Evaluation) ([]byte, error) { return idKey(e.ID) })
	t.indexes = map[string]func(*nomadish.Evaluation) ([]byte, error){
		indexJob: func(e *nomadish.Evaluation) ([]byte, error) { return jobHash(e.Namespace, e.JobID), nil },
	}
	return t
}

// Evaluation returns an evaluation.
func (r Reader) Evaluation(ws memdb.WatchSet, id string) (*nomadish.Evaluation, error) {
	return byID(r, ws, evaluations, "eval", id)
}

// Evaluations lists all evaluations by ID.
func (r Reader) Evaluations(ws memdb.WatchSet) iter.Seq[*nomadish.Evaluation] {
	return list(r, ws, evaluations, indexID+withPrefix, nil)
}

// EvaluationsByNamespace lists the evaluations of a namespace, or with AnyNamespace of
// all, by ID.
func (r Reader) EvaluationsByNamespace(ws memdb.WatchSet, namespace string) iter.Seq[*nomadish.Evaluation] {
	return inNamespace(r.Evaluations(ws), namespace, func(e *nomadish.Evaluation) string { return e.Namespace })
}

// EvaluationsByPrefix lists the evaluations of a namespace, or with AnyNamespace of all,
// whose ID starts with prefix. An odd number of hex digits is ErrOddPrefix.
func (r Reader) EvaluationsByPrefix(ws memdb.WatchSet, namespace, prefix string) (iter.Seq[*nomadish.Evaluation], error) {
	seq, err := listByID(r, ws, evaluations, prefix)
	if err != nil {
		return nil, err
	}
	return inNamespace(seq, namespace, func(e *nomadish.Evaluation) string { return e.Namespace }), nil
}

// EvaluationsByJob lists the evaluations of a job by ID.
func (r Reader) EvaluationsByJob(ws memdb.WatchSet, namespace, id string) iter.Seq[*nomadish.Evaluation] {
	return list(r, ws, evaluations, indexJob, jobHash(namespace, id))
}

// PutEvaluation stores an evaluation.
func (w *Writer) PutEvaluation(eval *nomadish.Evaluation) error {
	e := *eval
	old := find(w.Reader, nil, evaluations, e.ID)
	var created uint64
	if old == nil {
		e.CreateTime = w.time
	} else {
		created = old.CreateIndex
		e.CreateTime = cmp.Or(old.CreateTime, w.time)
		if old.Namespace != e.Namespace || old.JobID != e.JobID {
			return nomadish.Errorf(nomadish.KindConflict, "eval %q can't change its job", e.ID)
		}
	}
	e.ModifyTime = w.time
	w.stamp(&e.CreateIndex, &e.ModifyIndex, created)
	if err := put(w.txn, evaluations, &e); err != nil {
		return err
	}
	c, err := w.jobChange(e.Namespace, e.JobID)
	if err != nil {
		return err
	}
	c.evaluation(old, &e)
	return nil
}

// DeleteEvaluation removes an evaluation that is Terminal; others stay. Deleting what is
// not there is no error.
func (w *Writer) DeleteEvaluation(id string) error {
	old := find(w.Reader, nil, evaluations, id)
	if old == nil || !old.Terminal() {
		return nil
	}
	key, err := idKey(id)
	if err != nil {
		return err
	}
	if err := remove(w.txn, evaluations, key); err != nil {
		return err
	}
	c, err := w.jobChange(old.Namespace, old.JobID)
	if err != nil {
		return err
	}
	c.evaluation(old, nil)
	return nil
}
