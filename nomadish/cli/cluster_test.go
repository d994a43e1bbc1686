package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/client/fingerprint"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/mock"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/server"
)

// cluster is an agent that is server and node, and how its commands are run.
type cluster struct {
	env []string
	dir string // of job files

	shell string // where the commands run that tasks take
}

// newCluster starts an agent whose tasks are mocks, and waits until its node is ready.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	place := t.TempDir()
	a, err := agent.New(agent.Config{
		Name: "n1", DataDir: t.TempDir(), HTTP: []string{"127.0.0.1:0"}, Server: &server.Config{},
		Client:  &client.Config{StopTasksOnShutdown: true, Fingerprint: fingerprint.Config{Loopback: true}},
		Drivers: map[string]drivers.Driver{mock.Name: shell{mock.New(nil), place}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	c := &cluster{env: []string{"NOMAD_ADDR=http://" + a.Addr().String()}, dir: t.TempDir(), shell: place}
	for !strings.Contains(c.run(t, "node", "status").stdout, "ready") {
		if t.Context().Err() != nil {
			t.Fatal("the node does not get ready")
		}
	}
	return c
}

func (c *cluster) run(t *testing.T, args ...string) result {
	t.Helper()
	return runs(t, "", c.env, args...)
}

// ok runs a command that is to succeed, and returns what it wrote to standard output.
func (c *cluster) ok(t *testing.T, args ...string) string {
	t.Helper()
	got := c.run(t, args...)
	if got.code != ExitOK {
		t.Fatalf("%s: code %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// file writes a job of one group "g" with one task "t", and returns the path of its file.
func (c *cluster) file(t *testing.T, id, kind, group, config string) string {
	t.Helper()
	path := filepath.Join(c.dir, id+".nomad.hcl")
	text := `job "` + id + `" {
  type = "` + kind + `"
  group "g" {
    ` + group + `
    reschedule {
      attempts  = 0
      unlimited = false
    }
    restart {
      attempts = 0
      mode     = "fail"
    }
    task "t" {
      driver = "mock_driver"
      config {
        ` + config + `
      }
      resources {
        cpu    = 20
        memory = 10
      }
    }
  }
}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCluster runs the commands against a real agent.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	t.Run("job run tells the truth", func(t *testing.T) { testJobRun(t, c) })
	t.Run("interrupt", func(t *testing.T) { testInterrupt(t, c) })
	t.Run("read", func(t *testing.T) { testRead(t, c) })
	t.Run("logs and files", func(t *testing.T) { testLogs(t, c) })
	t.Run("logs of a job", func(t *testing.T) { testJobLogs(t, c) })
	t.Run("plan and versions", func(t *testing.T) { testPlan(t, c) })
	t.Run("doctor", func(t *testing.T) { testDoctor(t, c) })
	t.Run("completion", func(t *testing.T) { testLiveNames(t, c) })
	t.Run("completion in shells", func(t *testing.T) { testShells(t, c) })
	t.Run("exec", func(t *testing.T) { testExec(t, c) })
	t.Run("cp", func(t *testing.T) { testCopy(t, c) })
	t.Run("stop", func(t *testing.T) { testStop(t, c) })
}

// testJobRun: the exit code and the last words of job run for each way that a job can end.
func testJobRun(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		id, kind, group, config string
		flags                   []string
		code                    int
		stdout, stderr          string // parts
	}{
		{id: "done", kind: "batch", group: "count = 2", config: `run_for = "1ms"`, stdout: `Job "done" is complete: 2 of 2 allocations complete.`},
		{id: "crash", kind: "batch", config: `
			run_for       = "50ms"
			exit_code     = 3
			stdout_string = "out of cheese"`, code: ExitFailed, stdout: `Job "crash" has failed`},
		{id: "unstartable", kind: "batch", config: `start_error = "no such image"`, code: ExitFailed, stdout: "no such image"},
		{id: "broken", kind: "service", config: `
			run_for   = "1ms"
			exit_code = 1`, code: ExitFailed, stdout: `Job "broken" has failed: allocation `},
		{id: "up", kind: "service", group: "network {\n      port \"http\" {}\n    }", config: `
			run_for       = "-1s"
			stdout_string = "hello"`, stdout: `Job "up" runs: 1 of 1 allocation running.`},
		{
			id: "nowhere", kind: "service", group: "constraint {\n      attribute = \"${attr.kernel.name}\"\n      value     = \"plan9\"\n    }",
			code: ExitPartial, stdout: `constraint "${attr.kernel.name} = plan9" leaves out 1 node`,
		},
		{id: "slow", kind: "batch", config: `run_for = "1h"`, flags: []string{"-timeout", "300ms"}, code: ExitPartial, stdout: "not complete after 300ms"},
		{id: "detached", kind: "batch", config: `run_for = "1ms"`, flags: []string{"-detach"}, stdout: `Job "detached" is stored; evaluation `},
		{id: "conflict", kind: "batch", flags: []string{"-check-index", "7"}, code: ExitFailed, stderr: "refuses"},
		{id: "invalid", kind: "batch", group: "count = -1", code: ExitFailed, stderr: "invalid.nomad.hcl line 4, column 5:\n   4:     count = -1\n          ^^^^^^^^^^\nTask group count"},
		{id: "misspelt", kind: "batch", group: "cuont = 1", code: ExitFailed, stderr: `Did you mean "count"?`},
	} {
		t.Run(tt.id, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"job", "run", c.file(t, tt.id, tt.kind, tt.group, tt.config)}, tt.flags...)
			got := c.run(t, args...)
			if got.code != tt.code || !strings.Contains(got.stdout, tt.stdout) || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("got code %d\n%s\n%s\nwant %d, %q, %q", got.code, got.stdout, got.stderr, tt.code, tt.stdout, tt.stderr)
			}
			if tt.id == "crash" && !strings.Contains(got.stdout, "| out of cheese") {
				t.Errorf("the last line of the failing task is not shown:\n%s", got.stdout)
			}
			if tt.id == "up" && !strings.Contains(got.stdout, `up.g[0] port "http": 127.0.0.1:`) {
				t.Errorf("the address is not shown:\n%s", got.stdout)
			}
		})
	}
}

// testInterrupt: an interrupt ends the command, not the job, and it is said how to come back.
func testInterrupt(t *testing.T, c *cluster) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := &trigger{word: "is running", fire: cancel}
	code := Run(ctx, Program{Stdout: seen, Stderr: seen, Env: lookup(c.env)}, []string{"run", c.file(t, "long", "batch", "", `run_for = "1h"`)})
	if code != ExitDetached || !strings.Contains(seen.all.String(), "nomadish job status -f long") {
		t.Errorf("got code %d\n%s", code, seen.all.String())
	}
	if got := c.ok(t, "job", "status", "-t", "{{.Job.Status}}", "long"); got != "running\n" {
		t.Errorf("the job is %s", got)
	}
}

// trigger calls fire when a word is written to it.
type trigger struct {
	all  bytes.Buffer
	word string
	fire func()
}

func (w *trigger) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.word) {
		w.fire()
	}
	return w.all.Write(b)
}

// testRead: lists and pages for people, JSON and templates for programs, names and prefixes.
func testRead(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		args []string
		want string // part of standard output
	}{
		{[]string{"status"}, "nowhere"},
		{[]string{"job", "status"}, "ID"},
		{[]string{"job", "status", "nowh"}, "Why it does not run as wanted\ngroup \"g\": 1 allocation not placed"},
		{[]string{"job", "status", "-evals", "crash"}, "Exit Code: 3"},
		{[]string{"job", "inspect", "-t", "{{.ID}}", "up"}, "up\n"},
		{[]string{"job", "inspect", "-hcl", "up"}, "job \"up\" {\n"},
		{[]string{"job", "inspect", "-version", "0", "up"}, `"Version": 0`},
		{[]string{"node", "status", "n1"}, "For tasks"},
		{[]string{"node", "status", "-self", "-verbose"}, "kernel.name"},
		{[]string{"eval", "status"}, "job-register"},
	} {
		if got := c.ok(t, tt.args...); !strings.Contains(got, tt.want) {
			t.Errorf("%v: got\n%s\nwant %q", tt.args, got, tt.want)
		}
	}
	for _, args := range [][]string{{"status"}, {"job", "status", "up"}, {"job", "inspect", "up"}, {"alloc", "status"}, {"node", "status"}, {"eval", "status"}} {
		got := c.run(t, append(args, "-json")...)
		if !json.Valid([]byte(got.stdout)) || got.stderr != "" {
			t.Errorf("%v -json: no JSON alone:\n%s%s", args, got.stdout, got.stderr)
		}
	}
	id := strings.TrimSpace(c.ok(t, "job", "status", "-t", "{{(index .Allocations 0).ID}}", "up"))
	eval := strings.TrimSpace(c.ok(t, "job", "status", "-t", "{{(index .Evaluations 0).ID}}", "up"))
	node := strings.TrimSpace(c.ok(t, "node", "status", "-t", "{{(index . 0).ID}}"))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"alloc", "status", id[:8]}, "Task \"t\" is running"},
		{[]string{"alloc", "status", id[:7]}, id}, // not whole bytes
		{[]string{"alloc", "status", "-json", id}, `"ClientStatus": "running"`},
		{[]string{"status", id[:13]}, "up.g[0]"},
		{[]string{"alloc", "status", "up.g[0]"}, id},
		{[]string{"alloc", "status", "up/g/0"}, id},
		{[]string{"alloc", "status", "up/0"}, id},
		{[]string{"alloc", "status", "up/g"}, id},
		{[]string{"alloc", "status", "up/n1"}, id},
		{[]string{"alloc", "status", "up"}, id},
		{[]string{"status", "up.g[0]"}, id},
		{[]string{"status", node[:12]}, "Resources"},
		{[]string{"status", eval[:12]}, "Triggered by"},
		{[]string{"eval", "status", eval[:8]}, eval},
		{[]string{"node", "status", node[:8]}, node},
	} {
		if got := c.ok(t, tt.args...); !strings.Contains(got, tt.want) {
			t.Errorf("%v: got\n%s\nwant %q", tt.args, got, tt.want)
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"alloc", "status", "up/h"}, `job "up" has no allocation "h" among 0, g`},
		{[]string{"alloc", "status", "upp"}, `there is no allocation and no job "upp": did you mean "up"?`},
		{[]string{"alloc", "status", "done"}, ""},
		{[]string{"job", "status", "-namespace", "defaulty", "up"}, `no namespace "defaulty": did you mean "default"?`},
	} {
		if got := c.run(t, tt.args...); !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%v: got %+v, want %q", tt.args, got, tt.want)
		}
	}
	for _, args := range [][]string{{"job", "status", "upp"}, {"alloc", "status", "00"}, {"node", "status", "n2"}, {"status", "zz"}, {"job", "status", "d"}} {
		if got := c.run(t, args...); got.code != ExitFailed || got.stdout != "" || got.stderr == "" {
			t.Errorf("%v: got %+v, want a failure", args, got)
		}
	}
}

// testLogs: logs and files by allocation or job, whole or from the end.
func testLogs(t *testing.T, c *cluster) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"alloc", "logs", "-job", "up"}, "hello"},
		{[]string{"alloc", "logs", "-c", "3", "-job", "up", "t"}, "llo"},
		{[]string{"alloc", "logs", "-tail", "-job", "-task", "t", "up"}, "hello"},
		{[]string{"alloc", "logs", "-stderr", "-job", "up"}, ""},
		{[]string{"alloc", "fs", "-job", "up", "alloc/logs/t.stdout.0"}, "hello"},
		{[]string{"alloc", "fs", "-job", "-n", "1", "up", "alloc/logs/t.stdout.0"}, "hello"},
	} {
		if got := c.ok(t, tt.args...); strings.TrimSpace(got) != tt.want {
			t.Errorf("%v: got %q, want %q", tt.args, got, tt.want)
		}
	}
	if got := c.ok(t, "alloc", "fs", "-job", "up"); !strings.Contains(got, "alloc/") || !strings.Contains(got, "t/") {
		t.Errorf("got\n%s\nwant the directories of allocation and task", got)
	}
	if got := c.run(t, "alloc", "logs", "-job", "up", "tt"); got.code != ExitFailed || !strings.Contains(got.stderr, `did you mean "t"?`) {
		t.Errorf("unknown task: got %+v", got)
	}
}

// testStop: stopping waits for the end, and asks where the name is not whole.
func testStop(t *testing.T, c *cluster) {
	id := strings.TrimSpace(c.ok(t, "job", "status", "-t", "{{(index .Allocations 0).ID}}", "up"))
	if got := c.ok(t, "alloc", "stop", id[:8]); !strings.Contains(got, "has ended: complete") || !strings.Contains(got, "takes its place") {
		t.Errorf("got\n%s", got)
	}
	if got := runs(t, "no\n", c.env, "job", "stop", "lo"); got.code != ExitFailed || !strings.Contains(got.stderr, `Stop job "long"?`) {
		t.Errorf("not confirmed: got %+v", got)
	}
	if got := runs(t, "y\n", c.env, "job", "stop", "lo"); got.code != ExitOK || !strings.Contains(got.stdout, "has ended: complete") {
		t.Errorf("confirmed: got %+v", got)
	}
	if got := c.ok(t, "job", "status", "-t", "{{.Job.Status}}", "long"); got != nomadish.JobStatusDead+"\n" {
		t.Errorf("got %s, want dead", got)
	}
	c.ok(t, "stop", "-purge", "-no-shutdown-delay", "up")
	if got := c.run(t, "job", "status", "up"); got.code != ExitFailed || !strings.Contains(got.stderr, `no job "up"`) {
		t.Errorf("purged: got %+v", got)
	}
}
