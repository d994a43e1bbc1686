package state_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// A follower gets every change after its snapshot, once and in order.
func TestFollow(t *testing.T) {
	s := withAllocs(t, 1)
	r, f := s.Follow()
	if r.Index() != 2 {
		t.Errorf("snapshot of index %d, want 2", r.Index())
	}
	write(t, s, 3, func(w *state.Writer) error {
		return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(0), ClientStatus: "running"})
	})
	write(t, s, 4, func(w *state.Writer) error { return w.DeleteNode(id(1)) })
	c, err := f.Next(t.Context())
	if err != nil || c.Index != 3 {
		t.Fatalf("changes of index %d (error %v), want 3", c.Index, err)
	}
	var tables []string
	for _, change := range c.Changes {
		tables = append(tables, change.Table)
	}
	if diff := cmp.Diff([]string{state.TableAllocations, state.TableJobSummaries}, tables); diff != "" {
		t.Errorf("changed tables (-want +got):\n%s", diff)
	}
	before, after := c.Changes[0].Before.(*nomadish.Allocation), c.Changes[0].After.(*nomadish.Allocation)
	if before.ClientStatus != "pending" || after.ClientStatus != "running" {
		t.Errorf("changed from %s to %s, want pending to running", before.ClientStatus, after.ClientStatus)
	}
	c, err = f.Next(t.Context())
	if err != nil || c.Index != 4 || c.Changes[0].After != nil {
		t.Errorf("changes %+v (error %v), want a deleted node at index 4", c, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing more: error %v, want that the context ended", err)
	}
}

// A follower that is too slow, or whose store was replaced, has to start again.
func TestFollowerLags(t *testing.T) {
	s := withAllocs(t, 1)
	var snapshot bytes.Buffer
	if err := s.Reader().WriteSnapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	_, slow := s.Follow()
	txn := s.Begin()
	for i := range uint64(10_000) {
		w, err := txn.Writer(i+3, start)
		if err == nil {
			err = w.Finish()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Next(t.Context()); !errors.Is(err, state.ErrLagged) {
		t.Errorf("slow follower: error %v, want %v", err, state.ErrLagged)
	}
	_, f := s.Follow()
	if err := s.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(t.Context()); !errors.Is(err, state.ErrLagged) {
		t.Errorf("after a restore: error %v, want %v", err, state.ErrLagged)
	}
}

// What every follower has read is not kept: of 100 commands that changed big rows, nothing is
// left in memory but the newest rows.
func TestReadChangesAreFreed(t *testing.T) {
	s := withAllocs(t, 1)
	_, f := s.Follow()
	freed := make(chan struct{}, 100)
	for i := range uint64(100) {
		write(t, s, i+3, func(w *state.Writer) error {
			states := map[string]*nomadish.TaskState{"t": {State: "running", Restarts: i}}
			return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(0), ClientStatus: "running", TaskStates: states})
		})
		c, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(c.Changes[0].After.(*nomadish.Allocation), func(ch chan struct{}) { ch <- struct{}{} }, freed)
	}
	write(t, s, 103, func(w *state.Writer) error { return w.PutNode(&nomadish.Node{ID: id(1)}) })
	if _, err := f.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 99 { // the last one is the state's
		runtime.GC()
		select {
		case <-freed:
		case <-time.After(10 * time.Second):
			t.Fatal("rows that were read and replaced are still in memory")
		}
	}
}

// A watch fires when its answer changes, and not when something else does; and when the
// store is replaced.
func TestWatch(t *testing.T) {
	fired := func(ws memdb.WatchSet) bool {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for ch := range ws {
			select {
			case <-ch:
				return true
			default:
			}
		}
		return ws.WatchCtx(ctx) == nil
	}
	s := withAllocs(t, 2)
	one, list, other := memdb.NewWatchSet(), memdb.NewWatchSet(), memdb.NewWatchSet()
	r := s.Reader()
	if _, err := r.Allocation(one, id(0)); err != nil {
		t.Fatal(err)
	}
	r.AllocationsByJob(list, "default", "web")
	if _, err := r.Node(other, id(1)); err != nil {
		t.Fatal(err)
	}
	write(t, s, 3, func(w *state.Writer) error {
		return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(0), ClientStatus: "running"})
	})
	if !fired(one) || !fired(list) || fired(other) {
		t.Errorf("fired: allocation %v, list %v, node %v; want true, true, false", fired(one), fired(list), fired(other))
	}
	var snapshot bytes.Buffer
	if err := r.WriteSnapshot(&snapshot); err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(&snapshot); err != nil {
		t.Fatal(err)
	}
	if !fired(other) {
		t.Error("a watch did not fire when the store was replaced")
	}
}

// Await returns when the answer is newer than what the caller has, or when ctx ends.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withAllocs(t, 1)
		var status string
		query := func(r state.Reader, ws memdb.WatchSet) (uint64, error) {
			a, err := r.Allocation(ws, id(0))
			if err != nil {
				return 0, err
			}
			status = a.ClientStatus
			return a.ModifyIndex, nil
		}
		done := make(chan error, 1)
		go func() { done <- s.Await(t.Context(), 2, query) }()
		synctest.Wait()
		write(t, s, 3, func(w *state.Writer) error { return w.PutNode(&nomadish.Node{ID: id(1)}) })
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("returned (error %v) before its answer changed", err)
		default:
		}
		write(t, s, 4, func(w *state.Writer) error {
			return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(0), ClientStatus: "running"})
		})
		if err := <-done; err != nil || status != "running" {
			t.Errorf("status %s (error %v), want running", status, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Await(ctx, 9, query); err != nil || ctx.Err() == nil {
			t.Errorf("error %v before the wait was over (%v)", err, ctx.Err())
		}
	})
}

// WaitIndex returns when a command at or past the index is applied.
func TestWaitIndex(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withAllocs(t, 1)
		done := make(chan error, 1)
		go func() { done <- s.WaitIndex(t.Context(), 4) }()
		write(t, s, 3, func(w *state.Writer) error { return nil })
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("returned too early")
		}
		write(t, s, 5, func(w *state.Writer) error { return nil })
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
