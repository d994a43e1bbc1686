package httpapi

import (
	"context"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// Autopilot reads and sets what is wanted of the servers.
type Autopilot interface {
	AutopilotConfig(ctx context.Context, ws memdb.WatchSet) (*nomadish.AutopilotConfiguration, uint64, error)
	// SetAutopilotConfig changes it, with cas only if it is unchanged since that index.
	SetAutopilotConfig(ctx context.Context, c *nomadish.AutopilotConfiguration, cas *uint64) (updated bool, index uint64, err error)
}

func (a *API) autopilotConfig(r *Request) (any, error) {
	return one(r, a.back.Server.Autopilot.AutopilotConfig)
}

// setAutopilotConfig keeps what the body leaves out as it is by default.
func (a *API) setAutopilotConfig(r *Request) (any, error) {
	config := nomadish.DefaultAutopilot()
	if err := r.Decode(config); err != nil {
		return nil, err
	}
	cas, err := r.cas()
	if err != nil {
		return nil, err
	}
	updated, index, err := a.back.Server.Autopilot.SetAutopilotConfig(r.Context(), config, cas)
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return updated, nil
}

// cas is the index at which something has to be for a change of it to be made; nil: at any.
func (r *Request) cas() (*uint64, error) {
	if !r.values.Has("cas") {
		return nil, nil
	}
	n, err := r.Int("cas", 0)
	if err != nil || n < 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of cas: must be an index", r.Value("cas"))
	}
	return nomadish.Ptr(uint64(n)), nil
}
