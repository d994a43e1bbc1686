package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// makeNamespace mounts a new network namespace on a file, unless one is there.
func makeNamespace(path string) (made bool, err error) {
	if isNamespace(path) {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return false, err
	}
	if err := f.Close(); err != nil {
		return false, err
	}
	err = onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
		if err := unix.Mount(self, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		return apply(innerSettings)
	})
	if err != nil {
		return false, errors.Join(err, removeNamespace(path))
	}
	return true, nil
}

// mountNamespace mounts a namespace again that is held open.
func mountNamespace(ns *os.File, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()), path, "", unix.MS_BIND, "")
}

// isNamespace says that a network namespace is mounted on a file.
func isNamespace(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Type == unix.NSFS_MAGIC
}

// removeNamespace unmounts a namespace. It ends with the last process in it.
func removeNamespace(path string) error {
	for isNamespace(path) { // mounted more than once by agents that were killed
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// onOwnThread calls f on a thread that ends afterwards, since f changes what it belongs to.
func onOwnThread(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// inside calls f in a network namespace.
func inside(ns *os.File, f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter %s: %w", ns.Name(), err)
		}
		return f()
	})
}

// setting is a kernel parameter below /proc/sys/net.
type setting struct{ path, value string }

// apply sets kernel parameters of the calling thread's network namespace. Those that this
// kernel does not have are left out.
func apply(settings []setting) error {
	var errs []error
	for _, s := range settings {
		err := os.WriteFile(filepath.Join("/proc/sys/net", s.path), []byte(s.value), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("net/%s = %s: %w", s.path, s.value, err))
		}
	}
	return errors.Join(errs...)
}

// innerSettings are those of a new namespace: as in Docker's, any user may listen on any
// port and send echo requests.
var innerSettings = []setting{
	{"ipv4/ip_unprivileged_port_start", "0"},
	{"ipv4/ping_group_range", "0 2147483647"},
}

// linkSettings are those of the host's end of a veth pair.
func linkSettings(link string) []setting {
	at4, at6 := "ipv4/conf/"+link+"/", "ipv6/conf/"+link+"/"
	return []setting{
		{at4 + "forwarding", "1"},
		{at4 + "route_localnet", "1"}, // for ports on 127.0.0.1; the table keeps others from it
		{at4 + "rp_filter", "0"},      // the table's guard is stricter
		{at4 + "send_redirects", "0"},
		{at6 + "force_forwarding", "1"}, // of Linux 6.17: forwards without all.forwarding
		{at6 + "accept_ra", "0"},
		{at6 + "accept_dad", "0"},
	}
}
