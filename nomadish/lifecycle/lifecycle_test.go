package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

func ExampleRun() {
	ctx, cancel := context.WithCancel(context.Background())
	store := func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("store ends last")
		return nil
	}
	web := func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("web ends first")
		return nil
	}
	cancel()
	fmt.Println(lifecycle.Run(ctx, store, web))
	// Output:
	// web ends first
	// store ends last
	// <nil>
}

// journal notes what happens, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// part runs until its context ends and takes a second to stop.
func (j *journal) part(name string, err error) lifecycle.Part {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(time.Second)
		j.add(name + " has ended")
		return err
	}
}

// Parts are stopped one after the other, the last one first, each when the one behind it
// has ended, whatever ends the run; the errors of all are told.
func TestPartsStopInReverse(t *testing.T) {
	broken, late := errors.New("broken"), errors.New("late")
	for _, tt := range []struct {
		name   string
		middle lifecycle.Part
		want   error
	}{
		{"cancelled", nil, late},
		{"a part fails", func(context.Context) error { return broken }, broken},
		{"a part is done", func(context.Context) error { return nil }, late},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journal{}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				parts := []lifecycle.Part{j.part("first", late), j.part("last", nil)}
				if tt.middle != nil {
					parts = []lifecycle.Part{parts[0], tt.middle, parts[1]}
				}
				err := lifecycle.Run(ctx, parts...)
				if !errors.Is(err, tt.want) || !errors.Is(err, late) {
					t.Errorf("Run = %v, want %v and %v", err, tt.want, late)
				}
				if diff := cmp.Diff([]string{"last has ended", "first has ended"}, j.lines); diff != "" {
					t.Errorf("order (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// That a part's own context ended is no error of its.
func TestCancellationIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	waits := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("wait: %w", ctx.Err())
	}
	if err := lifecycle.Run(ctx, waits); err != nil {
		t.Errorf("Run = %v, want no error", err)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := lifecycle.Sleep(ctx, time.Second); err != nil || time.Since(begin) != time.Second {
			t.Errorf("Sleep(1s) = %v after %s", err, time.Since(begin))
		}
		if err := lifecycle.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("Sleep(1h) = %v after %s, want the context's end after a minute", err, time.Since(begin))
		}
		if err := lifecycle.Sleep(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Sleep(0) after the end = %v", err)
		}
	})
}
