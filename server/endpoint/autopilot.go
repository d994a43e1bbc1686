package endpoint

import (
	"context"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// AutopilotConfig returns the configuration of autopilot.
func (e *Endpoint) AutopilotConfig(_ context.Context, ws memdb.WatchSet) (*nomadish.AutopilotConfiguration, uint64, error) {
	r := e.store.Reader()
	c := r.Autopilot(ws)
	return c, max(c.ModifyIndex, r.TableIndex(state.TableAutopilot)), nil
}

// SetAutopilotConfig changes it, with cas only if it is unchanged since that index.
func (e *Endpoint) SetAutopilotConfig(ctx context.Context, c *nomadish.AutopilotConfiguration, cas *uint64) (bool, uint64, error) {
	if err := c.Validate(); err != nil {
		return false, 0, nomadish.Errorf(nomadish.KindInvalid, "autopilot configuration: %w", err)
	}
	set := *c
	command := &fsm.SetAutopilot{Config: &set}
	if cas != nil {
		command.EnforceIndex, set.ModifyIndex = true, *cas
	}
	_, index, err := propose[any](ctx, e, command)
	if err != nil && nomadish.KindOf(err) == nomadish.KindConflict {
		return false, e.store.Reader().Index(), nil
	}
	return err == nil, index, err
}
