package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	if err := writeNew(root, cfg.File, s.Alloc.Job.Payload, 0o644); err != nil {
		return drivers.Recoverable(err)
	}
	return nil
}

// writeNew writes a file in place of whatever a task has put there: it writes to no file,
// link or FIFO of the task's.
func writeNew(root *os.Root, name string, content []byte, mode fs.FileMode) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
