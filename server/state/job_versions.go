package state

import (
	"slices"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// TrackedVersions is how many versions of a job are kept. Versions with a tag, and those
// that an allocation still refers to, are kept besides.
const TrackedVersions = 6

var jobVersions = jobVersionTable()

func jobVersionTable() *table[nomadish.Job] {
	t := newTable[nomadish.Job](1, TableJobVersions, func(j *nomadish.Job) ([]byte, error) {
		return versionKey(nomadish.Val(j.Namespace), nomadish.Val(j.ID), nomadish.Val(j.Version))
	})
	t.target = true
	return t
}

// JobVersion returns one version of a job.
func (r Reader) JobVersion(ws memdb.WatchSet, namespace, id string, version uint64) (*nomadish.Job, error) {
	key, err := versionKey(namespace, id, version)
	if err != nil {
		return nil, err
	}
	if j, ok := first(r, ws, jobVersions, key); ok {
		return j, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "job %q version %d: %w", id, version, nomadish.ErrNotFound)
}

// JobVersions returns the versions of a job, newest first; none is no error.
func (r Reader) JobVersions(ws memdb.WatchSet, namespace, id string) ([]*nomadish.Job, error) {
	key, err := nameKey(namespace, id)
	if err != nil {
		return nil, err
	}
	return slices.Collect(list(r, ws, jobVersions, indexID+withPrefix, key)), nil
}

// nextVersion is the number of the next version of a job. A job that was deleted goes on
// counting where allocations still run versions of it, so that no number means two things.
func (r Reader) nextVersion(namespace, id string) uint64 {
	versions, err := r.JobVersions(nil, namespace, id)
	if err != nil || len(versions) == 0 {
		return 0
	}
	return nomadish.Val(versions[0].Version) + 1
}

// SetJobStable says whether a version of a job has proved itself.
func (w *Writer) SetJobStable(namespace, id string, version uint64, stable bool) error {
	old, err := w.JobVersion(nil, namespace, id, version)
	if err != nil {
		return err
	}
	if nomadish.Val(old.Stable) == stable {
		return nil
	}
	j := *old
	j.Stable = nomadish.Ptr(stable)
	j.ModifyIndex = nomadish.Ptr(w.txn.meta.Index)
	return w.replaceVersion(&j)
}

// replaceVersion stores a changed version, also as the current one if it is that.
func (w *Writer) replaceVersion(j *nomadish.Job) error {
	current, err := w.Job(nil, nomadish.Val(j.Namespace), nomadish.Val(j.ID))
	if err == nil && nomadish.Val(current.Version) == nomadish.Val(j.Version) {
		return w.putCurrent(j)
	}
	return put(w.txn, jobVersions, j)
}

// pruneVersions deletes the versions of a job that nothing needs.
func (w *Writer) pruneVersions(c *jobChange) error {
	versions, err := w.JobVersions(nil, c.name.namespace, c.name.id)
	if err != nil {
		return err
	}
	_, err = w.Job(nil, c.name.namespace, c.name.id)
	exists := err == nil
	kept := 0
	for _, j := range versions {
		if exists && kept < TrackedVersions && j.VersionTag == nil {
			kept++
			continue
		}
		tagged := exists && j.VersionTag != nil
		if tagged || c.counts.Versions[nomadish.Val(j.Version)] > 0 {
			continue
		}
		if err := w.deleteVersion(j); err != nil {
			return err
		}
	}
	return nil
}

func (w *Writer) deleteVersion(j *nomadish.Job) error {
	key, err := jobVersions.key(j)
	if err != nil {
		return err
	}
	if err := remove(w.txn, jobVersions, key); err != nil {
		return err
	}
	return remove(w.txn, jobSubmissions, key)
}
