//go:build linux

package terminal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// jobFile writes the file of a job with one task that neither restarts nor moves.
func jobFile(t *testing.T, id, driver, memory, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), id+".nomad.hcl")
	must(t, os.WriteFile(path, fmt.Appendf(nil, `
job "%s" {
  type = "batch"
  constraint {
    attribute = "${node.unique.name}"
    value     = "work"
  }
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
      driver = "%s"
      config {
        %s
      }
      resources {
        cpu    = 100
        memory = %s
      }
    }
  }
}
`, id, driver, config, memory), 0o600))
	return path
}

// On a terminal job run tells what goes on: the bytes of an image of 50 MB, the last lines of
// a task that fails, with the cause and what to do next, and the limit and peak of one that
// wants too much memory.
func TestJobRunTells(t *testing.T) {
	ctx := testContext(t)
	must(t, pushFiles(ctx, "big:1", []archive.File{{Path: "/data", Mode: 0o644, Content: noise(50 << 20)}}))
	for _, tt := range []struct {
		id, driver, memory, config string
		want                       []string
	}{
		{"pulls", "docker", "64", `image = "` + hub + `/big:1"
        command = "/data"`, []string{"big:1: ", " of 50.0 MiB"}},
		{"fails", "raw_exec", "64", `command = "/bin/sh"
        args = ["-c", "echo out of cheese; exit 3"]`, []string{"| out of cheese", "Exit Code: 3", "Job \"fails\" has failed: ", "See more with: nomadish job status fails"}},
		{"wants", "docker", "32", `image = "` + hub + `/tools:1"
        command = "/bin/sh"
        args = ["-c", "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo $x"]`, []string{"memory limit 32 MiB, peak 32", "raise memory in its resources"}},
	} {
		t.Run(tt.id, func(t *testing.T) {
			s := onTerminal(t, ask, 120, 30, "job", "run", jobFile(t, tt.id, tt.driver, tt.memory, tt.config))
			if code := s.code(); code == 0 {
				t.Errorf("code %d, want a failure", code)
			}
			for _, want := range tt.want {
				s.sees(want)
			}
			must(t, server.Stopped(context.WithoutCancel(ctx), tt.id, true))
		})
	}
}

// run -it gives a command a task of its own and this terminal, or what is piped in. Its exit
// code is the command's, and afterwards there is no job, or one that has ended.
func TestRunAttached(t *testing.T) {
	for driver, program := range map[string][]string{"docker": {hub + "/tools:1", "sh"}, "raw_exec": {"sh", "--"}} {
		t.Run(driver, func(t *testing.T) {
			id := "attached-" + driver
			run := append([]string{"run", "-it", "-rm", "-driver", driver, "-name", id}, program...)
			s := onTerminal(t, ask, 91, 33, run...)
			s.sees("its task is up")
			s.enter("stty size; echo $((40 + 2)) is told\n")
			s.sees("33 91\r\n")
			s.sees("42 is told")
			s.enter("exit 7\n")
			if code := s.code(); code != 7 {
				t.Errorf("code %d, want 7\n%s", code, s.text())
			}
			r := cli(t, ask, nil, "job", "status", id)
			if r.code == 0 || !strings.Contains(r.stderr, "no job") {
				t.Errorf("the job is still there: %+v", r)
			}
			keep := append([]string{"run", "-it", "-driver", driver, "-name", id}, program...)
			r = cli(t, ask, strings.NewReader("x"), append(keep, "-c", "cat; exit 3")...)
			if r.code != 3 || r.stdout != "x" {
				t.Errorf("piped: %+v, want code 3 and x", r)
			}
			must(t, machine.Until(testContext(t), "the kept job is dead", func(context.Context) error {
				if out := ok(t, ask, "job", "status", "-t", "{{.Job.Status}}", id); !strings.Contains(out, "dead") {
					return fmt.Errorf("it is %s", out)
				}
				return nil
			}))
			must(t, server.Stopped(context.WithoutCancel(testContext(t)), id, true))
		})
	}
	r := cli(t, ask, nil, "run", "-it", "-rm", "-name", "no-shell", hub+"/nothing:1", "sh")
	if r.code != 1 || !strings.Contains(r.stderr, "nothing:1") {
		t.Errorf("without its image: %+v, want code 1 and the cause", r)
	}
}
