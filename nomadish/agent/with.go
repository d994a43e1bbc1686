package agent

import (
	"context"
	"errors"

	"github.com/nomadish/nomadish/nomadish/api"
)

// With runs an agent while f uses it, and returns when both have ended: f by itself, or
// because the agent could not go on.
func With(ctx context.Context, cfg Config, f func(ctx context.Context, c *api.Client) error) error {
	a, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- a.Run(ctx)
		cancel()
	}()
	err = f(ctx, a.Client())
	cancel()
	return errors.Join(err, <-ended)
}
