//go:build linux

package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/journal"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// reaps lets callers that want the same at the same time share one pass.
type reaps struct {
	mu      sync.Mutex
	running map[string]*reaping
}

type reaping struct {
	done chan struct{}
	err  error
}

// Reap removes what is left of tasks that the agent does not know; see drivers.Reaper. The
// agent asks every driver, and so this one runtime several times: then it is done once.
func (r *Runtime) Reap(ctx context.Context, keep map[string]bool) error {
	key := strings.Join(slices.Sorted(maps.Keys(keep)), "\x00")
	r.reaps.mu.Lock()
	if other := r.reaps.running[key]; other != nil {
		r.reaps.mu.Unlock()
		select {
		case <-other.done:
			return other.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if r.reaps.running == nil {
		r.reaps.running = map[string]*reaping{}
	}
	mine := &reaping{done: make(chan struct{})}
	r.reaps.running[key] = mine
	r.reaps.mu.Unlock()
	mine.err = r.reap(ctx, keep)
	r.reaps.mu.Lock()
	delete(r.reaps.running, key)
	r.reaps.mu.Unlock()
	close(mine.done)
	return mine.err
}

func (r *Runtime) reap(ctx context.Context, keep map[string]bool) error {
	if _, err := os.Stat(r.l.Root()); errors.Is(err, os.ErrNotExist) {
		return nil // containerd never ran here
	}
	kept := map[string]bool{}
	for id := range keep {
		kept[drivers.Key(id)] = true
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return err
	}
	var errs []error
	containers, err := c.Containers(ctx)
	if err != nil {
		return fmt.Errorf("reap: list containers: %w", err)
	}
	for _, ct := range containers {
		if !kept[ct.ID()] {
			errs = append(errs, r.reapContainer(ctx, ct))
		}
	}
	errs = append(errs, r.reapSnapshots(ctx, c, kept), r.reapFiles(ctx, kept), r.reapShims(containers), r.reapSockets(ctx), r.reapStreams(),
		reapMounts(r.views(), ""), reapMounts(r.l.Mounts(), "ovl-idmapped"))
	return errors.Join(errs...)
}

func (r *Runtime) reapContainer(ctx context.Context, ct client.Container) error {
	labels, err := ct.Labels(ctx)
	if err != nil {
		return ignoreNotFound(err)
	}
	if labels[labelTask] == "" {
		return nil // not ours
	}
	r.cfg.Logger.Info("remove a container that no task has", "task", labels[labelTask])
	unlock, err := r.tasks.Take(ctx, ct.ID())
	if err != nil {
		return err
	}
	defer unlock()
	return r.remove(ctx, state{Container: ct.ID(), Cgroup: labels[labelCgroup]})
}

// reapSnapshots removes those of containers that were never made, and of views.
func (r *Runtime) reapSnapshots(ctx context.Context, c *client.Client, kept map[string]bool) error {
	name, err := r.Snapshotter(ctx, c)
	if err != nil {
		return err
	}
	service := c.SnapshotService(name)
	var stale []string
	err = service.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		ours := strings.HasPrefix(info.Name, "nmd-") || strings.HasPrefix(info.Name, viewPrefix)
		if ours && !kept[info.Name] && info.Kind != snapshots.KindCommitted {
			stale = append(stale, info.Name)
		}
		return nil
	})
	for _, s := range stale {
		err = errors.Join(err, ignoreNotFound(service.Remove(ctx, s)))
	}
	return err
}

// reapFiles removes journals and directories of containers that are gone.
func (r *Runtime) reapFiles(ctx context.Context, kept map[string]bool) error {
	names, err := journal.Containers(r.l.Exits())
	if err != nil {
		return err
	}
	dirs, err := os.ReadDir(r.l.Files())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, dir := range dirs {
		names = append(names, dir.Name())
	}
	var errs []error
	for _, name := range names {
		if !kept[name] {
			errs = append(errs, r.removeFiles(ctx, state{Container: name}))
		}
	}
	return errors.Join(errs...)
}

// reapMounts unmounts what is in a directory under names that begin with prefix: images that
// an agent looked into when it died, and mapped layers of which a shim was making a root.
func reapMounts(dir, prefix string) error {
	mounts, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, m := range mounts {
		if path := filepath.Join(dir, m.Name()); strings.HasPrefix(m.Name(), prefix) {
			errs = append(errs, mount.UnmountAll(path, 0), os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// reapShims ends shims that containerd does not know: it was killed while it started them. No
// start is on its way yet, and what runs a task has children.
func (r *Runtime) reapShims(known []client.Container) error {
	ids := map[string]bool{}
	for _, ct := range known {
		ids[ct.ID()] = true
	}
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has just ended
		}
		args := strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00")
		id, address := after(args, "-id"), after(args, "-address")
		if address != r.l.Socket() || ids[id] {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		if shim, ok := process.Find(pid); ok && childless(pid) {
			r.cfg.Logger.Info("end a shim that containerd does not know", "pid", pid, "container", id)
			errs = append(errs, shim.Kill(unix.SIGKILL, killTimeout))
		}
	}
	return errors.Join(errs...)
}

// after returns the argument that follows a flag.
func after(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// childless says that no process has this one for its parent.
func childless(pid int) bool {
	all, err := process.Stats()
	return err == nil && !slices.ContainsFunc(all, func(p process.Stat) bool { return p.Parent == pid })
}

// reapSockets removes those of shims that were killed: nobody listens there any more.
func (r *Runtime) reapSockets(ctx context.Context) error {
	entries, err := os.ReadDir(r.l.ShimSockets())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(r.l.ShimSockets(), e.Name())
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // one that is being made refuses as well
		}
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		switch {
		case err == nil:
			errs = append(errs, conn.Close())
		case errors.Is(err, unix.ECONNREFUSED):
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

// reapStreams removes those of commands that an earlier agent was asked for, also of commands that
// ended with it.
func (r *Runtime) reapStreams() error {
	entries, err := os.ReadDir(r.l.Streams())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.ModTime().Before(r.began) {
			errs = append(errs, os.RemoveAll(filepath.Join(r.l.Streams(), e.Name())))
		}
	}
	return errors.Join(errs...)
}
