package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// SetSchedulerConfig stores the scheduler configuration.
type SetSchedulerConfig struct {
	Config       *nomadish.SchedulerConfiguration
	EnforceIndex bool // refuse unless the stored one's ModifyIndex is Config.ModifyIndex
}

// Kind implements Command.
func (*SetSchedulerConfig) Kind() Kind { return KindSetSchedulerConfig }

// Apply implements Command.
func (c *SetSchedulerConfig) Apply(w *state.Writer) (any, error) {
	if c.Config == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no scheduler configuration to set")
	}
	if at := w.SchedulerConfig(nil).ModifyIndex; c.EnforceIndex && at != c.Config.ModifyIndex {
		return nil, nomadish.Errorf(nomadish.KindConflict, "scheduler configuration is at index %d, not %d", at, c.Config.ModifyIndex)
	}
	return nil, w.PutSchedulerConfig(c.Config)
}
