package cli

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// The flags of node drain ask for one drain, or are refused.
func TestDrainFlags(t *testing.T) {
	const hour = defaultDrainDeadline
	spec := func(deadline time.Duration) *nomadish.NodeDrainRequest {
		return &nomadish.NodeDrainRequest{NodeID: "n", DrainSpec: &nomadish.DrainSpec{Deadline: deadline}}
	}
	for _, tt := range []struct {
		name  string
		flags drainFlags
		args  int
		want  *nomadish.NodeDrainRequest // nil: refused
	}{
		{"nothing", drainFlags{deadline: hour}, 1, nil},
		{"enable", drainFlags{enable: true, deadline: hour}, 1, spec(time.Hour)},
		{"a deadline", drainFlags{enable: true, deadline: time.Minute}, 1, spec(time.Minute)},
		{"force", drainFlags{enable: true, force: true, deadline: hour}, 1, spec(-1)},
		{"no deadline", drainFlags{enable: true, noDeadline: true, deadline: hour}, 1, spec(0)},
		{"force and no deadline", drainFlags{enable: true, force: true, noDeadline: true, deadline: hour}, 1, nil},
		{"force and a deadline", drainFlags{enable: true, force: true, deadline: time.Minute}, 1, nil},
		{"no time", drainFlags{enable: true}, 1, nil},
		{"self and a node", drainFlags{enable: true, self: true, deadline: hour}, 1, nil},
		{"no node", drainFlags{enable: true, deadline: hour}, 0, nil},
		{"enable and disable", drainFlags{enable: true, disable: true, deadline: hour}, 1, nil},
		{"disable", drainFlags{disable: true, deadline: hour}, 1, &nomadish.NodeDrainRequest{NodeID: "n", MarkEligible: true}},
		{"disable, ineligible", drainFlags{disable: true, keepIneligible: true, deadline: hour}, 1, &nomadish.NodeDrainRequest{NodeID: "n"}},
		{"disable by force", drainFlags{disable: true, force: true, deadline: hour}, 1, nil},
		{"metadata", drainFlags{disable: true, deadline: hour, message: "disk", meta: []string{"by=me=you"}}, 1, &nomadish.NodeDrainRequest{
			NodeID: "n", MarkEligible: true, Meta: map[string]string{"message": "disk", "by": "me=you"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.flags.check(tt.args); (err != nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			if tt.want == nil {
				return
			}
			if diff := cmp.Diff(tt.flags.request("n"), tt.want); diff != "" {
				t.Errorf("got - want +:\n%s", diff)
			}
		})
	}
}
