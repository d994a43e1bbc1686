//go:build linux

package container

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/nomadish/nomadish/drivers"
)

// Peer is a running task as another one of its allocation sees it.
type Peer struct {
	PID   int    // of its first process on the host
	Files string // directory of its hosts, resolv.conf and hostname
}

// Peer finds a running task of an allocation by its name.
func (r *Runtime) Peer(ctx context.Context, c *client.Client, allocID, task string) (Peer, error) {
	held, err := c.Containers(ctx, fmt.Sprintf("labels.%q==%q", labelAlloc, allocID))
	if err != nil {
		return Peer{}, drivers.Recoverable(err)
	}
	for _, ct := range held {
		labels, err := ct.Labels(ctx)
		if err != nil || !strings.HasPrefix(labels[labelTask], allocID+"/"+task+"/") || labels[labelAbandoned] != "" {
			continue
		}
		process, err := ct.Task(ctx, nil)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return Peer{}, drivers.Recoverable(err)
		}
		status, err := process.Status(ctx)
		if err == nil && status.Status == client.Running {
			return Peer{PID: int(process.Pid()), Files: filepath.Join(r.l.Files(), ct.ID())}, nil
		}
	}
	return Peer{}, drivers.Recoverable(fmt.Errorf("no task %q of this allocation runs in a container", task))
}
