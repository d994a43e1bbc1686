//go:build linux && cgo

package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/runc/libcontainer"
	"golang.org/x/sys/unix"
)

// kill sends a signal to the container's first process, with --all to every one in its cgroup.
func (c *command) kill() error {
	signal := unix.SIGTERM
	if len(c.args) > 1 {
		n, err := strconv.Atoi(c.args[1])
		if err != nil {
			if signal = unix.SignalNum(c.args[1]); signal == 0 {
				return fmt.Errorf("kill: signal %q is not known", c.args[1])
			}
		} else {
			signal = unix.Signal(n)
		}
	}
	container, err := c.load()
	if err != nil {
		return err
	}
	err = container.Signal(signal)
	if c.all && (err == nil || errors.Is(err, libcontainer.ErrNotRunning)) {
		return killRest(container, signal)
	}
	return err
}

// killRest reaches processes outside the container's pid namespace, if there are any.
func killRest(container *libcontainer.Container, signal unix.Signal) error {
	pids, err := container.Processes()
	if err != nil {
		return nil //nolint:nilerr // the cgroup went with the last process
	}
	for _, pid := range pids {
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("kill %d: %w", pid, err)
		}
	}
	return nil
}

// delete removes an ended container; with --force it kills a running one first.
func (c *command) delete() error {
	container, err := c.load()
	if errors.Is(err, libcontainer.ErrNotExist) {
		// A create that was interrupted leaves a directory without a state file.
		if id := filepath.Base(c.id()); id == c.id() && id != "." && id != ".." {
			err = errors.Join(err, os.RemoveAll(filepath.Join(c.root, id)))
		}
		if c.force {
			return nil
		}
		return err
	}
	if err != nil {
		return err
	}
	status, err := container.Status()
	if err != nil {
		return err
	}
	if status == libcontainer.Stopped && !c.force {
		return container.Destroy()
	}
	if status != libcontainer.Created && !c.force {
		return fmt.Errorf("delete: container %s is %s", c.id(), status)
	}
	return end(container)
}

// end kills all of a container and destroys it.
func end(container *libcontainer.Container) error {
	_ = container.Signal(unix.SIGKILL) // an ended one is what we want
	_ = killRest(container, unix.SIGKILL)
	deadline := time.Now().Add(10 * time.Second)
	for container.Signal(unix.Signal(0)) == nil {
		if time.Now().After(deadline) {
			return errors.New("delete: the first process does not end")
		}
		time.Sleep(2 * time.Millisecond)
	}
	return container.Destroy()
}

// features says what this runtime can do, as far as its callers ask.
func (c *command) features() error {
	return json.NewEncoder(c.stdout).Encode(Supported())
}
