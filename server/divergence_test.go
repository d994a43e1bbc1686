package server_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// spoil changes a server's state behind its back.
func (m *member) spoil(t *testing.T) {
	t.Helper()
	store := m.now.Load().Store()
	txn := store.Begin()
	w, err := txn.Writer(store.Reader().Index(), store.Reader().Time())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.DeleteJob(nomadish.DefaultNamespace, "filler"), w.Finish(), txn.Commit()); err != nil {
		t.Fatal(err)
	}
}

// A server whose state has become another than that of the others finds out, stops serving, and has theirs
// soon after, also after a restart; a follower and a leader alike. No write is lost.
func TestDivergedServerHeals(t *testing.T) {
	for name, leads := range map[string]bool{"follower": false, "leader": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := start(t, 4)
				bad := c.awaitLeader(t, nil)
				if err := write(t, c, 1); err != nil {
					t.Fatal(err)
				}
				if !leads {
					for _, m := range c.members {
						if m != bad {
							bad = m
							break
						}
					}
				}
				c.converge(t)
				bad.spoil(t)
				for i := 0; c.refused.Load() == 0; i++ {
					if i > 10_000 {
						t.Fatal("it still serves what is wrong")
					}
					s, err := c.leading()
					if err == nil {
						_, err = s.Consensus().Propose(t.Context(), &fsm.Barrier{})
					}
					if err != nil {
						time.Sleep(10 * time.Millisecond)
					}
				}
				time.Sleep(5 * time.Second) // for the snapshots of the wrong state to be replaced
				if err := write(t, c, 1); err != nil {
					t.Error(err)
				}
				time.Sleep(5 * time.Second)
				c.converge(t)
				c.kill(t, bad)
				c.boot(t, bad)
				c.converge(t)
			})
		})
	}
}
