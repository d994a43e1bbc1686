//go:build linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network of its own. It has no name: when this process has ended and all that
// runs in it has, the kernel takes it away with its links and rules, however the process ended.
type namespace struct{ handle netns.NsHandle }

// apart runs f on a thread that ends afterwards, whatever f makes of it.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

func newNamespace() (ns namespace, err error) {
	err = apart(func() error {
		ns.handle, err = netns.New()
		return err
	})
	if err != nil {
		return ns, fmt.Errorf("network namespace: %w", err)
	}
	return ns, nil
}

func (ns namespace) close() error { return ns.handle.Close() }

// do runs f on a thread in the namespace.
func (ns namespace) do(f func() error) error {
	return apart(func() error {
		if err := netns.Set(ns.handle); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// dial connects from within the namespace.
func (ns namespace) dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	err = ns.do(func() error {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// spawn starts a program in the namespace, under a host name of its own. It ends with this process.
func (ns namespace) spawn(cmd *exec.Cmd, hostname string) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL // of the thread that starts it, which stays
	started := make(chan error)
	go func() {
		err := ns.do(func() error {
			err := unix.Unshare(unix.CLONE_NEWUTS)
			if err == nil {
				err = unix.Sethostname([]byte(hostname))
			}
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				return err
			}
			started <- nil
			awaitEnd(cmd.Process.Pid)
			return nil
		})
		if err != nil {
			started <- err
		}
	}()
	return <-started
}

// awaitEnd returns when a child has ended. It does not reap it.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return // it has ended, or was reaped already
		}
	}
}
