//go:build linux

package terminal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

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
