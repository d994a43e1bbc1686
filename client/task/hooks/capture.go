package hooks

import (
	"context"
	"path"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/nomadish"
)

// capture says where the task's output is kept.
type capture struct{}

func (capture) Name() string { return "logs" }

func (capture) Prepare(_ context.Context, s *task.Setup) error {
	s.Spec.Stdout, s.Spec.Stderr = kept(s, "stdout"), kept(s, "stderr")
	for _, o := range []drivers.Output{s.Spec.Stdout, s.Spec.Stderr} {
		log, err := output.Open(o) // a task that says nothing has an empty log
		if err == nil {
			err = log.Close()
		}
		if err != nil {
			return drivers.Recoverable(err)
		}
	}
	return nil
}

// kept is where one of the task's outputs is kept, if it is.
func kept(s *task.Setup, kind string) drivers.Output {
	l := s.Task.LogConfig
	if l != nil && (nomadish.Val(l.Disabled) || l.Enabled != nil && !*l.Enabled) {
		return drivers.Output{}
	}
	o := drivers.Output{Root: s.Root, Path: path.Join(sharedDir, "logs", s.Task.Name+"."+kind)}
	if l != nil {
		o.MaxFiles, o.MaxFileSize = nomadish.Val(l.MaxFiles), int64(nomadish.Val(l.MaxFileSizeMB))<<20
	}
	return o
}
