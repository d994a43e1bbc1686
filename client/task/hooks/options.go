package hooks

import (
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/nomadish"
)

// options checks the task's config block against what its driver knows.
type options struct{}

func (options) Name() string { return "config" }

func (options) Prepare(_ context.Context, s *task.Setup) error {
	schema := s.Driver.Schema()
	if schema == nil {
		return nil // a driver that takes anything
	}
	faults := nomadish.CheckConfig(schema, s.Spec.Config)
	if len(faults) == 0 {
		return nil
	}
	return &task.InvalidError{Err: fmt.Errorf("driver %s: %s", s.Task.Driver, strings.Join(faults, "; "))}
}
