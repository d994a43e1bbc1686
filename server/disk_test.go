package server_test

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/servertest"
)

// fill makes a disk full: nothing can be reserved on it but what the server's reserve leaves.
func (m *member) fill() (empty func()) {
	var released atomic.Bool
	var hook vfs.Hook = func(op vfs.Op, name string) error {
		reserve := filepath.Base(name) == "reserve"
		switch {
		case op == vfs.OpRemove && reserve:
			released.Store(true)
		case op == vfs.OpAllocate && (reserve || !released.Load()):
			return syscall.ENOSPC
		}
		return nil
	}
	m.hook.Store(&hook)
	return func() { m.hook.Store(nil) }
}

// filler is text that can't be compressed much.
func filler(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// write registers jobs until the leader refuses, or n are there.
func write(t *testing.T, c *cluster, n int) error {
	t.Helper()
	s, err := c.leading()
	for i := 0; err == nil && i < n; i++ {
		job := newJob("filler", i%5)
		job.Meta = map[string]string{"filler": filler(2000)}
		_, _, err = s.Endpoint().RegisterJob(t.Context(), &nomadish.JobRegisterRequest{Job: job})
	}
	return err
}

// A leader whose disk is full leaves the lead to one that has space, and no acknowledged write is lost.
func TestFullLeaderYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 1)
		old := c.awaitLeader(t, nil)
		empty := old.fill()
		if err := write(t, c, 100); err != nil && nomadish.KindOf(err) != nomadish.KindNoSpace && nomadish.KindOf(err) != nomadish.KindNoLeader {
			t.Fatal(err)
		}
		c.awaitLeader(t, old)
		if err := write(t, c, 10); err != nil {
			t.Errorf("with another leader: %v", err)
		}
		empty()
		c.converge(t)
	})
}

// When all disks are full, writes are refused with the reason, reads are served by a leader that stays, and
// all goes on by itself once there is space. Meanwhile who repeats a write that was made is told so.
func TestFullClusterReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 2)
		leader := c.awaitLeader(t, nil)
		register := func() (*nomadish.JobRegisterResponse, uint64, error) {
			ctx := nomadish.WithRequestID(t.Context(), "made")
			return leader.now.Load().Endpoint().RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: newJob("made", 1)})
		}
		first, at, err := register()
		if err != nil {
			t.Fatal(err)
		}
		var empty []func()
		for _, m := range c.members {
			empty = append(empty, m.fill())
		}
		servertest.Eventually(t, "a refusal", func() error {
			if err := write(t, c, 100); nomadish.KindOf(err) == nomadish.KindNoSpace && err != nil {
				return nil
			}
			return errors.New("writes are accepted")
		})
		again, index, err := register()
		if diff := cmp.Diff(first, again); err != nil || diff != "" || index != at {
			t.Errorf("made again, what was done before gives index %d, want %d; %v (-first +again):\n%s", index, at, err, diff)
		}
		term := leader.now.Load().Consensus().Term()
		time.Sleep(30 * time.Second)
		s := leader.now.Load()
		if err := s.Sync(t.Context()); err != nil || s.Consensus().Term() != term {
			t.Errorf("read on a full disk: %v, term %d, want the leader of term %d to serve it", err, s.Consensus().Term(), term)
		}
		for _, free := range empty {
			free()
		}
		servertest.Eventually(t, "writes", func() error { return write(t, c, 1) })
		c.converge(t)
	})
}

// A leader whose appends take long while others' don't leaves the lead to them.
func TestSlowLeaderYields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, 3)
		old := c.awaitLeader(t, nil)
		var slow vfs.Hook = func(op vfs.Op, name string) error {
			if op == vfs.OpSync && filepath.Ext(name) == ".log" {
				time.Sleep(300 * time.Millisecond)
			}
			return nil
		}
		old.hook.Store(&slow)
		began := time.Now()
		for c.leader() == old && time.Since(began) < 30*time.Second {
			if err := write(t, c, 1); err != nil {
				time.Sleep(10 * time.Millisecond) // the lead is just being handed over
			}
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("the slow leader led for %s", took)
		}
		c.awaitLeader(t, old)
		old.hook.Store(nil)
		c.converge(t)
	})
}
