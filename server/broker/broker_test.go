package broker

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

func eval(id, job string, priority int, index uint64) *nomadish.Evaluation {
	return &nomadish.Evaluation{
		ID: id, JobID: job, Namespace: "default", Type: "service", Priority: priority,
		TriggeredBy: nomadish.EvalTriggerNodeUpdate, Status: nomadish.EvalStatusPending, CreateIndex: index, ModifyIndex: index,
	}
}

// start runs a Broker inside a bubble until the test ends.
func start(t *testing.T, cfg Config) *Broker {
	t.Helper()
	b := New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b
}

func offer(t *testing.T, b *Broker, evals ...*nomadish.Evaluation) {
	t.Helper()
	for _, e := range evals {
		if err := b.Enqueue(e); err != nil {
			t.Fatal(err)
		}
	}
}

// take waits up to a minute of the bubble's time for an evaluation of a type.
func take(t *testing.T, b *Broker, kind string) *Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d, err := b.Dequeue(ctx, kind)
	if err != nil {
		return nil
	}
	return d
}

// The most urgent goes first, the oldest of equals, and of one job only one at a time.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		offer(t, b, eval("a", "web", 50, 1), eval("b", "db", 50, 2), eval("c", "cache", 80, 3), eval("d", "web", 90, 4))
		var got []string
		for range 3 {
			got = append(got, take(t, b, "service").Eval.ID)
		}
		if diff := cmp.Diff(got, []string{"c", "a", "b"}); diff != "" {
			t.Error(diff)
		}
		if d := take(t, b, "service"); d != nil {
			t.Errorf("%s is handed out while its job is worked on", d.Eval.ID)
		}
		if d := take(t, b, "batch"); d != nil {
			t.Errorf("got %s of another type", d.Eval.ID)
		}
	})
}

// While one evaluation of a job is worked on, one other stands in for all that come, and asks
// for a state that has seen them all. One that a user waits for is kept.
func TestSuperseded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		user := eval("b", "web", 50, 2)
		user.TriggeredBy = nomadish.EvalTriggerJobRegister
		offer(t, b, eval("a", "web", 50, 1))
		d := take(t, b, "service")
		offer(t, b, user, eval("c", "web", 50, 3), eval("d", "web", 50, 4))
		if err := b.Ack("a", d.Token); err != nil {
			t.Fatal(err)
		}
		d = take(t, b, "service")
		if d.Eval.ID != "b" || d.Index != 4 {
			t.Errorf("got %s from index %d, want b from 4", d.Eval.ID, d.Index)
		}
		var gone []string
		for _, e := range b.Superseded() {
			gone = append(gone, e.ID)
		}
		if diff := cmp.Diff(gone, []string{"c", "d"}); diff != "" {
			t.Error(diff)
		}
	})
}

// An evaluation that is given back comes again after a while, in the end as a failed one; so
// does one whose worker is silent.
func TestRedelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{NackTimeout: 10 * time.Second, NackDelay: time.Second, NackDelayMore: 5 * time.Second})
		offer(t, b, eval("a", "web", 50, 1))
		began := time.Now()
		first := take(t, b, "service")
		if err := b.Nack("a", first.Token); err != nil {
			t.Fatal(err)
		}
		take(t, b, "service")
		if got := time.Since(began); got != time.Second {
			t.Errorf("given back, it came again after %s", got)
		}
		if err := b.Ack("a", first.Token); err == nil {
			t.Error("the first worker's token still counts")
		}
		third := take(t, b, "service") // the second is silent
		if got := time.Since(began); got != 16*time.Second {
			t.Errorf("its worker silent, it came again after %s", got)
		}
		if err := b.Nack("a", third.Token); err != nil {
			t.Fatal(err)
		}
		d := take(t, b, Failed)
		if d == nil || d.Eval.ID != "a" {
			t.Fatal("it did not fail after three deliveries")
		}
		if err := b.Ack("a", d.Token); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(b.Stats(), Stats{}); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWaitUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		late := eval("late", "web", 90, 1)
		late.WaitUntil = time.Now().Add(30 * time.Second)
		offer(t, b, late, eval("now", "web", 10, 2))
		d := take(t, b, "service")
		if d.Eval.ID != "now" {
			t.Fatalf("got %s", d.Eval.ID)
		}
		if err := b.Ack("now", d.Token); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if d = take(t, b, "service"); d.Eval.ID != "late" || time.Since(began) != 30*time.Second {
			t.Errorf("got %s after %s", d.Eval.ID, time.Since(began))
		}
	})
}

// A newer version of an evaluation that comes while the older is worked on is not lost.
func TestNewerWhileWorkedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		offer(t, b, eval("a", "web", 50, 1))
		d := take(t, b, "service")
		offer(t, b, eval("a", "web", 50, 9))
		if err := b.Ack("a", d.Token); err != nil {
			t.Fatal(err)
		}
		if d := take(t, b, "service"); d == nil || d.Index != 9 {
			t.Errorf("got %+v, want the newer one", d)
		}
	})
}

func TestFull(t *testing.T) {
	b := New(Config{MaxWaiting: 2})
	offer(t, b, eval("a", "a", 50, 1), eval("b", "b", 50, 2))
	if err := b.Enqueue(eval("c", "c", 50, 3)); nomadish.KindOf(err) != nomadish.KindLimited {
		t.Errorf("got %v, want a refusal that names the bound", err)
	}
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		b.Pause(true)
		offer(t, b, eval("a", "web", 50, 1))
		if d := take(t, b, "service"); d != nil {
			t.Error("handed out while paused")
		}
		b.Pause(false)
		if d := take(t, b, "service"); d == nil {
			t.Error("not handed out any more")
		}
	})
}

// Whatever workers do, each evaluation is at last acknowledged, failed or superseded, exactly
// once.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			b := start(t, Config{NackTimeout: 5 * time.Second, NackDelayMore: 2 * time.Second})
			const n = 60
			for i := range n {
				offer(t, b, eval(fmt.Sprint("e", i), fmt.Sprint("job", i%7), (i*31+int(seed)*17)%100, uint64(i+1)))
			}
			ended := map[string]int{}
			x := seed
			for {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				d, err := b.Dequeue(ctx, "service", Failed)
				cancel()
				if err != nil {
					break
				}
				x = x*6364136223846793005 + 1442695040888963407
				switch {
				case x>>60 < 4:
					if err := b.Nack(d.Eval.ID, d.Token); err != nil {
						t.Fatal(err)
					}
				case x>>60 < 6: // silent
				default:
					if err := b.Ack(d.Eval.ID, d.Token); err != nil {
						t.Fatal(err)
					}
					ended[d.Eval.ID]++
				}
			}
			for _, e := range b.Superseded() {
				ended[e.ID]++
			}
			for i := range n {
				if got := ended[fmt.Sprint("e", i)]; got != 1 {
					t.Errorf("e%d ended %d times", i, got)
				}
			}
			if diff := cmp.Diff(b.Stats(), Stats{}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// However wrong the clock was of who made an evaluation that is to wait: it waits for as long as its maker
// wanted it to, at the most.
func TestWaitIsNoLongerThanWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, Config{})
		later := eval("later", "web", 50, 1)
		made := time.Now().Add(10 * 365 * 24 * time.Hour)
		later.CreateTime, later.WaitUntil = made.UnixNano(), made.Add(5*time.Second)
		offer(t, b, later)
		began := time.Now()
		if d := take(t, b, "service"); d == nil || time.Since(began) != 5*time.Second {
			t.Errorf("got %+v after %s, want it after 5s", d, time.Since(began))
		}
	})
}
