package sim

import (
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// disk is a server's disk, with its faults.
type disk struct {
	mu    sync.Mutex
	mem   *vfs.Mem
	slow  time.Duration // that a sync takes
	stuck chan struct{} // not nil: nothing works until it is closed
	full  bool
	fail  bool // the next sync fails, and nothing works after it
	hit   bool // a call of the present life has failed
}

// begin returns the disk for a server's next life, which ends with dead.
func (d *disk) begin(dead <-chan struct{}) vfs.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hit = false
	return vfs.WithHook(d.mem, func(op vfs.Op, name string) error { return d.hook(op, name, dead) })
}

func (d *disk) hook(op vfs.Op, name string, dead <-chan struct{}) error {
	d.mu.Lock()
	stuck, slow := d.stuck, d.slow
	d.mu.Unlock()
	if stuck != nil {
		select {
		case <-stuck:
		case <-dead:
			return vfs.ErrCrashed
		}
	}
	if slow > 0 && (op == vfs.OpSync || op == vfs.OpSyncDir) {
		t := time.NewTimer(slow)
		defer t.Stop()
		select {
		case <-t.C:
		case <-dead:
			return vfs.ErrCrashed
		}
	}
	return d.fault(op, name)
}

// fault is the error of a call, or nil.
func (d *disk) fault(op vfs.Op, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fail && (op == vfs.OpSync || op == vfs.OpSyncDir || d.hit && op == vfs.OpWrite):
		d.hit = true
		return syscall.EIO
	case d.full && (op == vfs.OpAllocate || op == vfs.OpWrite && strings.Contains(name, "snapshots")):
		return syscall.ENOSPC
	}
	return nil
}

// crash cuts the power.
func (d *disk) crash(rng *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mem = d.mem.Crash(rng)
}

// set changes the disk's faults.
func (d *disk) set(change func(d *disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// harmed says that the disk has failed, or is about to: the server may end.
func (d *disk) harmed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fail || d.hit
}

// copy returns the disk as a program sees it.
func (d *disk) copy() *vfs.Mem {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mem.Clone()
}
