//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/journal"
)

// Reap removes what is left of tasks that the agent does not know; see drivers.Reaper.
func (d *Driver) Reap(ctx context.Context, keep map[string]bool) error {
	if _, err := os.Stat(d.l.Root()); errors.Is(err, os.ErrNotExist) {
		return nil // containerd never ran here
	}
	kept := map[string]bool{}
	for id := range keep {
		kept[drivers.Key(id)] = true
	}
	c, ctx, err := d.client(ctx)
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
			errs = append(errs, d.reapContainer(ctx, ct))
		}
	}
	errs = append(errs, d.reapSnapshots(ctx, c, kept), d.reapFiles(ctx, kept), d.reapViews(), d.reapSockets(ctx))
	return errors.Join(errs...)
}

func (d *Driver) reapContainer(ctx context.Context, ct client.Container) error {
	labels, err := ct.Labels(ctx)
	if err != nil {
		return ignoreNotFound(err)
	}
	if labels[labelTask] == "" {
		return nil // not ours
	}
	d.cfg.Logger.Info("remove a container that no task has", "task", labels[labelTask])
	unlock, err := d.tasks.lock(ctx, ct.ID())
	if err != nil {
		return err
	}
	defer unlock()
	return d.remove(ctx, state{Container: ct.ID(), Cgroup: labels[labelCgroup]})
}

// reapSnapshots removes those of containers that were never made, and of views.
func (d *Driver) reapSnapshots(ctx context.Context, c *client.Client, kept map[string]bool) error {
	name, err := d.pickSnapshotter(ctx, c)
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
func (d *Driver) reapFiles(ctx context.Context, kept map[string]bool) error {
	names, err := journal.Containers(d.l.Exits())
	if err != nil {
		return err
	}
	dirs, err := os.ReadDir(d.l.Files())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, dir := range dirs {
		names = append(names, dir.Name())
	}
	var errs []error
	for _, name := range names {
		if !kept[name] {
			errs = append(errs, d.removeFiles(ctx, state{Container: name}))
		}
	}
	return errors.Join(errs...)
}

// reapViews unmounts images that an agent looked into when it died.
func (d *Driver) reapViews() error {
	dir := filepath.Join(d.l.Run, "views")
	views, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, v := range views {
		path := filepath.Join(dir, v.Name())
		errs = append(errs, mount.UnmountAll(path, 0), os.Remove(path))
	}
	return errors.Join(errs...)
}

// reapSockets removes those of shims that were killed: nobody listens there any more.
func (d *Driver) reapSockets(ctx context.Context) error {
	entries, err := os.ReadDir(d.l.ShimSockets())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(d.l.ShimSockets(), e.Name())
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
