package scheduler

import (
	"slices"
	"testing"
)

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// A new job gets its count, the fullest node first but never two of a group side by side
// while there is another choice.
func TestScheduleNewJob(t *testing.T) {
	nodes := testNodes(3)
	w := &world{job: testJob("service", 3)}
	out := w.schedule(t, nodes)
	if got := len(out.Plan.NodeAllocation); got != 3 {
		t.Fatalf("allocations on %d nodes, want 3: %v", got, summary(w, out.Plan, nodes))
	}
}
