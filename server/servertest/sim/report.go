package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	What      string
	At        string // time since the run's beginning
}

// Report is what came of a run.
type Report struct {
	Seed       uint64
	Servers    int
	Violations []Violation
	Counts     map[string]int
}

func newReport(seed uint64) *Report { return &Report{Seed: seed, Counts: map[string]int{}} }

// What a run has to show at least; less would prove nothing.
var least = map[string]int{
	"acknowledged writes":      150,
	"acknowledged job changes": 20,
	"reads":                    150,
	"stale reads":              40,
	"forwarded":                150,
	"allocations placed":       30,
	"locks acquired":           3,
	"leases renewed":           50,
	"terms":                    2,
	"faults":                   12,
}

// finish completes the counts and holds them to the least that there has to be.
func (r *Report) finish(w *world) {
	r.Counts["terms"] = len(w.ledger.leaders)
	r.Counts["commands"] = int(w.ledger.index)
	for name, n := range r.Counts {
		if strings.HasPrefix(name, "fault: ") {
			r.Counts["faults"] += n
		}
	}
	if w.cfg.Faults < time.Minute {
		return
	}
	for what, n := range least {
		if r.Counts[what] < n && len(r.Violations) == 0 {
			w.violate("load", "%d %s, at least %d are needed to prove anything", r.Counts[what], what, n)
		}
	}
}

// writeHistory writes what happened into a file and returns its name.
func (w *world) writeHistory(t testing.TB) string {
	name := filepath.Join(w.cfg.Failure, fmt.Sprintf("seed-%d.txt", w.cfg.Seed))
	if err := os.MkdirAll(w.cfg.Failure, 0o755); err != nil {
		t.Errorf("history: %v", err)
		return name
	}
	f, err := os.Create(name)
	if err != nil {
		t.Errorf("history: %v", err)
		return name
	}
	defer f.Close()
	out := json.NewEncoder(f)
	for _, v := range w.report.Violations {
		fmt.Fprintln(f, v.At, v.Invariant, v.What)
	}
	for _, op := range w.history.all() {
		if err := out.Encode(op); err != nil {
			t.Errorf("history: %v", err)
			return name
		}
	}
	for _, l := range w.kept.inOrder() {
		fmt.Fprintln(f, l.at.Sub(w.began), l.server, l.text, l.attrs)
	}
	return name
}
