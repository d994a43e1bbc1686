//go:build linux

// Package shim is the process that containerd starts for an allocation: it is the parent of
// the allocation's containers, writes their logs, and outlives agent and containerd.
// It is containerd's own runc shim that also keeps a journal of exits.
package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task"
	cevents "github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/runtime/journal"
)

// Runtime is the name under which containerd knows this shim.
const Runtime = "io.containerd.runc.v2"

// IsShim says whether args are those of a shim that started itself again in the background.
func IsShim(args []string) bool { return len(args) > 1 && args[1] == "-namespace" }

// Main runs the shim with the process's own arguments. The process ends inside when it fails.
func Main() {
	// The registry holds the server's plugins too; the shim would start all that it finds.
	registry.Reset()
	registry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn:   newTaskService,
	})
	shim.RunShim(context.Background(), known{manager.NewShimManager(Runtime)})
}

// known is a shim that says what it is without asking runc, which is in no PATH. containerd asks
// before it makes a container, and again each time when there was no answer.
type known struct{ shim.Shim }

// Info says what the shim is. containerd makes no container with mapped mounts unless its runc is
// said to understand them; of another runc than the one in this program, who chose it has asked.
func (known) Info(context.Context, io.Reader) (*types.RuntimeInfo, error) {
	mapped := true
	features, err := typeurl.MarshalAnyToProto(&features.Features{
		Linux: &features.Linux{MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: &mapped}}},
	})
	return &types.RuntimeInfo{
		Name:     Runtime,
		Version:  &types.RuntimeVersion{Version: version.Version, Revision: version.Revision},
		Features: features,
	}, err
}

func newTaskService(ic *plugin.InitContext) (any, error) {
	publisher, err := ic.GetByID(plugins.EventPlugin, "publisher")
	if err != nil {
		return nil, err
	}
	stop, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
	if err != nil {
		return nil, err
	}
	remove, err := removeSocket()
	if err != nil {
		return nil, err
	}
	end := ending{Service: stop.(shutdown.Service), remove: remove}
	end.RegisterCallback(func(context.Context) error { return remove() })
	out := &outputs{ended: map[string]<-chan struct{}{}}
	p := journaled{Publisher: publisher.(shim.Publisher), dir: os.Getenv(journal.Env), out: out}
	tasks, err := task.NewTaskService(ic.Context, p, end)
	if err != nil {
		return nil, err
	}
	return service{TTRPCTaskService: tasks, out: out}, nil
}

// ending ends the shim when its last container was removed.
type ending struct {
	shutdown.Service
	remove func() error
}

// Shutdown begins the end of the shim. Its socket is gone when containerd has the answer, so that
// nobody who comes after it takes the shim for one that stays.
func (e ending) Shutdown() {
	_ = e.remove() // the shim's end returns it
	e.Service.Shutdown()
}

// socketFD is the listening socket that the shim inherits from the process that starts it.
const socketFD = 3

// removeSocket returns what removes the shim's socket at its end. containerd's own clean-up
// looks for one named after the container, and a group's is named after the group. Another
// shim's socket may be there by then: one that was started while this one ended.
func removeSocket() (func() error, error) {
	addr, err := unix.Getsockname(socketFD) // later the descriptor is another one
	if err != nil {
		return nil, fmt.Errorf("the shim's socket: %w", err)
	}
	a, ok := addr.(*unix.SockaddrUnix)
	if !ok || !filepath.IsAbs(a.Name) {
		return nil, errors.New("the shim's socket has no path")
	}
	own, err := os.Lstat(a.Name)
	if err != nil {
		return nil, fmt.Errorf("the shim's socket: %w", err)
	}
	return sync.OnceValue(func() error {
		if there, err := os.Lstat(a.Name); err != nil || !os.SameFile(own, there) {
			return ignoreNotExist(err)
		}
		return os.Remove(a.Name)
	}), nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// journaled writes each end of a container down before it tells containerd, and not before
// the container's output is in its files: who reads of the end can read all that was said.
type journaled struct {
	shim.Publisher
	dir string
	out *outputs
}

// Publish tells containerd of an event, after the journal when it belongs there.
func (j journaled) Publish(ctx context.Context, topic string, event cevents.Event) error {
	if id, entry := entryOf(event); id != "" && j.dir != "" {
		if entry.Exit {
			j.out.drain(id)
		}
		if err := journal.Append(j.dir, id, entry); err != nil {
			log.G(ctx).WithError(err).Error("journal") // containerd may still hear of it
		}
	}
	return j.Publisher.Publish(ctx, topic, event)
}

// entryOf returns the container and entry of an event that belongs into the journal.
func entryOf(event cevents.Event) (string, journal.Entry) {
	switch e := event.(type) {
	case *events.TaskExit:
		if e.ID != e.ContainerID {
			return "", journal.Entry{} // a command run inside
		}
		return e.ContainerID, journal.Entry{
			Exit: true,
			Code: int(e.ExitStatus),
			PID:  int(e.Pid),
			Time: e.ExitedAt.AsTime(),
		}
	case *events.TaskOOM:
		return e.ContainerID, journal.Entry{OOM: true}
	}
	return "", journal.Entry{}
}
