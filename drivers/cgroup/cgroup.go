//go:build linux

// Package cgroup is the one place that reads and writes control groups of tasks, of
// version 1 (one tree per controller) and version 2 (one tree).
//
// A task is the set of processes in its group, and is killed as a group:
//
//	sys, err := cgroup.Detect("/")
//	g := sys.Group("nomadish/alloc/task")
//	err = g.Create(cgroup.Limits{MemoryMax: 64 << 20})
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrUnavailable says that this machine, or this user, has no control groups to write to.
var ErrUnavailable = errors.New("control groups are not available")

// controllers are those of version 1 that tasks use, where they are mounted.
var controllers = []string{"cpu", "cpuacct", "memory", "pids", "freezer", "cpuset", "blkio", "devices"}

// System is the machine's control groups.
type System struct {
	Version int               // 1 or 2
	mounts  map[string]string // version 1: controller to directory; version 2: "" to directory
}

// Detect finds the control groups mounted below root ("/" but in tests).
func Detect(root string) (*System, error) {
	data, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	s := &System{mounts: map[string]string{}}
	unified := ""
	for line := range strings.Lines(string(data)) {
		front, back, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(front), strings.Fields(back)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		dir := filepath.Join(root, fields[4])
		switch kind[0] {
		case "cgroup2":
			unified = dir
		case "cgroup":
			for opt := range strings.SplitSeq(kind[2], ",") {
				if slices.Contains(controllers, opt) {
					s.mounts[opt] = dir
				}
			}
		}
	}
	switch {
	case s.mounts["memory"] != "" || s.mounts["cpu"] != "":
		s.Version = 1
	case unified != "":
		s.Version, s.mounts = 2, map[string]string{"": unified}
	default:
		return nil, ErrUnavailable
	}
	return s, nil
}

// Group returns the group of a path relative to the trees' roots. It need not exist.
func (s *System) Group(path string) Group { return Group{sys: s, path: filepath.Clean("/" + path)} }

// Group is one control group.
type Group struct {
	sys  *System
	path string
}

// Limits are what a group's processes may use; zero values set nothing.
type Limits struct {
	CPUShares uint64        // of version 1; version 2 gets the weight that corresponds
	CPUQuota  time.Duration // CPU time in each 100 ms
	MemoryLow int64         // bytes that are reclaimed last
	MemoryMax int64         // bytes at which the group's processes are killed
	PIDs      int64
	Cores     []uint16
}

func (g Group) dir(controller string) (string, bool) {
	if g.sys.Version == 2 {
		controller = ""
	}
	mount, ok := g.sys.mounts[controller]
	return filepath.Join(mount, g.path), ok
}

// dirs returns the group's directories, one per tree, in a fixed order.
func (g Group) dirs() []string {
	var out []string
	for _, c := range append([]string{""}, controllers...) {
		if mount, ok := g.sys.mounts[c]; ok {
			if d := filepath.Join(mount, g.path); !slices.Contains(out, d) {
				out = append(out, d)
			}
		}
	}
	return out
}

// Create makes the group in every tree, with its parents, and sets its limits. Creating a
// group that exists sets its limits anew.
func (g Group) Create(l Limits) error {
	for _, d := range g.dirs() {
		if g.sys.Version == 2 {
			if err := g.delegate(); err != nil {
				return err
			}
		}
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
	}
	if g.sys.Version == 1 {
		if err := g.inheritCPUSet(); err != nil {
			return err
		}
		return g.setV1(l)
	}
	return g.setV2(l)
}

// Below makes a group in this one, without limits of its own: its processes count as this
// one's, are killed with them, and can be told apart.
func (g Group) Below(name string) (Group, error) {
	child := g.sys.Group(filepath.Join(g.path, name))
	for _, d := range child.dirs() {
		if err := os.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return Group{}, err
		}
	}
	if g.sys.Version == 1 {
		return child, child.inheritCPUSet()
	}
	return child, nil
}

// delegate turns the controllers on for the children of every ancestor (version 2).
func (g Group) delegate() error {
	mount := g.sys.mounts[""]
	dir := mount
	parts := strings.Split(strings.Trim(g.path, "/"), "/")
	for _, part := range parts {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		var on []string
		for _, c := range []string{"cpu", "cpuset", "memory", "pids", "io"} {
			if slices.Contains(strings.Fields(string(have)), c) {
				on = append(on, "+"+c)
			}
		}
		if err := write(dir, "cgroup.subtree_control", strings.Join(on, " ")); err != nil {
			return err
		}
		dir = filepath.Join(dir, part)
	}
	return nil
}

// inheritCPUSet fills the cpuset of new groups: version 1 lets no process into an empty one.
func (g Group) inheritCPUSet() error {
	mount, ok := g.sys.mounts["cpuset"]
	if !ok {
		return nil
	}
	dir := mount
	for _, part := range strings.Split(strings.Trim(g.path, "/"), "/") {
		child := filepath.Join(dir, part)
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			have, err := os.ReadFile(filepath.Join(child, file))
			if err != nil {
				return err
			}
			if strings.TrimSpace(string(have)) != "" {
				continue
			}
			parent, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return err
			}
			if err := write(child, file, strings.TrimSpace(string(parent))); err != nil {
				return err
			}
		}
		dir = child
	}
	return nil
}

func (g Group) setV1(l Limits) error {
	set := func(controller, file string, on bool, value string) error {
		d, mounted := g.dir(controller)
		if !on || !mounted {
			return nil
		}
		return write(d, file, value)
	}
	return errors.Join(
		set("cpu", "cpu.shares", l.CPUShares > 0, strconv.FormatUint(max(l.CPUShares, 2), 10)),
		set("cpu", "cpu.cfs_period_us", l.CPUQuota > 0, "100000"),
		set("cpu", "cpu.cfs_quota_us", l.CPUQuota > 0, strconv.FormatInt(l.CPUQuota.Microseconds(), 10)),
		set("memory", "memory.soft_limit_in_bytes", l.MemoryLow > 0, strconv.FormatInt(l.MemoryLow, 10)),
		set("memory", "memory.limit_in_bytes", l.MemoryMax > 0, strconv.FormatInt(l.MemoryMax, 10)),
		set("pids", "pids.max", l.PIDs > 0, strconv.FormatInt(l.PIDs, 10)),
		set("cpuset", "cpuset.cpus", len(l.Cores) > 0, coreList(l.Cores)),
	)
}

func (g Group) setV2(l Limits) error {
	d, _ := g.dir("")
	set := func(file string, on bool, value string) error {
		if !on {
			return nil
		}
		return write(d, file, value)
	}
	return errors.Join(
		set("cpu.weight", l.CPUShares > 0, strconv.FormatUint(Weight(l.CPUShares), 10)),
		set("cpu.max", l.CPUQuota > 0, fmt.Sprintf("%d 100000", l.CPUQuota.Microseconds())),
		set("memory.low", l.MemoryLow > 0, strconv.FormatInt(l.MemoryLow, 10)),
		set("memory.max", l.MemoryMax > 0, strconv.FormatInt(l.MemoryMax, 10)),
		set("pids.max", l.PIDs > 0, strconv.FormatInt(l.PIDs, 10)),
		set("cpuset.cpus", len(l.Cores) > 0, coreList(l.Cores)),
	)
}

// Weight turns CPU shares of version 1 (2 to 262144) into a weight of version 2 (1 to
// 10000), linearly, as container runtimes do (OCI runtime specification, "cpu.shares").
func Weight(shares uint64) uint64 {
	shares = min(max(shares, 2), 262144)
	return 1 + (shares-2)*9999/262142
}

func coreList(cores []uint16) string {
	out := make([]string, len(cores))
	for i, c := range cores {
		out[i] = strconv.Itoa(int(c))
	}
	return strings.Join(out, ",")
}

func write(dir, file, value string) error {
	err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// Fork calls start on a thread that is in the group meanwhile (version 1), so that the
// process that start forks is born inside. The thread has left the group when Fork returns.
func (g Group) Fork(start func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // stays locked where leaving fails: then the thread ends here
		home, err := g.sys.own()
		if err == nil {
			err = g.moveThread(g.dirs())
		}
		if err == nil {
			err = start()
		}
		if homeErr := g.moveThread(home); homeErr == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

func (g Group) moveThread(dirs []string) error {
	tid := strconv.Itoa(unix.Gettid())
	for _, d := range dirs {
		if err := write(d, "tasks", tid); err != nil {
			return fmt.Errorf("move thread to %s: %w", d, err)
		}
	}
	return nil
}

// own returns the directories of the groups that this thread is in (version 1).
func (s *System) own() ([]string, error) {
	data, err := os.ReadFile("/proc/thread-self/cgroup")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for line := range strings.Lines(string(data)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		for c := range strings.SplitSeq(fields[1], ",") {
			if mount, ok := s.mounts[c]; ok {
				dirs = append(dirs, filepath.Join(mount, fields[2]))
			}
		}
	}
	return dirs, nil
}

// OpenDir opens the group's directory (version 2), for clone into it.
func (g Group) OpenDir() (*os.File, error) {
	d, _ := g.dir("")
	return os.Open(d)
}

// Version is that of the machine's control groups.
func (g Group) Version() int { return g.sys.Version }

// Procs returns the processes in the group and the groups below it, without order.
func (g Group) Procs() ([]int, error) {
	seen := map[int]bool{}
	for _, d := range g.dirs() {
		err := filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return ignoreGone(err)
			}
			return readPIDs(path, seen)
		})
		if err != nil {
			return nil, err
		}
	}
	pids := make([]int, 0, len(seen))
	for pid := range seen {
		pids = append(pids, pid)
	}
	return pids, nil
}

func readPIDs(path string, into map[int]bool) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return ignoreGone(err)
	}
	for f := range strings.FieldsSeq(string(data)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		into[pid] = true
	}
	return nil
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Kill ends all processes in the group and returns when none is left.
func (g Group) Kill(ctx context.Context) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		pids, err := g.Procs()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if pid == os.Getpid() {
				return fmt.Errorf("%s holds this very process", g.path)
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%d processes of %s are still there: %w", len(pids), g.path, ctx.Err())
		case <-timer.C:
		}
	}
}

// Remove deletes the group and the groups below it. Removing one that is not there is no error.
func (g Group) Remove() error {
	var errs []error
	for _, d := range g.dirs() {
		var below []string
		err := filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				below = append(below, path)
			}
			return ignoreGone(err)
		})
		errs = append(errs, err)
		for _, dir := range slices.Backward(below) {
			errs = append(errs, ignoreGone(os.Remove(dir)))
		}
	}
	return errors.Join(errs...)
}

// RemoveEmpty deletes the group where nothing is in it: neither processes nor groups.
func (g Group) RemoveEmpty() error {
	var errs []error
	for _, d := range g.dirs() {
		if err := ignoreGone(os.Remove(d)); !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Exists says whether the group is there.
func (g Group) Exists() bool {
	for _, d := range g.dirs() {
		if _, err := os.Stat(d); err == nil {
			return true
		}
	}
	return false
}
