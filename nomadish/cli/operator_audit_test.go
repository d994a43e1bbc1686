package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
)

// auditFile writes a log with a write that was done and one that was denied, and returns
// its head.
func auditFile(t *testing.T, path string) string {
	t.Helper()
	log, err := audit.Open(audit.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	caller := &nomadish.Caller{Kind: nomadish.CallerToken, ID: "accessor-1", Name: "deploy"}
	for endpoint, status := range map[string]int{"/v1/jobs": 200, "/v1/var/app": 403} {
		e := audit.NewEntry(time.Now(), caller, audit.Request{Operation: "PUT", Endpoint: endpoint}, &audit.Response{StatusCode: status})
		if err := log.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	return log.Head().String()
}

// The command shows what is asked for of a log that is whole, and fails with the line where
// it is not, or where its end is missing.
func TestOperatorAudit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	head := auditFile(t, path)
	for _, tt := range []struct {
		name string
		args []string
		code int
		has  []string
		not  []string
	}{
		{name: "all", has: []string{"/v1/jobs", "/v1/var/app", "token deploy", "chain is whole: 2 entries", head}},
		{name: "denied", args: []string{"-denied"}, has: []string{"/v1/var/app", "403"}, not: []string{"/v1/jobs"}},
		{name: "path", args: []string{"-path", "/v1/jobs"}, has: []string{"/v1/jobs"}, not: []string{"/v1/var"}},
		{name: "accessor", args: []string{"-accessor", "another"}, not: []string{"/v1/"}},
		{name: "newest", args: []string{"-n", "1"}, has: []string{"1 more before these"}},
		{name: "quiet", args: []string{"-q"}, has: []string{"2 entries"}, not: []string{"/v1/"}},
		{name: "json", args: []string{"-json"}, has: []string{`"Entries": 2`, `"accessor_id": "accessor-1"`}},
		{name: "its head", args: []string{"-head", head}, has: []string{head}},
		{name: "another head", args: []string{"-head", "9:" + strings.Repeat("0", 64)}, code: ExitFailed},
		{name: "no entry to show", args: []string{"-n", "0"}, code: ExitUsage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runs(t, "", nil, append([]string{"operator", "audit", path}, tt.args...)...)
			if got.code != tt.code {
				t.Fatalf("code %d, want %d: %s%s", got.code, tt.code, got.stdout, got.stderr)
			}
			for _, want := range tt.has {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("no %q in:\n%s", want, got.stdout)
				}
			}
			for _, bad := range tt.not {
				if strings.Contains(got.stdout, bad) {
					t.Errorf("%q in:\n%s", bad, got.stdout)
				}
			}
		})
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(`"status_code":403`), []byte(`"status_code":200`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runs(t, "", nil, "operator", "audit", path)
	if got.code != ExitFailed || !strings.Contains(got.stderr, "the chain is broken: line ") {
		t.Errorf("tampered with: code %d, %q", got.code, got.stderr)
	}
}
