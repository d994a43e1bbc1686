package locks_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
)

// at sleeps until so much time has passed since the test's beginning, and a moment more, in
// which whatever is due then happens.
func at(begin time.Time, d time.Duration) {
	time.Sleep(time.Until(begin.Add(d)))
	synctest.Wait()
}

// A lock that nobody renews is lost after its time to live, and can be had after its delay.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.lead(w.timers())()
		synctest.Wait()
		begin := time.Now()
		for i := range 10 { // more than a batch
			w.acquire(fmt.Sprint("v", i), "a")
		}
		for _, tt := range []struct {
			after time.Duration
			want  string
		}{{9999 * time.Millisecond, "a"}, {10 * time.Second, "lost"}, {29 * time.Second, "lost"}, {30 * time.Second, ""}} {
			at(begin, tt.after)
			for i := range 10 {
				if got := w.holder(fmt.Sprint("v", i)); got != tt.want {
					t.Errorf("after %s: lock of v%d %q, want %q", tt.after, i, got, tt.want)
				}
			}
			if tt.want == "lost" && w.acquire("v0", "b") != nil {
				t.Errorf("after %s: somebody acquired a lock whose delay runs", tt.after)
			}
		}
		if w.acquire("v0", "b") == nil {
			t.Error("the lock can't be had after its delay")
		}
	})
}

// Who renews keeps the lock; each renewal counts from when it was made.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		timers := w.timers()
		defer w.lead(timers)()
		synctest.Wait()
		v := w.acquire("v", "a")
		if err := timers.Renew(v); err != nil { // at once: the change may not have been seen yet
			t.Fatal(err)
		}
		begin := time.Now()
		for i := 1; i <= 20; i++ {
			at(begin, time.Duration(i)*9*time.Second)
			if err := timers.Renew(v); err != nil {
				t.Fatalf("renewal %d: %v", i, err)
			}
		}
		at(begin, 180*time.Second+9999*time.Millisecond)
		if got := w.holder("v"); got != "a" {
			t.Errorf("before its end: lock %q", got)
		}
		at(begin, 190*time.Second)
		if got := w.holder("v"); got != "lost" {
			t.Errorf("at its end: lock %q", got)
		}
		wantKind(t, timers.Renew(v), nomadish.KindConflict)
	})
}

// A lock that was released, or taken by somebody else since, can't be renewed, and its timer
// does nothing to the next one.
func TestStaleTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		timers := w.timers()
		defer w.lead(timers)()
		synctest.Wait()
		begin := time.Now()
		first := w.acquire("v", "a")
		at(begin, 5*time.Second)
		if !w.release("v", "a") {
			t.Fatal("the holder can't release")
		}
		wantKind(t, timers.Renew(first), nomadish.KindConflict)
		second := w.acquire("v", "b")
		if second == nil {
			t.Fatal("a released lock can't be had at once")
		}
		wantKind(t, timers.Renew(first), nomadish.KindConflict)
		w.do(&fsm.ReleaseLock{Namespace: "default", Path: "v", LockID: "a"}) // refused
		if _, _, err := w.Propose(t.Context(), &fsm.ExpireLocks{Locks: []fsm.ExpiredLock{{Namespace: "default", Path: "v", ID: "a"}, {Namespace: "default", Path: "gone", ID: "a"}}}); err != nil {
			t.Fatal(err)
		}
		at(begin, 14*time.Second)
		if got := w.holder("v"); got != "b" {
			t.Errorf("lock %q, want that of b", got)
		}
		if second.Lock.Fence <= first.Lock.Fence {
			t.Errorf("fence %d after %d", second.Lock.Fence, first.Lock.Fence)
		}
	})
}

// A new leader gives every lock its whole time again, and every delay.
func TestNewLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		end := w.lead(w.timers())
		synctest.Wait()
		begin := time.Now()
		w.acquire("lost", "a")
		at(begin, 9*time.Second)
		w.acquire("held", "b")
		at(begin, 12*time.Second) // "lost" is lost since 2s
		end()
		at(begin, 15*time.Second) // nobody leads
		old := w.timers()
		v, err := w.store.Reader().Variable(nil, "default", "held")
		if err != nil {
			t.Fatal(err)
		}
		wantKind(t, old.Renew(v), nomadish.KindNoLeader)
		defer w.lead(w.timers())()
		for _, tt := range []struct {
			after      time.Duration
			held, lost string
		}{{24 * time.Second, "b", "lost"}, {26 * time.Second, "lost", "lost"}, {34 * time.Second, "lost", "lost"}, {36 * time.Second, "lost", ""}} {
			at(begin, tt.after)
			if held, lost := w.holder("held"), w.holder("lost"); held != tt.held || lost != tt.lost {
				t.Errorf("after %s: locks %q and %q, want %q and %q", tt.after, held, lost, tt.held, tt.lost)
			}
		}
	})
}

// A command that fails is tried again, and meanwhile the lock can't be renewed: nobody knows
// whether it has ended.
func TestFailedCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		timers := w.timers()
		defer w.lead(timers)()
		synctest.Wait()
		begin := time.Now()
		v := w.acquire("v", "a")
		synctest.Wait()
		w.setRefuse(errors.New("no"))
		at(begin, 15*time.Second)
		wantKind(t, timers.Renew(v), nomadish.KindConflict)
		w.setRefuse(nil)
		at(begin, 16*time.Second)
		if got := w.holder("v"); got != "lost" {
			t.Errorf("lock %q, want that it is lost", got)
		}
	})
}

// A variable that is deleted takes its lock along.
func TestDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.lead(w.timers())()
		synctest.Wait()
		w.acquire("v", "a")
		if done := w.do(&fsm.DeleteVariable{Namespace: "default", Path: "v"}); done.Refused != fsm.RefusedLocked {
			t.Errorf("deleting a locked variable: %v", done.Refused)
		}
		w.release("v", "a")
		if done := w.do(&fsm.DeleteVariable{Namespace: "default", Path: "v"}); done.Refused != fsm.NotRefused {
			t.Errorf("deleting it after its release: %v", done.Refused)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		index := w.store.Reader().Index()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if now := w.store.Reader().Index(); now != index {
			t.Errorf("%d commands without a lock to end", now-index)
		}
	})
}

func wantKind(t *testing.T, err error, kind nomadish.Kind) {
	t.Helper()
	if err == nil || nomadish.KindOf(err) != kind {
		t.Errorf("error %v of kind %d, want kind %d", err, nomadish.KindOf(err), kind)
	}
}
