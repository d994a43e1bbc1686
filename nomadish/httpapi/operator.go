package httpapi

import (
	"context"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) schedulerConfig(r *Request) (any, error) {
	config, err := Blocking(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.SchedulerConfiguration, uint64, error) {
		return a.back.Server.Operator.SchedulerConfig(ctx, ws)
	})
	if err != nil {
		return nil, err
	}
	return &nomadish.SchedulerConfigurationResponse{SchedulerConfig: config, QueryMeta: r.meta()}, nil
}

func (a *API) setSchedulerConfig(r *Request) (any, error) {
	config := &nomadish.SchedulerConfiguration{}
	if err := r.Decode(config); err != nil {
		return nil, err
	}
	switch config.SchedulerAlgorithm {
	case "", nomadish.SchedulerBinpack, nomadish.SchedulerSpread:
	default:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "invalid scheduler algorithm: %s", config.SchedulerAlgorithm)
	}
	cas, err := r.cas()
	if err != nil {
		return nil, err
	}
	updated, index, err := a.back.Server.Operator.SetSchedulerConfig(r.Context(), config, cas)
	if err != nil {
		return nil, err
	}
	r.SetIndex(index)
	return &nomadish.SchedulerSetConfigurationResponse{Updated: updated, QueryMeta: nomadish.QueryMeta{Index: index}}, nil
}
