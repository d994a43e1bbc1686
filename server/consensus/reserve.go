package consensus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// reserve is space that nobody needs while there is more. When the disk is full it is given up, so that
// the server can still lead or follow, serve reads, and write the snapshot that makes room; and the disk
// counts as full until the reserve fits again.
type reserve struct {
	fs   vfs.FS
	name string
	size int64 // 0 or less: there is none

	mu   sync.Mutex
	held bool
	full bool
}

// isFull says whether there is no space for anything that can be refused.
func (r *reserve) isFull() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.full
}

// take reserves the space, unless the disk is full.
func (r *reserve) take() error {
	if r.size <= 0 {
		r.note(false, false)
		return nil
	}
	f, err := vfs.Create(r.fs, r.name)
	if err == nil {
		err = errors.Join(f.Allocate(r.size), f.Close())
	}
	if noSpace(err) {
		if err := r.fs.Remove(r.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.note(false, true)
		return nil
	}
	if err != nil {
		return err
	}
	r.note(true, false)
	return nil
}

// release gives the space up. It returns false if there was none.
func (r *reserve) release() (bool, error) {
	r.mu.Lock()
	held := r.held
	r.held, r.full = false, true
	r.mu.Unlock()
	if !held {
		return false, nil
	}
	return true, r.fs.Remove(r.name)
}

func (r *reserve) note(held, full bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.full = held, full
}

// mindEvery is the time between looks at whether a full disk has space again.
const mindEvery = time.Second

// mindSpace makes room when the disk gets full, and takes the reserve back when there is room.
func (c *Consensus) mindSpace(ctx context.Context) {
	tick := time.NewTicker(mindEvery)
	defer tick.Stop()
	was := false
	for {
		if c.log.reserve.isFull() {
			if !was {
				c.cfg.Logger.Error("the disk is full: writes are refused until there is space", "dir", c.cfg.Dir, "space", c.cfg.Reserve)
				if err := c.Snapshot(ctx); err != nil && ctx.Err() == nil { // it lets the log be cut
					c.cfg.Logger.Warn("snapshot to make room", "err", err)
				}
			}
			was = true
			if err := c.log.reserve.take(); err != nil {
				c.stop(fmt.Errorf("consensus: %w", err))
			}
		}
		if was && !c.log.reserve.isFull() {
			was = false
			c.cfg.Logger.Info("the disk has space again: writes are accepted", "dir", c.cfg.Dir)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// errNoSpace is the answer to writes while the disk is full.
func (c *Consensus) errNoSpace() error {
	return nomadish.Errorf(nomadish.KindNoSpace, "writes are refused: the disk of the leader %s is full (%s); they go on when %d MiB are free",
		c.cfg.ID, c.cfg.Dir, max(1, c.cfg.Reserve>>20))
}

// Disk says how the disk of the log does.
func (c *Consensus) Disk() Disk {
	d := c.log.pace.disk(time.Now())
	d.Full = c.log.reserve.isFull()
	return d
}

func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
