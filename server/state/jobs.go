package state

import (
	"iter"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// jobRef is how the current version of a job is encoded: the version itself is a row of
// its own, so it is stored once.
type jobRef struct {
	Namespace string
	ID        string
	Version   uint64
}

// jobs holds the current version of each job: the same value as its row in jobVersions.
var jobs = &table[nomadish.Job]{
	name:   TableJobs,
	number: 2,
	key:    func(j *nomadish.Job) ([]byte, error) { return nameKey(nomadish.Val(j.Namespace), nomadish.Val(j.ID)) },
	encode: func(b []byte, j *nomadish.Job) []byte {
		ref := jobRef{Namespace: nomadish.Val(j.Namespace), ID: nomadish.Val(j.ID), Version: nomadish.Val(j.Version)}
		return ref.AppendCodec(b)
	},
	decode: func(r Reader, b []byte) (*nomadish.Job, error) {
		var ref jobRef
		if err := codec.UnmarshalTrusted(b, &ref); err != nil {
			return nil, err
		}
		return r.JobVersion(nil, ref.Namespace, ref.ID, ref.Version)
	},
}

// Job returns the current version of a job, or an error that is nomadish.ErrNotFound.
func (r Reader) Job(ws memdb.WatchSet, namespace, id string) (*nomadish.Job, error) {
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	if j, ok := first(r, ws, jobs, key); ok {
		return j, nil
	}
	return nil, missing("job", id)
}

// Jobs lists the jobs of a namespace, or with AnyNamespace of all, by namespace and ID.
func (r Reader) Jobs(ws memdb.WatchSet, namespace string) iter.Seq[*nomadish.Job] {
	return r.JobsByPrefix(ws, namespace, "")
}

// JobsByPrefix lists the jobs whose ID starts with prefix.
func (r Reader) JobsByPrefix(ws memdb.WatchSet, namespace, prefix string) iter.Seq[*nomadish.Job] {
	return listNamed(r, ws, jobs, namespace, prefix, func(j *nomadish.Job) string { return nomadish.Val(j.ID) })
}

// NextJob returns what PutJob would make of a job's specification if it were stored at an
// index: the version that is current then, and whether it is new. It writes nothing.
func (r Reader) NextJob(job *nomadish.Job, index uint64) (current *nomadish.Job, changed bool, err error) {
	namespace, id := nomadish.Val(job.Namespace), nomadish.Val(job.ID)
	if id == "" {
		return nil, false, nomadish.Errorf(nomadish.KindInvalid, "a job needs an ID")
	}
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, false, err
	}
	old, exists := first(r, nil, jobs, key)
	if exists && sameSpecification(old, job) {
		return old, false, nil
	}
	j := *job
	j.Version, j.CreateIndex = nomadish.Ptr(r.nextVersion(namespace, id)), nomadish.Ptr(index)
	j.ModifyIndex, j.JobModifyIndex = nomadish.Ptr(index), nomadish.Ptr(index)
	j.Status, j.StatusDescription = nomadish.Ptr(nomadish.JobStatusPending), nomadish.Ptr("")
	j.Stable, j.VersionTag = nomadish.Ptr(false), nil
	if exists {
		j.CreateIndex, j.Status = old.CreateIndex, old.Status
	}
	return &j, true, nil
}

// PutJob stores a job's specification: as the first version of a new job, or as the next
// version of one that differs. An unchanged specification keeps its version. It returns
// the version that is current now, and whether it is new.
func (w *Writer) PutJob(job *nomadish.Job) (current *nomadish.Job, changed bool, err error) {
	j, changed, err := w.NextJob(job, w.txn.meta.Index)
	if err != nil || !changed {
		return j, false, err
	}
	if err := w.putCurrent(j); err != nil {
		return nil, false, err
	}
	c, err := w.jobChange(nomadish.Val(j.Namespace), nomadish.Val(j.ID))
	if err != nil {
		return nil, false, err
	}
	c.fresh, c.prune = true, true
	return j, true, w.openSummary(c, j)
}

// putCurrent stores a job as the current version.
func (w *Writer) putCurrent(j *nomadish.Job) error {
	if err := put(w.txn, jobVersions, j); err != nil {
		return err
	}
	return put(w.txn, jobs, j)
}

// DeleteJob removes a job with its summary, source texts and scaling events. Versions that allocations
// still run stay until those are gone. Deleting what is not there is no error.
func (w *Writer) DeleteJob(namespace, id string) error {
	key, err := nameKey(namespace, id)
	if err != nil {
		return err
	}
	old, exists := first(w.Reader, nil, jobs, key)
	if !exists {
		return nil
	}
	c, err := w.jobChange(namespace, id)
	if err != nil {
		return err
	}
	if err := w.countChild(old, nomadish.Val(old.Status), ""); err != nil {
		return err
	}
	c.summary, c.summaryChanged, c.prune = nil, false, true
	if err := remove(w.txn, jobs, key); err != nil {
		return err
	}
	if err := remove(w.txn, jobSummaries, key); err != nil {
		return err
	}
	if err := remove(w.txn, scalingEvents, key); err != nil {
		return err
	}
	for _, s := range collect(list(w.Reader, nil, jobSubmissions, indexID+withPrefix, key)) {
		if err := w.deleteSubmission(s); err != nil {
			return err
		}
	}
	return nil
}

// sameSpecification says that two jobs differ in nothing that a user decides.
func sameSpecification(a, b *nomadish.Job) bool {
	return string(specification(a)) == string(specification(b))
}

// specification encodes what of a job a user decides.
func specification(j *nomadish.Job) []byte {
	spec := *j
	spec.Status, spec.StatusDescription, spec.Stable = nil, nil, nil
	spec.Version, spec.SubmitTime, spec.VersionTag = nil, nil, nil
	spec.CreateIndex, spec.ModifyIndex, spec.JobModifyIndex = nil, nil, nil
	spec.NomadTokenID = nil
	if !nomadish.Val(spec.Stop) {
		spec.Stop = nil
	}
	return codec.Marshal(&spec)
}
