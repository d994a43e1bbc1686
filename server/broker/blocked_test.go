package broker

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

func blocked(id, job string, snapshot uint64, classes map[string]bool) *nomadish.Evaluation {
	e := eval(id, job, 50, snapshot)
	e.Status, e.SnapshotIndex, e.ClassEligibility = nomadish.EvalStatusBlocked, snapshot, classes
	return e
}

func ids(evals []*nomadish.Evaluation) []string {
	var out []string
	for _, e := range evals {
		out = append(out, e.ID)
	}
	return out
}

// waiting lists the evaluations that wait for room.
func waiting(b *Blocked) []string {
	return slices.Sorted(func(yield func(string) bool) {
		for _, e := range b.byJob {
			if !yield(e.ID) {
				return
			}
		}
	})
}

func block(t *testing.T, b *Blocked, e *nomadish.Evaluation) (duplicate string, missed bool) {
	t.Helper()
	d, missed, err := b.Block(e)
	if err != nil {
		t.Fatal(err)
	}
	if d != nil {
		duplicate = d.ID
	}
	return duplicate, missed
}

// Room on a node lets those go whose job its class could run, or that have not seen the class.
func TestUnblockByClass(t *testing.T) {
	b := NewBlocked(0, 5)
	block(t, b, blocked("yes", "a", 10, map[string]bool{"v1:1": true}))
	block(t, b, blocked("no", "b", 10, map[string]bool{"v1:1": false}))
	block(t, b, blocked("unseen", "c", 10, map[string]bool{"v1:2": false}))
	escaped := blocked("escaped", "d", 10, map[string]bool{"v1:1": false})
	escaped.EscapedComputedClass = true
	block(t, b, escaped)
	if diff := cmp.Diff(ids(b.Unblock(20, "v1:1")), []string{"escaped", "unseen", "yes"}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(waiting(b), []string{"no"}); diff != "" {
		t.Error(diff)
	}
}

// Of two of a job the older one is a duplicate, whichever came first.
func TestDuplicates(t *testing.T) {
	b := NewBlocked(0, 0)
	block(t, b, blocked("old", "web", 10, nil))
	if d, _ := block(t, b, blocked("new", "web", 12, nil)); d != "old" {
		t.Errorf("duplicate %q, want old", d)
	}
	if d, _ := block(t, b, blocked("old", "web", 10, nil)); d != "old" {
		t.Errorf("duplicate %q, want old", d)
	}
	if diff := cmp.Diff(waiting(b), []string{"new"}); diff != "" {
		t.Error(diff)
	}
	if e := b.Supersede("default", "web", 11); e != nil {
		t.Errorf("an older look at the job supersedes %s", e.ID)
	}
	if e := b.Supersede("default", "web", 13); e == nil || b.Len() != 0 {
		t.Errorf("a newer look at the job supersedes %v", e)
	}
}

// Room that came up between an evaluation's snapshot and its blocking is not missed.
func TestMissedUnblock(t *testing.T) {
	b := NewBlocked(0, 5)
	b.Unblock(20, "v1:1")
	for _, tt := range []struct {
		eval   *nomadish.Evaluation
		missed bool
	}{
		{blocked("before", "a", 19, map[string]bool{"v1:1": true}), true},
		{blocked("after", "b", 20, map[string]bool{"v1:1": true}), false},
		{blocked("other class", "c", 19, map[string]bool{"v1:1": false}), false},
		{blocked("new leader", "d", 4, map[string]bool{"v1:1": false}), true},
	} {
		if _, missed := block(t, b, tt.eval); missed != tt.missed {
			t.Errorf("%s: missed %v, want %v", tt.eval.ID, missed, tt.missed)
		}
	}
}
