package hooks

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// secrets puts a task's secrets into memory where this process may mount, so that they
// never reach a disk.
type secrets struct{}

func (secrets) Name() string { return "secrets" }

func (secrets) Prepare(_ context.Context, s *task.Setup) error {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer root.Close()
	dir, err := allocfs.OpenDir(root, s.Task.Name)
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer dir.Close()
	size := 1
	if s.Task.Resources != nil {
		size = max(size, nomadish.Val(s.Task.Resources.SecretsMB))
	}
	mounted, err := mountMemory(dir, secretsDir, size)
	if err != nil {
		return drivers.Recoverable(fmt.Errorf("mount %s: %w", secretsDir, err))
	}
	if !mounted {
		return nil
	}
	for _, d := range layout(s.Task.Name, s.Capabilities.Isolation) {
		if d.owned {
			if err := makeDir(root, d, userOf(s)); err != nil {
				return drivers.Recoverable(fmt.Errorf("directory %s: %w", d.path, err))
			}
		}
	}
	return nil
}

// Release unmounts them, where they still are: what a task has moved is found by Unmount.
func (secrets) Release(_ context.Context, s *task.Setup) error {
	if checkName(s.Task.Name) != nil {
		return nil
	}
	root, err := os.OpenRoot(s.Root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was never made
	}
	if err != nil {
		return err
	}
	defer root.Close()
	there, err := root.Lstat(s.Task.Name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !there.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := allocfs.OpenDir(root, s.Task.Name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unmount(dir, secretsDir)
}
