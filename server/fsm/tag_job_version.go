package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// TagJobVersion gives a version of a job a tag, or takes a tag away.
type TagJobVersion struct {
	Namespace string
	JobID     string
	Version   uint64                  // of the job; without meaning where the tag is taken away
	Tag       *nomadish.JobVersionTag // nil: take Untag away
	Untag     string
}

// Kind implements Command.
func (*TagJobVersion) Kind() Kind { return KindTagJobVersion }

// Apply implements Command.
func (c *TagJobVersion) Apply(w *state.Writer) (any, error) {
	if c.Tag == nil {
		return nil, w.UntagJobVersion(c.Namespace, c.JobID, c.Untag)
	}
	return nil, w.TagJobVersion(c.Namespace, c.JobID, c.Version, c.Tag)
}
