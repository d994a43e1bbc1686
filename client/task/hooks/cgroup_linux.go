package hooks

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/nomadish/nomadish/drivers/cgroup"
)

// groups are the machine's control groups, as far as this process may write to them.
type groups struct {
	sys *cgroup.System
	mu  *sync.Mutex // an allocation's group must not go while one is made in it
}

// findGroups looks at the machine once. Without the right to make groups there are none.
func findGroups() groups {
	if os.Geteuid() != 0 {
		return groups{}
	}
	sys, err := cgroup.Detect("/")
	if err != nil {
		return groups{}
	}
	return groups{sys: sys, mu: new(sync.Mutex)}
}

// create makes a group. It says no where this process has no right to.
func (g groups) create(path string) (made bool, err error) {
	if g.sys == nil {
		return false, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err = g.sys.Group(path).Create(cgroup.Limits{})
	if errors.Is(err, cgroup.ErrUnavailable) || errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return err == nil, err
}

// remove kills what is in a task's group, and removes it and the allocation's group once
// that is empty.
func (g groups) remove(ctx context.Context, task, alloc string) error {
	if g.sys == nil {
		return nil
	}
	if err := g.sys.Group(task).Kill(ctx); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.sys.Group(task).Remove(); err != nil {
		return err
	}
	return g.sys.Group(alloc).RemoveEmpty() // while others' groups are in it, the last one removes it
}
