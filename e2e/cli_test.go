//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// cli runs a command against the shared node and returns its code and all that it printed.
func cli(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	binary, err := machine.Binary()
	must(t, err)
	cmd := exec.CommandContext(testContext(t), binary, args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://"+shared.Addr)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}

// jobFile writes a job file with one task that runs a script.
func jobFile(t *testing.T, id, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), id+".nomad.hcl")
	must(t, os.WriteFile(path, []byte(`
job "`+id+`" {
  type = "batch"
  group "g" {
    restart {
      attempts = 0
      mode     = "fail"
    }
    reschedule {
      attempts  = 0
      unlimited = false
    }
    task "main" {
      driver = "raw_exec"
      config {
        command = "/bin/sh"
        args    = ["-c", "`+script+`"]
      }
    }
  }
}
`), 0o600))
	return path
}

// What a user types first: a job file is run to its end, the exit code says how it went, the
// output can be read, and the job can be stopped and forgotten.
func TestCommandLine(t *testing.T) {
	if code, out := cli(t, "job", "run", jobFile(t, "cli-good", "echo hello")); code != 0 {
		t.Errorf("run of a job that succeeds: got code %d\n%s", code, out)
	}
	if code, out := cli(t, "job", "run", jobFile(t, "cli-bad", "exit 3")); code == 0 || !strings.Contains(out, "3") {
		t.Errorf("run of a job that crashes: got code %d\n%s", code, out)
	}
	if code, out := cli(t, "job", "status", "cli-good"); code != 0 || !strings.Contains(out, "dead") {
		t.Errorf("status: got code %d\n%s", code, out)
	}
	if code, out := cli(t, "alloc", "logs", "-job", "cli-good"); code != 0 || out != "hello\n" {
		t.Errorf("logs: got code %d and %q", code, out)
	}
	for _, id := range []string{"cli-good", "cli-bad"} {
		if code, out := cli(t, "job", "stop", "-purge", id); code != 0 {
			t.Errorf("stop: got code %d\n%s", code, out)
		}
		if code, out := cli(t, "job", "status", id); code == 0 {
			t.Errorf("status of a purged job: got code 0\n%s", out)
		}
	}
	if code, out := cli(t, "version"); code != 0 || !regexp.MustCompile(`(?i)nomadish`).MatchString(out) {
		t.Errorf("version: got code %d and %q", code, out)
	}
}
