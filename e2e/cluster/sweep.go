//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// traced says whether all threads of a process have a tracer.
func traced(pid int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return err
	}
	if len(tasks) == 0 {
		return fmt.Errorf("process %d has ended", pid)
	}
	for _, path := range tasks {
		status, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if strings.Contains(string(status), "\nTracerPid:\t0\n") {
			return fmt.Errorf("%s: no tracer", path)
		}
	}
	return nil
}

// owner finds the process that something of a lab's or a node's was made by, in its name.
var owner = regexp.MustCompile(`^nomadish-(?:lab|e2e)-(\d+)`)

// orphaned says whether that process has ended.
func orphaned(name string) bool {
	found := owner.FindStringSubmatch(name)
	if found == nil {
		return false
	}
	pid, err := strconv.Atoi(found[1])
	return err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// sweep ends what earlier labs and nodes whose process was killed have left on this machine.
func sweep() error {
	var errs []error
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && orphaned(fields[0]) {
			errs = append(errs, syscall.Unmount(fields[1], syscall.MNT_DETACH))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/nomadish-e2e-*", "/sys/fs/cgroup/*/nomadish-e2e-*"} {
		groups, err := filepath.Glob(pattern)
		errs = append(errs, err)
		for _, dir := range groups {
			if orphaned(filepath.Base(dir)) {
				errs = append(errs, endGroup(dir))
			}
		}
	}
	return errors.Join(errs...)
}

// endGroup kills what runs in a control group and those below it. The empty groups stay.
func endGroup(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return ignoreMissing(err)
		}
		pids, err := os.ReadFile(path)
		if err != nil {
			return ignoreMissing(err)
		}
		for _, text := range strings.Fields(string(pids)) {
			pid, err := strconv.Atoi(text)
			if err != nil {
				return err
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
		return nil
	})
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
		return nil
	}
	return err
}
