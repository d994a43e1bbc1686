package hooks

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/nomadish/nomadish/drivers/cgroup"
)

// makeGroup makes a control group. It says no where this process has no right to.
func makeGroup(group string) (made bool, err error) {
	if os.Geteuid() != 0 {
		return false, nil
	}
	sys, err := cgroup.Detect("/")
	if err == nil {
		err = sys.Group(group).Create(cgroup.Limits{})
	}
	if unavailable(err) {
		return false, nil
	}
	return err == nil, err
}

func unavailable(err error) bool {
	return errors.Is(err, cgroup.ErrUnavailable) || errors.Is(err, fs.ErrPermission)
}

// removeGroups kills what is in a task's group, and removes it and the allocation's group
// once that is empty.
func removeGroups(ctx context.Context, task, alloc string) error {
	sys, err := cgroup.Detect("/")
	if err != nil || !sys.Group(task).Exists() {
		return nil
	}
	if err := sys.Group(task).Kill(ctx); err != nil {
		return err
	}
	if err := sys.Group(task).Remove(); err != nil {
		return err
	}
	if err := sys.Group(alloc).Remove(); err != nil {
		return nil // other tasks' groups are still in it: the last one removes it
	}
	return nil
}
