package consensus

import (
	"errors"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/server/consensus/logstore"
	"github.com/nomadish/nomadish/server/consensus/vfs"
)

// A full disk is survived, but for one case: raft takes entries that it had deleted for its last ones where
// those in their place could not be stored, so the server has to start anew.
func TestFullDiskAfterACut(t *testing.T) {
	for _, cut := range []bool{false, true} {
		full := false
		disk := vfs.WithHook(vfs.NewMem(), func(op vfs.Op, _ string) error {
			if full && op == vfs.OpWrite {
				return syscall.ENOSPC
			}
			return nil
		})
		store, err := logstore.Open(logstore.Config{FS: disk, Dir: "raft"})
		if err != nil {
			t.Fatal(err)
		}
		var fatal error
		s := &storage{Store: store, reserve: &reserve{fs: disk}, pace: &pace{}, fatal: func(err error) { fatal = err }}
		entry := func(index uint64) []*raft.Log { return []*raft.Log{{Index: index, Data: []byte("x")}} }
		for index := range uint64(3) {
			if err := s.StoreLogs(entry(index + 1)); err != nil {
				t.Fatal(err)
			}
		}
		next := uint64(4)
		if cut {
			next = 2
			if err := s.DeleteRange(2, 3); err != nil {
				t.Fatal(err)
			}
		}
		full = true
		if err := s.StoreLogs(entry(next)); !errors.Is(err, logstore.ErrFull) {
			t.Errorf("cut %t: %v, want %v", cut, err, logstore.ErrFull)
		}
		if (fatal != nil) != cut {
			t.Errorf("cut %t: the server ends with %v", cut, fatal)
		}
		full = false
		if err := s.StoreLogs(entry(next)); err != nil {
			t.Errorf("cut %t: %v once there is space", cut, err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}
