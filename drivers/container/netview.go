//go:build linux

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// A network namespace belongs to the user namespace that it was made in: the host's. Root of
// another one can neither mount what shows it, nor set what the kernel has per network. What a
// container with users of its own needs of that is done here, before it is made.

// inNetwork calls f in a network namespace; no path is the one that the agent is in.
func inNetwork(path string, f func() error) error {
	if path == "" {
		return f()
	}
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	ended := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			ended <- fmt.Errorf("enter the network namespace %s: %w", path, err)
			return
		}
		ended <- f()
	}()
	return <-ended
}

// sysName is where it is mounted, beside the container's other files, while it is made.
const sysName = "sys"

// mountSys mounts what the kernel shows of devices, read-only, with the interfaces of the
// network namespace that the caller is in, and without what the host has mounted below it.
func mountSys(at string) error {
	if err := unmountSys(at); err != nil { // of a start that was cut short
		return err
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	const safe = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	tree, err := newMount("sysfs", nil, safe)
	if err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	defer unix.Close(tree) //nolint:errcheck // it is mounted, or goes
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	return nil
}

// unmountSys takes it away again. None there is no error.
func unmountSys(at string) error {
	err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "unmount", Path: at, Err: err}
	}
	return nil
}

// setNetwork changes settings of the network namespace that the caller is in.
func setNetwork(settings map[string]string) error {
	var errs []error
	for name, value := range settings {
		path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
		if !strings.HasPrefix(path, "/proc/sys/net/") {
			errs = append(errs, fmt.Errorf("sysctl: %q is not of a network", name))
			continue
		}
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("sysctl: %w", err))
		}
	}
	return errors.Join(errs...)
}
