//go:build linux

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// A fresh agent -dev is the leader of itself, healthy in both halves, and can run plain
// processes and containers.
func TestDevAgentIsReady(t *testing.T) {
	ctx := testContext(t)
	leader, err := shared.API.Status().Leader(ctx)
	if err != nil || leader == "" {
		t.Errorf("leader: got %q, %v", leader, err)
	}
	must(t, machine.Until(ctx, "both halves are healthy", func(ctx context.Context) error {
		health, err := shared.API.Agent().Health(ctx)
		if err != nil {
			return err
		}
		if health.Client == nil || !health.Client.Ok || health.Server == nil || !health.Server.Ok {
			return errors.New("one of them is not")
		}
		return nil
	}))
	nodes, _, err := shared.API.Nodes().List(ctx, nil)
	must(t, err)
	for _, driver := range []string{"raw_exec", "docker"} {
		if d := nodes[0].Drivers[driver]; d == nil || !d.Detected || !d.Healthy {
			t.Errorf("driver %s: got %+v, want it detected and healthy", driver, d)
		}
	}
	if nodes[0].SchedulingEligibility != nomadish.NodeEligible {
		t.Errorf("eligibility: got %q", nodes[0].SchedulingEligibility)
	}
}

// An agent that is asked to end does so with code 0, and leaves no process.
func TestAgentEnds(t *testing.T) {
	n := newNode(t, machine.Config{Dev: true})
	ctx := testContext(t)
	_, err := n.Register(ctx, machine.Shell("sleeper", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, err)
	_, err = n.Allocation(ctx, "sleeper", nomadish.AllocClientRunning)
	must(t, err)
	must(t, n.Stop())
	must(t, machine.Until(ctx, "nothing is left", func(context.Context) error { return n.Left() }))
}

// What is wrong with how the program is called is said in one message on stderr, with a
// code that is not 0 and nothing on stdout.
func TestProgramRefusesWrongUse(t *testing.T) {
	binary, err := machine.Binary()
	must(t, err)
	file := filepath.Join(t.TempDir(), "agent.hcl")
	must(t, os.WriteFile(file, []byte("data_dir = \"/nowhere\"\nserver {\n  enabeld = true\n}\n"), 0o600))
	for _, tt := range []struct {
		name, want string
		args       []string
		code       int
	}{
		{"unknown command", `unknown command "jbo`, []string{"jbo", "run"}, 64},
		{"unknown flag", "has no flag -no-such", []string{"agent", "-no-such"}, 64},
		{"unknown key", file + ":3", []string{"agent", "-config", file}, 1},
		{"no such file", "no such file", []string{"agent", "-config", file + ".not"}, 1},
		{"no data_dir", "data_dir: must be set", []string{"agent", "-server"}, 1},
		{"neither server nor client", "neither server nor client", []string{"agent", "-data-dir", t.TempDir()}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(testContext(t), binary, tt.args...)
			var stdout, stderr strings.Builder
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != tt.code {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
			if !strings.Contains(stderr.String(), tt.want) || stdout.Len() > 0 {
				t.Errorf("got stdout %q and stderr %q, want %q on stderr", &stdout, &stderr, tt.want)
			}
		})
	}
}
