package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodJob = `variable "count" { type = number }

job "web" {
  group "g" {
    count = var.count
    task "t" {
      driver = "raw_exec"
      config { command = "true" }
    }
  }
}
`

// writeFile writes a file and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestJobValidate: what is wrong with a job is said without a server, with the place in the file.
func TestJobValidate(t *testing.T) {
	good, vars := writeFile(t, "good.hcl", goodJob), writeFile(t, "vars.hcl", "count = 2\n")
	bad := writeFile(t, "bad.hcl", strings.Replace(goodJob, "driver = \"raw_exec\"", "kill_signal = \"SIGHUP\"", 1))
	inJSON := writeFile(t, "job.json", `{"Job":{"ID":"web","TaskGroups":[{"Name":"g","Tasks":[{"Name":"t"}]}]}}`)
	for _, tt := range []struct {
		name           string
		env, args      []string
		stdin          string
		code           int
		stdout, stderr string // parts
	}{
		{name: "valid", args: []string{"-var", "count=2", good}, stdout: `Job "web" is valid.`},
		{name: "standard input", args: []string{"-var=count=2", "-"}, stdin: goodJob, stdout: "is valid"},
		{name: "variables of a file", args: []string{"-var-file", vars, good}, stdout: "is valid"},
		{name: "variables of the environment", env: []string{"NOMAD_VAR_count=1"}, args: []string{good}, stdout: "is valid"},
		{name: "variable without value", args: []string{good}, code: ExitFailed, stderr: `Unset variable "count"`},
		{name: "unknown variable", args: []string{"-var", "count=2", "-var", "nope=1", good}, code: ExitFailed, stderr: "nope"},
		{
			name: "negative count", args: []string{"-var", "count=-2", good}, code: ExitFailed,
			stderr: "good.hcl line 5, column 5:\n   5:     count = var.count\n          ^^^^^^^^^^^^^^^^^\nTask group count can't be negative",
		},
		{
			name: "no driver", args: []string{"-var", "count=1", bad}, code: ExitFailed,
			stderr: "bad.hcl line 6, column 5:\n   6:     task \"t\" {\n          ^^^^^^^^\nMissing task driver",
		},
		{name: "JSON", args: []string{"-json", inJSON}, code: ExitFailed, stderr: "Missing task driver"},
		{name: "JSON has no variables", args: []string{"-json", "-var", "a=b", inJSON}, code: ExitFailed, stderr: "-var"},
		{name: "not there", args: []string{"nope.hcl"}, code: ExitFailed, stderr: "nope.hcl: no such file"},
		{name: "a server is named but away", env: []string{"NOMAD_ADDR=http://127.0.0.1:1"}, args: []string{"-var", "count=1", good}, code: ExitFailed, stderr: "no answer from http://127.0.0.1:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := runs(t, tt.stdin, tt.env, append([]string{"job", "validate"}, tt.args...)...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got code %d, stdout %q, stderr\n%s\nwant %d, %q,\n%s", got.code, got.stdout, got.stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// TestJobValidateAsksServer: what only a server knows is told, and makes the command fail if
// it is an error.
func TestJobValidateAsksServer(t *testing.T) {
	for _, tt := range []struct {
		answer         string
		code           int
		stdout, stderr string
	}{
		{`{"Warnings":"1 warning:\n\n* option \u001b[31mx is not known"}`, ExitOK, "is valid, here and for the server", "option [31mx is not known"},
		{`{"ValidationErrors":["no such pool"],"Error":"1 error: no such pool"}`, ExitFailed, "", "the server refuses job \"web\": 1 error: no such pool"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v1/validate/job" {
				http.NotFound(w, r)
				return
			}
			if _, err := w.Write([]byte(tt.answer)); err != nil {
				t.Error(err)
			}
		}))
		got := runs(t, goodJob, nil, "job", "validate", "-address", server.URL, "-var", "count=1", "-")
		server.Close()
		if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
			t.Errorf("got %+v, want %+v", got, tt)
		}
	}
}

// TestJobRunOutput: -output prints the request with the source, and sends nothing.
func TestJobRunOutput(t *testing.T) {
	env := []string{"NOMAD_ADDR=http://127.0.0.1:1", "NOMAD_NAMESPACE=apps", "NOMADISH_REGION=eu"}
	got := runs(t, goodJob, env, "job", "run", "-output", "-check-index", "5", "-preserve-counts", "-var", "count=3", "-")
	var req struct {
		Job *struct {
			ID, Namespace, Region string
			TaskGroups            []struct{ Count int }
		}
		Submission                   struct{ Source, Format string }
		EnforceIndex, PreserveCounts bool
		JobModifyIndex               int
	}
	if err := json.Unmarshal([]byte(got.stdout), &req); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	if got.code != ExitOK || req.Job.ID != "web" || req.Job.Namespace != "apps" || req.Job.Region != "eu" || req.Job.TaskGroups[0].Count != 3 ||
		req.Submission.Source != goodJob || req.Submission.Format != "hcl2" || !req.EnforceIndex || !req.PreserveCounts || req.JobModifyIndex != 5 {
		t.Errorf("got %s", got.stdout)
	}
}

// TestJobInit: the examples are valid and laid out, and no file is overwritten.
func TestJobInit(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"job", "init"},
		{"job", "init", "-short", "short.nomad.hcl"},
		{"job", "validate", "example.nomad.hcl"},
		{"job", "validate", "short.nomad.hcl"},
		{"fmt", "-check"},
	} {
		if got := runs(t, "", nil, args...); got.code != ExitOK {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if got := runs(t, "", nil, "job", "init"); got.code != ExitFailed || !strings.Contains(got.stderr, "exists") {
		t.Errorf("again: got %+v, want a failure", got)
	}
}
