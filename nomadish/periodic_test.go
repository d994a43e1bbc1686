package nomadish_test

import (
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// TestLaunch: what a periodic job launches is a job of its own, which is not periodic, with
// all that the periodic one says. The periodic job stays as it is.
func TestLaunch(t *testing.T) {
	parent := parseJob(t, "101")
	parent.Admit()
	parent.Version, parent.JobModifyIndex = nomadish.Ptr(uint64(3)), nomadish.Ptr(uint64(7))
	before := parent.Copy()
	child := parent.Launch(time.Unix(1_700_000_000, 5))
	if got := *child.ID; got != "lemmy-backup/periodic-1700000000" || *child.Name != got || *child.ParentID != "lemmy-backup" {
		t.Errorf("ID %q, name %q, parent %q", got, *child.Name, *child.ParentID)
	}
	if child.Periodic != nil || nomadish.Val(child.Version) != 0 || child.Stored() {
		t.Errorf("periodic %v, version %d, stored %t", child.Periodic, nomadish.Val(child.Version), child.Stored())
	}
	if err := child.Validate(); err != nil {
		t.Error(err)
	}
	if parent.SpecChanged(before) {
		t.Error("the periodic job was changed")
	}
	again := parent.Launch(time.Unix(1_700_000_000, 9))
	if again.SpecChanged(child) {
		t.Error("one time has two launches")
	}
	for _, g := range nomadish.DiffJobs(child, parent).TaskGroups {
		if g.Type != nomadish.DiffNone {
			t.Errorf("group %s is %s", g.Name, g.Type)
		}
	}
}
