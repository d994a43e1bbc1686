package state

import (
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// submission is the text that a job version was made of.
type submission struct {
	Namespace  string
	JobID      string
	Version    uint64
	Submission *nomadish.JobSubmission
}

var jobSubmissions = newTable[submission](4, TableJobSubmissions, func(s *submission) ([]byte, error) {
	return versionKey(s.Namespace, s.JobID, s.Version)
})

// JobSubmission returns the text that a job version was made of.
func (r Reader) JobSubmission(ws memdb.WatchSet, namespace, id string, version uint64) (*nomadish.JobSubmission, error) {
	key, err := versionKey(namespace, id, version)
	if err != nil {
		return nil, err
	}
	if s, ok := first(r, ws, jobSubmissions, key); ok {
		return s.Submission, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "source of job %q version %d: %w", id, version, nomadish.ErrNotFound)
}

// PutJobSubmission stores the text that a job version was made of.
func (w *Writer) PutJobSubmission(namespace, id string, version uint64, s *nomadish.JobSubmission) error {
	j, err := w.JobVersion(nil, namespace, id, version)
	if err != nil {
		return err
	}
	text := *s
	text.JobIndex = nomadish.Val(j.JobModifyIndex)
	return put(w.txn, jobSubmissions, &submission{Namespace: namespace, JobID: id, Version: version, Submission: &text})
}

func (w *Writer) deleteSubmission(s *submission) error {
	key, err := jobSubmissions.key(s)
	if err != nil {
		return err
	}
	return remove(w.txn, jobSubmissions, key)
}
