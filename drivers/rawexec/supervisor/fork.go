//go:build linux

package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/cgroup"
)

// fork starts the program in a session, and in a cgroup where there is one.
func (s *server) fork(l *Launch, out pipes) (int, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	attr := l.attributes()
	attr.Files = append([]uintptr{null.Fd()}, out.files(null)...)
	var group *cgroup.Group
	if s.cgroups != nil && l.Cgroup != "" {
		g := s.cgroups.Group(l.Cgroup)
		group = &g
	}
	pid, err := spawn(l.Path, l.Args, attr, l.Network, group)
	if err != nil {
		return 0, err
	}
	if l.OOMScore != 0 {
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(strconv.Itoa(l.OOMScore)), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return 0, errors.Join(err, syscall.Kill(-pid, syscall.SIGKILL))
		}
	}
	return pid, nil
}

// attributes are those of all processes that are started for a task.
func (l *Launch) attributes() *syscall.ProcAttr {
	attr := &syscall.ProcAttr{Dir: l.Dir, Env: l.Env, Sys: &syscall.SysProcAttr{Setsid: true}}
	if l.User != nil {
		attr.Sys.Credential = &syscall.Credential{Uid: l.User.UID, Gid: l.User.GID, Groups: l.User.Groups}
	}
	return attr
}

// spawn starts a program in a network namespace, if one is named, and in a cgroup, if there
// is one.
func spawn(program string, args []string, attr *syscall.ProcAttr, network string, group *cgroup.Group) (pid int, err error) {
	start := func() error {
		pid, err = syscall.ForkExec(program, args, attr)
		return err
	}
	if network != "" {
		fork := start
		start = func() error { return inNetwork(network, fork) }
	}
	if group == nil {
		err = start()
	} else {
		err = inGroup(*group, attr.Sys, start)
	}
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", program, err)
	}
	return pid, nil
}

// Find finds a program by its name in a task's own directories and then in those of PATH, or
// by a relative path in its own alone. An absolute path is as it is.
func Find(command string, own, path []string) (string, error) {
	if filepath.IsAbs(command) {
		return command, nil
	}
	dirs := own
	if !strings.Contains(command, "/") {
		dirs = slices.Concat(own, path)
	}
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		file := filepath.Join(dir, command)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", fmt.Errorf("command %q is neither in the task's directory nor in PATH: %w", command, exec.ErrNotFound)
}

func inGroup(g cgroup.Group, sys *syscall.SysProcAttr, start func() error) error {
	if g.Version() == 1 {
		return g.Fork(start)
	}
	dir, err := g.OpenDir()
	if err != nil {
		return err
	}
	defer dir.Close()
	sys.UseCgroupFD, sys.CgroupFD = true, int(dir.Fd())
	return start()
}

// inNetwork calls start on a thread that is in a network namespace meanwhile.
func inNetwork(path string, start func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer ns.Close()
	runtime.LockOSThread() // stays locked where leaving fails: then the thread ends with this goroutine
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	if err != nil {
		err = fmt.Errorf("enter network namespace %s: %w", path, err)
	} else {
		err = start()
	}
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// notifyChildren sends a signal for children that ended, and one at once for any before.
func notifyChildren(c chan os.Signal) (stop func()) {
	signal.Notify(c, syscall.SIGCHLD)
	c <- syscall.SIGCHLD
	return func() { signal.Stop(c) }
}
