package client

import (
	"context"
	"io"

	"github.com/nomadish/nomadish/client/alloc"
	"github.com/nomadish/nomadish/client/allocfs"
	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Has says whether an allocation is on this node.
func (c *Client) Has(allocID string) bool {
	_, err := c.find(allocID)
	return err == nil
}

// Namespace returns the namespace of an allocation on this node.
func (c *Client) Namespace(allocID string) (string, error) {
	e, err := c.find(allocID)
	if err != nil {
		return "", err
	}
	return e.runner.Alloc().Namespace, nil
}

// Isolated says whether a task has a file system of its own, which its driver gives it. It is
// true of a task that is not there.
func (c *Client) Isolated(allocID, name string) bool {
	e, err := c.find(allocID)
	if err != nil {
		return true
	}
	a := e.runner.Alloc()
	if a.Job == nil || a.Job.TaskGroup(a.TaskGroup) == nil {
		return false
	}
	for _, t := range a.Job.TaskGroup(a.TaskGroup).Tasks {
		if t.Name != name {
			continue
		}
		driver, ok := c.cfg.Drivers[t.Driver].(drivers.Capable)
		if !ok {
			return false
		}
		isolation := driver.Capabilities().Isolation
		return isolation != "" && isolation != drivers.IsolationNone
	}
	return true
}

func (c *Client) find(allocID string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.allocs[allocID]; e != nil {
		return e, nil
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "Unknown allocation %q", allocID)
}

func (c *Client) files(allocID string) (allocfs.FS, *alloc.Runner, error) {
	e, err := c.find(allocID)
	if err != nil {
		return allocfs.FS{}, nil, err
	}
	return allocfs.New(e.runner.Root()), e.runner, nil
}

// List describes what is in a directory of an allocation.
func (c *Client) List(_ context.Context, allocID, path string) ([]*nomadish.AllocFileInfo, error) {
	fs, _, err := c.files(allocID)
	if err != nil {
		return nil, err
	}
	return fs.List(path)
}

// Stat describes a file or directory of an allocation.
func (c *Client) Stat(_ context.Context, allocID, path string) (*nomadish.AllocFileInfo, error) {
	fs, _, err := c.files(allocID)
	if err != nil {
		return nil, err
	}
	return fs.Stat(path)
}

// Read returns a file's content from req.Offset, at most req.Limit bytes. The caller closes it.
func (c *Client) Read(_ context.Context, req *nomadish.FileRequest) (io.ReadCloser, error) {
	fs, _, err := c.files(req.AllocID)
	if err != nil {
		return nil, err
	}
	return fs.Read(req.Path, req.Offset, req.Limit)
}

// Stream calls emit with pieces of a file until it ends, or, when it follows the file,
// until it is deleted or ctx ends.
func (c *Client) Stream(ctx context.Context, req *nomadish.FileRequest, emit func(*nomadish.StreamFrame) error) error {
	fs, _, err := c.files(req.AllocID)
	if err != nil {
		return err
	}
	return fs.Stream(ctx, req, nil, emit)
}

// Logs calls emit with pieces of a task's kept output until it ends, or, when it follows
// the output, until the task is dead and all is told, or ctx ends.
func (c *Client) Logs(ctx context.Context, req *nomadish.LogRequest, emit func(*nomadish.StreamFrame) error) error {
	fs, runner, err := c.files(req.AllocID)
	if err != nil {
		return err
	}
	t := runner.Tasks()[req.Task]
	if t == nil {
		return unknownTask(req.Task)
	}
	dead := func() bool { return t.Record().Phase == localstate.PhaseDead }
	return fs.Logs(ctx, req, dead, emit)
}

func unknownTask(name string) error {
	return nomadish.Errorf(nomadish.KindInvalid, "unknown task name %q", name)
}

// tasks returns the runner of one task of an allocation, or of all if name is empty.
func (c *Client) tasks(allocID, name string) ([]*task.Runner, error) {
	e, err := c.find(allocID)
	if err != nil {
		return nil, err
	}
	all := e.runner.Tasks()
	if name != "" {
		if all[name] == nil {
			return nil, unknownTask(name)
		}
		return []*task.Runner{all[name]}, nil
	}
	var out []*task.Runner
	for _, n := range e.runner.TaskNames() {
		out = append(out, all[n])
	}
	return out, nil
}

// CollectGarbage removes an ended allocation, or all ended ones if allocID is empty.
func (c *Client) CollectGarbage(ctx context.Context, allocID string) error {
	if allocID != "" {
		if _, err := c.find(allocID); err != nil {
			return err
		}
	}
	for _, e := range c.removable(0) {
		if allocID != "" && e.runner.ID() != allocID {
			continue
		}
		if err := c.remove(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
