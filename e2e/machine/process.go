//go:build linux

package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// Process is a process of a node: its agent, a helper, or one of a task.
type Process struct {
	PID   int
	Args  []string
	Group string // paths of its control groups, as /proc tells them
}

// Task says whether the process runs in the control group of a task.
func (p Process) Task() bool { return strings.Contains(p.Group, "/nomadish-e2e-") }

// Helper says whether it is neither the agent nor part of a task.
func (p Process) Helper() bool { return !p.Task() && !slices.Contains(p.Args, "agent") }

// containerd says whether it is a node's containerd, and not a task that is called so.
func (p Process) containerd() bool { return !p.Task() && len(p.Args) == 4 && p.Args[1] == "containerd" }

// stays says whether it is meant to stay without tasks, or to end a while after the last.
func (p Process) stays() bool {
	return p.containerd() || !p.Task() && (slices.Contains(p.Args, "agent") || slices.Contains(p.Args, "supervise"))
}

func (p Process) String() string { return fmt.Sprintf("%d %s", p.PID, strings.Join(p.Args, " ")) }

// Processes returns the node's processes that have not ended.
func (n *Node) Processes() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, ok := readProcess(pid)
		if !ok {
			continue
		}
		run := runDir(p.Args)
		mentioned := slices.ContainsFunc(p.Args, func(a string) bool { return strings.Contains(a, n.cfg.Dir+"/") })
		if mentioned && run != "" {
			n.run[run] = true
		}
		if mentioned || n.run[run] || strings.Contains(p.Group, "/"+n.group+"/") {
			found = append(found, p)
		}
	}
	return found, nil
}

// runDir is where a containerd or a shim has its sockets, told by its arguments.
func runDir(args []string) string {
	if len(args) == 4 && args[1] == "containerd" {
		return args[3]
	}
	if i := slices.Index(args, "-address"); i >= 0 && i+1 < len(args) {
		return filepath.Dir(args[i+1])
	}
	return ""
}

// readProcess reads a process; one that has ended, reaped or not, is not there.
func readProcess(pid int) (Process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return Process{}, false
	}
	group, err := os.ReadFile(filepath.Join(dir, "cgroup"))
	if err != nil {
		return Process{}, false
	}
	if !process.Running(pid) {
		return Process{}, false
	}
	p := Process{PID: pid, Group: string(group)}
	if len(args) > 0 {
		p.Args = strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
	}
	return p, true
}

// TaskPIDs returns the processes of an allocation's tasks, in order.
func (n *Node) TaskPIDs(allocID string) ([]int, error) {
	all, err := n.Processes()
	var pids []int
	for _, p := range all {
		if strings.Contains(p.Group, "/"+n.group+"/"+allocID) {
			pids = append(pids, p.PID)
		}
	}
	slices.Sort(pids)
	return pids, err
}

// AllTaskPIDs returns the processes of all allocations' tasks, in order, by allocation.
func (n *Node) AllTaskPIDs() (map[string][]int, error) {
	all, err := n.Processes()
	found := map[string][]int{}
	for _, p := range all {
		_, below, ok := strings.Cut(p.Group, "/"+n.group+"/")
		const idLength = 36
		if ok && len(below) >= idLength {
			found[below[:idLength]] = append(found[below[:idLength]], p.PID)
		}
	}
	for _, pids := range found {
		slices.Sort(pids)
	}
	return found, err
}

// status reads a figure in KiB of a file of lines "Name:  123 kB" and adds up those wanted.
func status(pid int, file string, want func(name string) bool) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	var sum int64
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(line, ":")
		if !want(name) {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, err
		}
		sum += kib << 10
	}
	return sum, nil
}

// RSS returns the bytes that a process has in memory.
func RSS(pid int) (int64, error) {
	return status(pid, "status", func(name string) bool { return name == "VmRSS" })
}

// PrivateMemory returns the bytes that a process has in memory for itself alone.
func PrivateMemory(pid int) (int64, error) {
	return status(pid, "smaps_rollup", func(name string) bool { return strings.HasPrefix(name, "Private_") })
}

// CPUTime returns how long a process has computed, to 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	s, err := process.ReadStat(pid)
	return s.User + s.System, err
}

// CPUTimeWithChildren is CPUTime with that of the children that it has waited for.
func CPUTimeWithChildren(pid int) (time.Duration, error) {
	s, err := process.ReadStat(pid)
	return s.User + s.System + s.Children, err
}
