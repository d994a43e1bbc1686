package hooks

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
)

// payload writes what the job was dispatched with into the file that the task names.
type payload struct{}

func (payload) Name() string { return "dispatch_payload" }

func (payload) Prepare(_ context.Context, s *task.Setup) error {
	cfg := s.Task.DispatchPayload
	if cfg == nil || cfg.File == "" {
		return nil
	}
	if !filepath.IsLocal(cfg.File) {
		return &task.InvalidError{Err: fmt.Errorf("file %q is outside of the task's local directory", cfg.File)}
	}
	root, err := openBelow(s.Root, filepath.Join(s.Task.Name, localDir))
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(cfg.File), 0o777); err != nil {
		return drivers.Recoverable(err)
	}
	if err := root.WriteFile(cfg.File, s.Alloc.Job.Payload, 0o644); err != nil {
		return drivers.Recoverable(err)
	}
	return nil
}
