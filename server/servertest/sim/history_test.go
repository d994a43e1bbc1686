package sim

import (
	"testing"
	"time"
)

// What the check of histories calls possible, and what not.
func TestLinearize(t *testing.T) {
	op := func(client int, call, end time.Duration, kind opKind, outcome outcome, value string, expect, index uint64, shown string) *operation {
		return &operation{
			Client: client, Call: call, Return: end, Kind: kind, Key: "k", Value: value, Expect: expect,
			Outcome: outcome, Seen: seen{index, shown},
		}
	}
	first := op(0, 0, 1, set, done, "a", 0, 5, "a")
	for _, tt := range []struct {
		name  string
		ops   []*operation
		legal bool
	}{
		{"a write is read", []*operation{first, op(1, 2, 3, read, done, "", 0, 5, "a")}, true},
		{"an acknowledged write is not read", []*operation{first, op(1, 2, 3, read, done, "", 0, 0, "")}, false},
		{"a read beside the write may miss it", []*operation{first, op(1, 0, 3, read, done, "", 0, 0, "")}, true},
		{"an index that goes back", []*operation{first, op(1, 2, 3, set, done, "b", 0, 4, "b")}, false},
		{"a write that nobody saw end comes later", []*operation{
			first, op(1, 2, 3, set, unknown, "b", 0, 0, ""), op(0, 4, 5, read, done, "", 0, 5, "a"), op(0, 6, 7, read, done, "", 0, 9, "b"),
		}, true},
		{"and never goes away again", []*operation{
			first, op(1, 2, 3, set, unknown, "b", 0, 0, ""), op(0, 4, 5, read, done, "", 0, 9, "b"), op(0, 6, 7, read, done, "", 0, 5, "a"),
		}, false},
		{"compare and set of what is there", []*operation{first, op(1, 2, 3, cas, done, "b", 5, 6, "b")}, true},
		{"compare and set of what was there", []*operation{
			first, op(1, 2, 3, set, done, "b", 0, 6, "b"), op(0, 4, 5, cas, done, "c", 5, 7, "c"),
		}, false},
		{"a conflict with what is there", []*operation{first, op(1, 2, 3, cas, conflicted, "b", 4, 5, "a")}, true},
		{"a conflict without a reason", []*operation{first, op(1, 2, 3, cas, conflicted, "b", 5, 5, "a")}, false},
		{"a removed key is not there", []*operation{first, op(1, 2, 3, remove, done, "", 0, 0, ""), op(0, 4, 5, read, done, "", 0, 0, "")}, true},
		{"and does not come back", []*operation{first, op(1, 2, 3, remove, done, "", 0, 0, ""), op(0, 4, 5, read, done, "", 0, 5, "a")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &world{report: newReport(0)}
			w.log = newLog(&w.kept)
			for _, o := range tt.ops {
				w.history.add(o)
			}
			w.linearize(nil)
			if legal := len(w.report.Violations) == 0; legal != tt.legal {
				t.Errorf("legal: %t, want %t; %v", legal, tt.legal, w.report.Violations)
			}
		})
	}
}
