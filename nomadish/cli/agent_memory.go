package cli

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// How often a server's garbage is collected. A large state is mostly what stays: looking through
// it twice as seldom halves what that costs, and a server with thousands of nodes has the memory.
// A small one stays small.
const (
	memoryEvery = 2 * time.Second
	largeHeap   = 64 << 20
	whenSmall   = 100 // the runtime's default
	whenLarge   = 200
)

// collectSeldom has garbage collected more seldom while the heap is large. GOGC in the
// environment is followed instead.
func collectSeldom(env func(string) (string, bool)) lifecycle.Part {
	return func(ctx context.Context) error {
		if _, set := env("GOGC"); set {
			<-ctx.Done()
			return nil
		}
		defer debug.SetGCPercent(debug.SetGCPercent(whenSmall))
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for now := whenSmall; ; {
			if lifecycle.Sleep(ctx, memoryEvery) != nil {
				return nil
			}
			metrics.Read(live)
			if next := percentFor(live[0].Value.Uint64()); next != now {
				now = next
				debug.SetGCPercent(now)
			}
		}
	}
}

func percentFor(live uint64) int {
	if live < largeHeap {
		return whenSmall
	}
	return whenLarge
}
