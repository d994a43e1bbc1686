package hooks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// secrets puts a task's secrets into memory where this process may mount, so that they
// never reach a disk.
type secrets struct{}

func (secrets) Name() string { return "secrets" }

func (secrets) Prepare(_ context.Context, s *task.Setup) error {
	dir := filepath.Join(s.Root, s.Task.Name, secretsDir)
	size := 1
	if s.Task.Resources != nil {
		size = max(size, nomadish.Val(s.Task.Resources.SecretsMB))
	}
	mounted, err := mountMemory(dir, size)
	if err != nil {
		return drivers.Recoverable(fmt.Errorf("mount %s: %w", dir, err))
	}
	if !mounted {
		return nil
	}
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return drivers.Recoverable(err)
	}
	defer root.Close()
	for _, d := range layout(s.Task.Name, s.Capabilities.Isolation) {
		if d.owned {
			if err := makeDir(root, d, userOf(s)); err != nil {
				return drivers.Recoverable(fmt.Errorf("directory %s: %w", d.path, err))
			}
		}
	}
	return nil
}

// Release unmounts them.
func (secrets) Release(_ context.Context, s *task.Setup) error {
	if checkName(s.Task.Name) != nil {
		return nil
	}
	return unmount(filepath.Join(s.Root, s.Task.Name, secretsDir))
}
