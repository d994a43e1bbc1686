//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// Containerd returns the process of the node's containerd.
func (n *Node) Containerd() (Process, error) {
	all, err := n.Processes()
	if err != nil {
		return Process{}, err
	}
	for _, p := range all {
		if p.containerd() {
			return p, nil
		}
	}
	return Process{}, errors.New("no containerd runs")
}

// KillContainerd waits for a containerd of the node and kills it.
func (n *Node) KillContainerd(ctx context.Context) error {
	return Until(ctx, "a containerd runs and is killed", func(context.Context) error {
		p, err := n.Containerd()
		if err != nil {
			return err
		}
		return syscall.Kill(p.PID, syscall.SIGKILL)
	})
}

// Shim returns the process that is the parent of a container's first process.
func (n *Node) Shim(pid int) (int, error) {
	stat, err := process.ReadStat(pid)
	if err != nil {
		return 0, err
	}
	if p, ok := readProcess(stat.Parent); !ok || !slices.Contains(p.Args, "-namespace") {
		return 0, fmt.Errorf("the parent of process %d is no shim: %s", pid, p)
	}
	return stat.Parent, nil
}

// FlushRules deletes the node's table of host rules, as somebody who flushes all does.
func (n *Node) FlushRules() error {
	conn, table, err := n.table()
	if err != nil || table == nil {
		return err
	}
	conn.DelTable(table)
	return conn.Flush()
}

// LosePower takes away all that a boot does: processes, the mounts and sockets below /run,
// network namespaces and links, rules, control groups. Only the disk's content stays.
func (n *Node) LosePower() error {
	if _, err := n.Processes(); err != nil { // learns of the runtime's directories while it runs
		return err
	}
	errs := []error{n.Kill(), n.killAll(), n.LoseNetworks(), n.FlushRules()}
	mounts, err := n.mounts()
	errs = append(errs, err)
	for _, path := range slices.Backward(mounts) {
		errs = append(errs, syscall.Unmount(path, syscall.MNT_DETACH))
	}
	errs = append(errs, n.removeGroups())
	for run := range n.run {
		if filepath.Dir(run) != "/run/nomadish" {
			return errors.Join(append(errs, fmt.Errorf("%s is no directory of the runtime", run))...)
		}
		errs = append(errs, os.RemoveAll(run))
	}
	return errors.Join(errs...)
}
