package state

import (
	"errors"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// MaxTaggedVersions is how many versions of a job may have tags.
const MaxTaggedVersions = 32

// TaggedVersion returns the version of a job that has a tag.
func (r Reader) TaggedVersion(ws memdb.WatchSet, namespace, id, tag string) (*nomadish.Job, error) {
	versions, err := r.JobVersions(ws, namespace, id)
	if err != nil {
		return nil, err
	}
	for _, j := range versions {
		if j.VersionTag != nil && j.VersionTag.Name == tag {
			return j, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "tag %q not found for job %q: %w", tag, id, nomadish.ErrNotFound)
}

// TagJobVersion gives a version of a job a tag in place of the one that it may have. A tag
// names one version.
func (w *Writer) TagJobVersion(namespace, id string, version uint64, tag *nomadish.JobVersionTag) error {
	old, err := w.JobVersion(nil, namespace, id, version)
	if err != nil {
		return err
	}
	other, err := w.TaggedVersion(nil, namespace, id, tag.Name)
	switch {
	case err == nil && nomadish.Val(other.Version) != version:
		return nomadish.Errorf(nomadish.KindInvalid, "tag %q already exists on a different version of job %q", tag.Name, id)
	case err != nil && !errors.Is(err, nomadish.ErrNotFound):
		return err
	}
	if n, err := w.taggedVersions(namespace, id); err != nil {
		return err
	} else if old.VersionTag == nil && n >= MaxTaggedVersions {
		return nomadish.Errorf(nomadish.KindLimited, "job %q has %d tagged versions, which is the limit", id, n)
	}
	return w.setVersionTag(old, tag)
}

func (w *Writer) taggedVersions(namespace, id string) (int, error) {
	versions, err := w.JobVersions(nil, namespace, id)
	n := 0
	for _, j := range versions {
		if j.VersionTag != nil {
			n++
		}
	}
	return n, err
}

// UntagJobVersion removes a tag. The version goes when nothing else keeps it.
func (w *Writer) UntagJobVersion(namespace, id, tag string) error {
	old, err := w.TaggedVersion(nil, namespace, id, tag)
	if err != nil {
		return err
	}
	c, err := w.jobChange(namespace, id)
	if err != nil {
		return err
	}
	c.prune = true
	return w.setVersionTag(old, nil)
}

func (w *Writer) setVersionTag(old *nomadish.Job, tag *nomadish.JobVersionTag) error {
	j := *old
	j.VersionTag = tag
	j.ModifyIndex = nomadish.Ptr(w.txn.meta.Index)
	return w.replaceVersion(&j)
}
