package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// fakeServer answers with what a server says of a batch job that has run. The first reads of the
// job are refused with a status.
func fakeServer(t *testing.T, refusals, status int) string {
	t.Helper()
	answers := map[string]string{
		"/v1/jobs":                `{"EvalID":"e1","EvalCreateIndex":5,"JobModifyIndex":5}`,
		"/v1/job/web":             `{"ID":"web","Type":"batch","Version":0,"Status":"dead","TaskGroups":[{"Name":"g","Count":1}]}`,
		"/v1/job/web/evaluations": `[{"ID":"e1","Status":"complete","CreateIndex":5}]`,
		"/v1/job/web/allocations": `[{"ID":"a1","Name":"web.g[0]","NodeName":"n\u001b[2J1","TaskGroup":"g","ClientStatus":"complete","DesiredStatus":"run","CreateIndex":6}]`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/job/web" && refusals > 0 {
			refusals--
			http.Error(w, "not now", status)
			return
		}
		w.Header().Set("X-Nomad-Index", "9")
		if _, err := w.Write([]byte(answers[r.URL.Path])); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestFollowRetries: a server that can't answer for a moment is asked again; one that refuses
// for good ends the command, which says that the job is stored.
func TestFollowRetries(t *testing.T) {
	for _, tt := range []struct {
		name           string
		refusals       int
		status         int
		code           int
		stdout, stderr string
	}{
		{name: "no refusal", stdout: "Allocation a1 (web.g[0]) is placed on node n[2J1.\n"},
		{name: "no leader", refusals: 1, status: http.StatusServiceUnavailable, stdout: "trying again"},
		{name: "denied", refusals: 1, status: http.StatusForbidden, code: ExitFailed, stderr: `follow job "web", which is stored: not now`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := runs(t, goodJob, nil, "job", "run", "-address", fakeServer(t, tt.refusals, tt.status), "-var", "count=1", "-")
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got %+v, want %+v", got, tt)
			}
		})
	}
}

// TestJobRunTemplate: with -t the result alone is on standard output.
func TestJobRunTemplate(t *testing.T) {
	got := runs(t, goodJob, nil, "job", "run", "-address", fakeServer(t, 0, 0), "-var", "count=1", "-t", "{{.JobID}} {{.Outcome}} {{.EvalID}}", "-")
	if got.code != ExitOK || got.stdout != "web complete e1\n" || !strings.Contains(got.stderr, "is complete") {
		t.Errorf("got %+v", got)
	}
}
