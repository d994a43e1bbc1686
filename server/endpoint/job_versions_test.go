package endpoint_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// registerPriority makes a version of job "web" with this priority.
func (w *world) registerPriority(priority int) {
	w.t.Helper()
	job := newJob("web")
	job.Priority = &priority
	w.register(job)
}

// A job that is reverted has a new version that is like an old one, with its source, and is
// evaluated. What was changed in between is not overwritten unseen.
func TestRevertJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.registerPriority(10)
	w.registerPriority(20)
	revert := func(version uint64, prior *uint64) (*nomadish.JobRegisterResponse, error) {
		resp, _, err := w.RevertJob(t.Context(), &nomadish.JobRevertRequest{JobID: "web", JobVersion: version, EnforcePriorVersion: prior, WriteRequest: inDefault})
		return resp, err
	}
	_, err := revert(0, nomadish.Ptr(uint64(10)))
	wantKind(t, err, nomadish.KindConflict, "Current job has version 1; enforcing version 10")
	_, err = revert(1, nil)
	wantKind(t, err, nomadish.KindInvalid, "can't revert to current version")
	_, err = revert(7, nil)
	wantKind(t, err, nomadish.KindNotFound, `job "web" in namespace "default" at version 7 not found`)
	resp, err := revert(0, nomadish.Ptr(uint64(1)))
	if err != nil {
		t.Fatal(err)
	}
	job := w.job("web")
	if nomadish.Val(job.Version) != 2 || nomadish.Val(job.Priority) != 10 || w.eval(resp.EvalID).Priority != 10 ||
		resp.JobModifyIndex != nomadish.Val(job.JobModifyIndex) {
		t.Errorf("version %d, priority %d, %+v", nomadish.Val(job.Version), nomadish.Val(job.Priority), resp)
	}
}

// A tag names one version, which is kept when others go, and goes when the tag does.
func TestTagJobVersion(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.registerPriority(1)
	tag := func(name string, version uint64) error {
		_, _, err := w.TagJobVersion(t.Context(), "web", name, &nomadish.JobTagRequest{Version: version, WriteRequest: inDefault})
		return err
	}
	if err := tag("golden", 0); err != nil {
		t.Fatal(err)
	}
	for i := range 8 {
		w.registerPriority(i + 2)
	}
	versions := func() (all []uint64) {
		jobs, _, err := w.JobVersions(t.Context(), nil, "default", "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			all = append(all, nomadish.Val(j.Version))
		}
		return all
	}
	if diff := cmp.Diff([]uint64{8, 7, 6, 5, 4, 3, 0}, versions()); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	wantKind(t, tag("golden", 8), nomadish.KindInvalid, `tag "golden" already exists on a different version of job "web"`)
	wantKind(t, tag("x", 1), nomadish.KindNotFound, `job "web" version 1 not found`)
	if _, err := w.UntagJobVersion(t.Context(), "default", "web", "golden"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{8, 7, 6, 5, 4, 3}, versions()); diff != "" {
		t.Errorf("versions without the tag (-want +got):\n%s", diff)
	}
	_, err := w.UntagJobVersion(t.Context(), "default", "web", "golden")
	wantKind(t, err, nomadish.KindNotFound, `tag "golden" not found for job "web"`)
	resp, _, err := w.TagJobVersion(t.Context(), "web", "new", &nomadish.JobTagRequest{Latest: true, Description: "d", WriteRequest: inDefault})
	if err != nil || resp.TaggedTime != epoch.UnixNano() || w.job("web").VersionTag == nil {
		t.Errorf("%+v, %v, tag %v", resp, err, w.job("web").VersionTag)
	}
}

// The number of tagged versions is bounded: they are kept for good.
func TestTagsAreBounded(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	var last error
	for i := range 40 {
		w.registerPriority(i + 1)
		if _, _, last = w.TagJobVersion(t.Context(), "web", fmt.Sprint("t", i), &nomadish.JobTagRequest{Latest: true, WriteRequest: inDefault}); last != nil {
			break
		}
	}
	wantKind(t, last, nomadish.KindLimited, `job "web" has 32 tagged versions, which is the limit`)
}

// A version can be called stable, or not.
func TestStabilizeJob(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.registerPriority(1)
	resp, index, err := w.StabilizeJob(t.Context(), &nomadish.JobStabilityRequest{JobID: "web", Stable: true, WriteRequest: inDefault})
	if err != nil || resp.JobModifyIndex != index || !nomadish.Val(w.job("web").Stable) {
		t.Errorf("%+v at %d, %v, stable %t", resp, index, err, nomadish.Val(w.job("web").Stable))
	}
	_, _, err = w.StabilizeJob(t.Context(), &nomadish.JobStabilityRequest{JobID: "web", JobVersion: 3, WriteRequest: inDefault})
	wantKind(t, err, nomadish.KindNotFound, `job "web" at version 3 not found`)
}
