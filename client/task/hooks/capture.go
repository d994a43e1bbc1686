package hooks

import (
	"context"
	"errors"
	"os"
	"path"

	"github.com/nomadish/nomadish/client/logs"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// capture has the task's output kept.
type capture struct{ collector *logs.Collector }

func (capture) Name() string { return "logs" }

func (h capture) Prepare(_ context.Context, s *task.Setup) error {
	if l := s.Task.LogConfig; l != nil && (nomadish.Val(l.Disabled) || l.Enabled != nil && !*l.Enabled) {
		s.Spec.Stdout, s.Spec.Stderr = os.DevNull, os.DevNull
		return nil
	}
	var err error
	if s.Spec.Stdout, err = h.collector.Attach(stream(s, "stdout")); err != nil {
		return drivers.Recoverable(err)
	}
	if s.Spec.Stderr, err = h.collector.Attach(stream(s, "stderr")); err != nil {
		return drivers.Recoverable(err)
	}
	return nil
}

// Restore goes on where an earlier agent stopped.
func (h capture) Restore(ctx context.Context, s *task.Setup) error { return h.Prepare(ctx, s) }

// Exited moves the rest, so that all output is there when the task's end is told.
func (h capture) Exited(ctx context.Context, s *task.Setup) error {
	return errors.Join(h.collector.Drain(ctx, streamKey(s, "stdout")), h.collector.Drain(ctx, streamKey(s, "stderr")))
}

// Release removes the spools. What was moved goes with the allocation's directory.
func (h capture) Release(_ context.Context, s *task.Setup) error {
	return errors.Join(h.collector.Detach(streamKey(s, "stdout")), h.collector.Detach(streamKey(s, "stderr")))
}

func stream(s *task.Setup, kind string) logs.Stream {
	cfg := logs.Stream{
		Key:  streamKey(s, kind),
		Root: s.Root,
		Path: path.Join(sharedDir, "logs", s.Task.Name+"."+kind),
	}
	if l := s.Task.LogConfig; l != nil {
		cfg.MaxFiles = nomadish.Val(l.MaxFiles)
		cfg.MaxFileSize = int64(nomadish.Val(l.MaxFileSizeMB)) << 20
	}
	return cfg
}

// streamKey names the spool: the allocation's ID and the task's name as one safe word.
func streamKey(s *task.Setup, kind string) string {
	return drivers.Key(s.Alloc.ID+"/"+s.Task.Name) + "." + kind
}
