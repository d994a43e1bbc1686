//go:build linux

package machine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
)

// Left says what the node's tasks have left on the machine: processes, control groups,
// mounts, links, rules and files of the runtime. Helpers that are meant to stay, such as
// containerd, are not among them.
func (n *Node) Left() error {
	var errs []error
	processes, err := n.Processes()
	errs = append(errs, err)
	for _, p := range slices.DeleteFunc(processes, Process.stays) {
		errs = append(errs, fmt.Errorf("process %s", p))
	}
	groups, err := n.groups()
	errs = append(errs, err)
	for _, dir := range slices.DeleteFunc(groups, n.stays) {
		errs = append(errs, fmt.Errorf("control group %s", dir))
	}
	mounts, err := n.mounts()
	errs = append(errs, err)
	for _, path := range mounts {
		errs = append(errs, fmt.Errorf("mount %s", path))
	}
	for _, link := range n.links() {
		errs = append(errs, fmt.Errorf("link %s", link))
	}
	for _, path := range n.runtimeFiles() {
		errs = append(errs, fmt.Errorf("file %s", path))
	}
	rules, err := n.rules()
	if errs = append(errs, err); rules > 0 {
		errs = append(errs, fmt.Errorf("%d elements of rules", rules))
	}
	return errors.Join(errs...)
}

// stays says that a control group is no task's: the parent of all of them, or containerd's own.
func (n *Node) stays(group string) bool {
	return filepath.Base(group) == n.group || strings.Contains(group, "/nomadish-runtime/")
}

// instance tells the nodes of one machine apart, in what they name on it.
func (n *Node) instance() string {
	sum := sha256.Sum256([]byte(n.DataDir()))
	return hex.EncodeToString(sum[:3])
}

// links returns the names of the node's links to network namespaces.
func (n *Node) links() []string {
	found, err := filepath.Glob("/sys/class/net/nm" + n.instance() + "*")
	if err != nil {
		return nil // the pattern is right
	}
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// LoseNetworks takes the mounts and links of the node's network namespaces away, as a boot
// does. Its agent must not run.
func (n *Node) LoseNetworks() error {
	var errs []error
	mounted, err := n.mounts()
	errs = append(errs, err)
	for _, path := range mounted {
		if strings.HasPrefix(path, n.networks()+"/") {
			errs = append(errs, syscall.Unmount(path, syscall.MNT_DETACH))
		}
	}
	for _, link := range n.links() {
		found, err := netlink.LinkByName(link)
		if err == nil {
			err = netlink.LinkDel(found)
		}
		if !slices.Contains(n.links(), link) {
			continue // the kernel takes it away with its namespace
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, os.RemoveAll(n.networks()))...)
}

// networks is where the node's network namespaces are mounted.
func (n *Node) networks() string {
	return filepath.Join("/run/nomadish", n.instance()+"-netns")
}

// Close ends the agent and everything that it started, and frees what the kernel holds for
// them. Files below Dir stay. It is an error if the agent has ended before by itself.
func (n *Node) Close() error {
	var errs []error
	if _, err := n.Processes(); err != nil { // learns of containerd's directory while it runs
		errs = append(errs, err)
	}
	errs = append(errs, n.Ended(), n.Stop())
	errs = append(errs, n.killAll())
	mounts, err := n.mounts()
	errs = append(errs, err)
	for _, path := range slices.Backward(mounts) {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", path, err))
		}
	}
	errs = append(errs, n.removeGroups())
	for dir := range n.run {
		errs = append(errs, os.RemoveAll(dir))
	}
	errs = append(errs, os.RemoveAll(n.networks()), n.FlushRules())
	return errors.Join(errs...)
}

// removeGroups removes the node's control groups, once the kernel has done with the processes
// that were in them.
func (n *Node) removeGroups() error {
	for end := time.Now().Add(stopTimeout); ; time.Sleep(pause) {
		groups, err := n.groups()
		if err != nil {
			return err
		}
		busy := error(nil)
		for _, dir := range slices.Backward(groups) {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				busy = err
			}
		}
		if busy == nil || time.Now().After(end) {
			return busy
		}
	}
}

// killAll kills the node's processes until none is left.
func (n *Node) killAll() error {
	for end := time.Now().Add(stopTimeout); ; time.Sleep(pause) {
		all, err := n.Processes()
		if err != nil || len(all) == 0 {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes that nobody can end: %v", all)
		}
		for _, p := range all {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %s: %w", p, err)
			}
		}
	}
}

// groups returns the directories of the node's control groups, parents first.
func (n *Node) groups() ([]string, error) {
	var found []string
	tops := []string{n.group}
	for run := range n.run {
		tops = append(tops, filepath.Join("nomadish-runtime", filepath.Base(run)))
	}
	trees, err := filepath.Glob("/sys/fs/cgroup/*")
	if err != nil {
		return nil, err
	}
	for _, tree := range append(trees, "/sys/fs/cgroup") {
		for _, top := range tops {
			err := filepath.WalkDir(filepath.Join(tree, top), func(path string, d fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENODEV) {
					return nil
				}
				if err == nil && d.IsDir() && !slices.Contains(found, path) {
					found = append(found, path)
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// mounts returns where something of the node's is mounted, in the order of mounting.
func (n *Node) mounts() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		path := fields[4]
		ours := strings.HasPrefix(path, n.cfg.Dir+"/") || strings.HasPrefix(path, n.networks()+"/")
		for run := range n.run {
			ours = ours || strings.HasPrefix(path, run+"/")
		}
		if ours {
			found = append(found, path)
		}
	}
	return found, nil
}
