package agent

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// askServer asks another server of the cluster how it is.
func (a *Agent) askServer(ctx context.Context, id string) (*nomadish.ServerReport, error) {
	way, err := a.hub.Server(id)
	if err != nil {
		return nil, err
	}
	c, err := api.New(api.Config{Region: a.cfg.Region, Transport: way})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Operator().ServerReport(ctx)
}
