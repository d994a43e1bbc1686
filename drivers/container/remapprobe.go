//go:build linux

package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// remapper is the capability of a containerd's snapshotter that can map the owners of files.
const remapper = "remap-ids"

// CanRemap says why containers can't have users of their own here; nil: they can. It tries all
// that they need. Once they can, they can.
func (r *Runtime) CanRemap(ctx context.Context) error {
	r.mu.Lock()
	known := r.remaps
	r.mu.Unlock()
	if known {
		return nil
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return err
	}
	snapshotter, err := r.Snapshotter(ctx, c)
	if err != nil {
		return err
	}
	able, err := c.GetSnapshotterCapabilities(ctx, snapshotter)
	if err != nil {
		return err
	}
	if !slices.Contains(able, remapper) { // to change the owners of a copy would cost a copy per allocation
		return fmt.Errorf("the snapshotter %s can't map owners of files: the kernel is older than 5.19, or it has no overlayfs", snapshotter)
	}
	if r.cfg.Runc != "" {
		if other, err := ProbeRunc(ctx, r.cfg.Runc); err != nil && !errors.Is(err, ErrVulnerable) || !other.Mapped {
			return errors.Join(fmt.Errorf("%s can't map the owners of mounts", r.cfg.Runc), err)
		}
	}
	if err := probeRemap(r.l.Data); err != nil {
		return err
	}
	r.mu.Lock()
	r.remaps = true
	r.mu.Unlock()
	return nil
}

// probeRemap makes a user namespace, and with it mapped mounts of a directory, of a tmpfs, and
// of a layer of an overlay. Nothing of that is attached anywhere.
func probeRemap(dir string) (err error) {
	mapping := fmt.Sprintf("0:%d:%d", Pool{}.withDefaults().Base, RangeSize)
	users, err := mount.GetUsernsFD(mapping, mapping)
	if err != nil {
		return fmt.Errorf("user namespace (user.max_user_namespaces): %w", err)
	}
	defer users.Close()
	temp, err := os.MkdirTemp(dir, "users-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	for _, name := range []string{"lower", "upper", "work"} {
		if err := os.Mkdir(filepath.Join(temp, name), 0o700); err != nil {
			return err
		}
	}
	lower, err := unix.OpenTree(unix.AT_FDCWD, filepath.Join(temp, "lower"), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", dir, err)
	}
	defer unix.Close(lower) //nolint:errcheck // nothing is written through it
	if err := mapMount(lower, users); err != nil {
		return fmt.Errorf("mapped mount in %s: %w", dir, err)
	}
	memory, err := newMount("tmpfs", nil, 0)
	if err == nil {
		err = errors.Join(mapMount(memory, users), unix.Close(memory))
	}
	if err != nil { // /secrets is one
		return fmt.Errorf("mapped mount of a tmpfs: %w", err)
	}
	overlay, err := newMount("overlay", map[string]string{
		"lowerdir": fmt.Sprintf("/proc/self/fd/%d", lower),
		"upperdir": filepath.Join(temp, "upper"), "workdir": filepath.Join(temp, "work"),
	}, 0)
	if err != nil {
		return fmt.Errorf("overlay of a mapped mount: %w", err)
	}
	return unix.Close(overlay)
}

// mapMount gives a mount the users of a namespace.
func mapMount(tree int, users *os.File) error {
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{
		Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(users.Fd()),
	})
}

// newMount makes a mount that is nowhere and goes when it is closed.
func newMount(kind string, options map[string]string, attributes int) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs) //nolint:errcheck // nothing is written through it
	for key, value := range options {
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return -1, err
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attributes)
}

// Remaps completes a driver's fingerprint with whether its tasks have users of their own, by
// which pool; nil: they have none. Where they are to have some and can't, the driver is not
// healthy: it would refuse them.
func (r *Runtime) Remaps(ctx context.Context, driver string, pool *Pool, fp drivers.Fingerprint) drivers.Fingerprint {
	if fp.Health != drivers.Healthy {
		return fp
	}
	err := r.CanRemap(ctx)
	fp.Attributes = maps.Clone(fp.Attributes)
	name := "driver." + driver + ".userns"
	fp.Attributes[name] = strconv.FormatBool(err == nil && pool != nil)
	fp.Attributes[name+".supported"] = strconv.FormatBool(err == nil)
	switch {
	case err != nil:
		fp.Attributes[name+".reason"] = err.Error()
	case pool == nil:
		fp.Attributes[name+".reason"] = "not enabled"
	}
	if err != nil && pool != nil {
		fp.Health, fp.Reason = drivers.Unhealthy, fmt.Sprintf("userns is enabled, and can't be had: %v", err)
	}
	return fp
}
