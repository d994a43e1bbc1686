//go:build linux

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
)

// viewPrefix starts the names of the snapshots behind views.
const viewPrefix = "nomadish-view-"

// View mounts an image's file system read-only while f runs. One that an agent looked into
// when it died is reaped.
func (r *Runtime) View(ctx context.Context, c *client.Client, img client.Image, f func(root string) error) (err error) {
	layers, err := img.RootFS(ctx)
	if err != nil {
		return err
	}
	snapshotter, err := r.Snapshotter(ctx, c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.views(), 0o700); err != nil {
		return err
	}
	root, err := os.MkdirTemp(r.views(), "")
	if err != nil {
		return err
	}
	view := viewPrefix + filepath.Base(root)
	service := c.SnapshotService(snapshotter)
	mounts, err := service.View(ctx, view, identity.ChainID(layers).String())
	if err != nil {
		return errors.Join(err, os.Remove(root))
	}
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, mount.UnmountAll(root, 0), os.Remove(root), ignoreNotFound(service.Remove(clean, view)))
	}()
	if err := mount.All(mounts, root); err != nil {
		return fmt.Errorf("mount the image: %w", err)
	}
	return f(root)
}

// views is the directory that images are mounted in.
func (r *Runtime) views() string { return filepath.Join(r.l.Run, "views") }

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
