package fsm

import (
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// SetAutopilot stores the configuration of autopilot.
type SetAutopilot struct {
	Config       *nomadish.AutopilotConfiguration
	EnforceIndex bool // refuse unless the stored one's ModifyIndex is Config.ModifyIndex
}

// Kind implements Command.
func (*SetAutopilot) Kind() Kind { return KindSetAutopilot }

// Apply implements Command.
func (c *SetAutopilot) Apply(w *state.Writer) (any, error) {
	if c.Config == nil {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no autopilot configuration to set")
	}
	if at := w.Autopilot(nil).ModifyIndex; c.EnforceIndex && at != c.Config.ModifyIndex {
		return nil, nomadish.Errorf(nomadish.KindConflict, "autopilot configuration is at index %d, not %d", at, c.Config.ModifyIndex)
	}
	return nil, w.PutAutopilot(c.Config)
}
