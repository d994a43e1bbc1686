package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// The Go client finds the routes of plans, versions and scaling, and understands the answers.
func TestClientOfVersions(t *testing.T) {
	c := newCluster()
	c.put(job("a/b"))
	for name, cl := range clients(t, c.api(t), api.Config{}) {
		t.Run(name, func(t *testing.T) {
			ctx, check, jobs := t.Context(), checker(t), cl.Jobs()
			plan, err := jobs.Plan(ctx, &nomadish.JobPlanRequest{Job: job("a/b"), Diff: true})
			check("plan", plan.Diff.Type, nomadish.DiffAdded, err)
			history, _, err := jobs.VersionDiffs(ctx, "a/b", "7", nil)
			check("missing base", history, (*nomadish.JobVersionsResponse)(nil), ignore(err, nomadish.KindNotFound))
			history, _, err = jobs.VersionDiffs(ctx, "a/b", "", nil)
			check("versions", len(history.Versions), 1, err)
			reverted, err := jobs.Revert(ctx, &nomadish.JobRevertRequest{JobID: "a/b", JobVersion: 3})
			check("revert", reverted.JobModifyIndex, uint64(3), err)
			check("revert's index", reverted.Index, uint64(12), err)
			stable, err := jobs.Stabilize(ctx, &nomadish.JobStabilityRequest{JobID: "a/b", JobVersion: 3})
			check("stable", stable.JobModifyIndex, uint64(3), err)
			tag, err := jobs.Tag(ctx, "a/b", "go/lden", &nomadish.JobTagRequest{Description: "d"})
			check("tag", tag.Name+tag.Description, "go/ldend", err)
			check("untag", 0, 0, jobs.Untag(ctx, "a/b", "golden", nomadish.WriteRequest{}))
			check("untag what is not there", 0, 0, ignore(jobs.Untag(ctx, "a/b", "x", nomadish.WriteRequest{}), nomadish.KindNotFound))
			status, _, err := jobs.ScaleStatus(ctx, "a/b", nil)
			check("scale status", status.JobID, "a/b", err)
			count := int64(5)
			scaled, err := jobs.Scale(ctx, "a/b", &nomadish.ScalingRequest{Count: &count, Target: map[string]string{"Group": "g"}})
			check("scale", scaled.JobModifyIndex, uint64(5), err)
			forced, err := jobs.ForcePeriodic(ctx, &nomadish.PeriodicForceRequest{JobID: "a/b"})
			check("force", forced.EvalID, "a/b", err)
			policies, _, err := jobs.ScalingPolicies(ctx, &api.Query{})
			check("policies", len(policies), 1, err)
			policy, _, err := jobs.ScalingPolicy(ctx, "p1", nil)
			check("policy", policy.ID, "p1", err)
		})
	}
}

// ignore drops an error that is expected.
func ignore(err error, kind nomadish.Kind) error {
	if err != nil && nomadish.KindOf(err) == kind {
		return nil
	}
	if err == nil {
		return errors.New("no error")
	}
	return err
}

// Bodies that contradict the path, and bad comparisons, are refused.
func TestVersionsRefuse(t *testing.T) {
	c := newCluster()
	c.put(job("web"))
	a := c.api(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/v1/job/web/revert", `{"JobID":"api"}`, 400, "Job ID does not match"},
		{"PUT", "/v1/job/web/stable", `{"JobID":"api"}`, 400, "Job ID does not match"},
		{"PUT", "/v1/job/web/plan", `{}`, 400, "Job must be specified"},
		{"PUT", "/v1/job/web/plan", `{"Job":{"ID":"api"}}`, 400, "Job ID does not match"},
		{"PUT", "/v1/job/web/scale", `{"Target":{}}`, 400, "missing task group name for scaling action"},
		{"PUT", "/v1/job/web/scale", `{"Target":{"Job":"api","Group":"g"}}`, 400, "job ID in payload did not match URL"},
		{"GET", "/v1/job/web/versions?diffs=x", "", 400, `diffs`},
		{"GET", "/v1/job/web/versions?diffs=true&diff_tag=x", "", 404, `tag "x" not found for job "web"`},
		{"GET", "/v1/job/web/versions?diffs=true&diff_version=x", "", 400, "must be a job version"},
		{"GET", "/v1/job/web/versions?diffs=true&diff_version=9", "", 404, `job "web" has no version 9`},
		{"GET", "/v1/job/web/versions?diffs=true&diff_version=1&diff_tag=x", "", 400, "exclude each other"},
	} {
		rec := httptest.NewRecorder()
		a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, strings.NewReader(tt.body)))
		if rec.Code != tt.status || !strings.Contains(rec.Body.String(), tt.want) {
			t.Errorf("%s %s %s: got %d %q, want %d and %q", tt.method, tt.path, tt.body, rec.Code, rec.Body, tt.status, tt.want)
		}
	}
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/job//scale", strings.NewReader(`{}`)))
	if rec.Code != http.StatusBadRequest {
		t.Errorf("no job: got %d %q, want 400, as Nomad's client expects", rec.Code, rec.Body)
	}
}
