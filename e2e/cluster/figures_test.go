//go:build linux

package cluster

import (
	"slices"
	"testing"
	"time"
)

// full returns the second of two measures in a build with the tag faults, as make faults does, and
// the first one in everybody's tests: those check what must never happen, and no time.
func full[T any](usually, faults T) T {
	if everything {
		return faults
	}
	return usually
}

// figures are times that are measured, and what they should be on a machine with nothing else to do.
type figures struct {
	name          string
	median, worst time.Duration // 0: no target
	all           []time.Duration
}

func (f *figures) add(d time.Duration) { f.all = append(f.all, d) }

// report logs the figures, and compares them with their targets where all tests are to run.
func (f *figures) report(t *testing.T) {
	t.Helper()
	sorted := slices.Sorted(slices.Values(f.all))
	if len(sorted) == 0 {
		t.Fatalf("%s: nothing was measured", f.name)
	}
	median, worst := sorted[len(sorted)/2], sorted[len(sorted)-1]
	t.Logf("FIGURE %s: median %s, worst %s of %d (targets %s, %s): %v", f.name, median.Round(time.Millisecond),
		worst.Round(time.Millisecond), len(sorted), f.median, f.worst, rounded(f.all))
	if full(false, true) && (f.median > 0 && median > f.median || f.worst > 0 && worst > f.worst) {
		t.Errorf("%s: above target", f.name)
	}
}

func rounded(all []time.Duration) (out []time.Duration) {
	for _, d := range all {
		out = append(out, d.Round(10*time.Millisecond))
	}
	return out
}
