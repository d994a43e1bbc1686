//go:build linux

// Package terminal tests the commands that people live in: exec, cp, port-forward, logs -f,
// restarts, and job run on a real terminal, with the real program, containers and processes,
// asked through an agent that is neither a server's nor the one that runs the task.
package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/examples/image/archive"
	"github.com/nomadish/nomadish/nomadish"
)

// patience is how long a condition may take to come about on a busy machine.
const patience = 60 * time.Second

// The agents of all tests: a server, the node that runs tasks, and a node that only asks.
var server, work, ask *machine.Node

// hub is the address of the registry with the tests' images.
var hub string

func TestMain(m *testing.M) {
	code, err := withAgents(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withAgents runs the tests with the agents and jobs they share, and sees that nothing is left.
func withAgents(m *testing.M) (code int, err error) {
	if os.Geteuid() != 0 {
		return 1, errors.New("these tests run real tasks and need root")
	}
	dir, err := os.MkdirTemp("", "nomadish-terminal")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer images.Close()
	hub = strings.TrimPrefix(images.URL, "http://")
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if err := push(ctx, "tools:1", tools...); err != nil {
		return 1, err
	}
	for _, a := range []struct {
		node **machine.Node
		cfg  machine.Config
	}{
		{&server, machine.Config{Client: map[string]any{"enabled": false}}},
		{&work, machine.Config{Agent: map[string]any{"server": map[string]any{"enabled": false}, "name": "work"}}},
		{&ask, machine.Config{
			Agent:  map[string]any{"server": map[string]any{"enabled": false}, "name": "ask"},
			Client: map[string]any{"node_class": "asks"},
		}},
	} {
		a.cfg.Dir = filepath.Join(dir, fmt.Sprint(len(a.cfg.Agent))+"-"+rest(a.cfg.Agent))
		if server != nil {
			peer, err := server.Peer()
			if err != nil {
				return 1, err
			}
			client := map[string]any{"servers": []string{peer}}
			for k, v := range a.cfg.Client {
				client[k] = v
			}
			a.cfg.Client = client
		}
		n, err := machine.New(a.cfg)
		if err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, n.Close()) }()
		if err := n.Start(); err != nil {
			return 1, err
		}
		*a.node = n
	}
	if err := ready(ctx, 2); err != nil {
		return 1, fmt.Errorf("%w%s%s", err, server.LogTail(4<<10), work.LogTail(4<<10))
	}
	for _, driver := range drivers {
		if err := lasting(ctx, driver); err != nil {
			return 1, fmt.Errorf("%w%s", err, work.LogTail(8<<10))
		}
	}
	defer func() {
		if code != 0 || err != nil {
			fmt.Fprintln(os.Stderr, server.PostMortem("terminal-server")+work.PostMortem("terminal-work"))
		}
	}()
	code = m.Run()
	ctx, cancel = context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, driver := range drivers {
		err = errors.Join(err, server.Stopped(ctx, driver, true))
	}
	return code, errors.Join(err, machine.Until(ctx, "nothing is left", func(context.Context) error { return work.Left() }))
}

func rest(m map[string]any) string {
	if name, ok := m["name"].(string); ok {
		return name
	}
	return "server"
}

// ready waits for so many nodes.
func ready(ctx context.Context, count int) error {
	return machine.Until(ctx, "the nodes are ready", func(ctx context.Context) error {
		nodes, _, err := server.API.Nodes().List(ctx, nil)
		up := 0
		for _, n := range nodes {
			if n.Status == nomadish.NodeStatusReady {
				up++
			}
		}
		if err == nil && up != count {
			err = fmt.Errorf("%d nodes are ready", up)
		}
		return err
	})
}

// drivers are those whose tasks the tests work with, and the IDs of the jobs with these.
var drivers = []string{"raw_exec", "docker"}

// life is what the tasks do that tests work with: they tell of signals.
const life = `trap 'echo hup' HUP; trap 'exit 0' INT TERM; echo "started $NOMAD_ALLOC_ID"; while :; do sleep 0.05; done`

// lasting starts a job of a driver that lasts.
func lasting(ctx context.Context, driver string) error {
	job := shell(driver, driver, life)
	if _, err := server.Register(ctx, job); err != nil {
		return err
	}
	_, err := started(ctx, driver)
	return err
}

// started waits for the output that tells that a job's newest task runs.
func started(ctx context.Context, job string) (*nomadish.AllocationListStub, error) {
	a, err := server.Allocation(ctx, job, nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	if err != nil {
		return nil, err
	}
	if a.ClientStatus != nomadish.AllocClientRunning {
		return nil, fmt.Errorf("job %s is %s, events %v", job, a.ClientStatus, machine.Events(a))
	}
	return a, machine.Until(ctx, "job "+job+" has started", func(ctx context.Context) error {
		out, err := server.Output(ctx, a.ID, machine.Task)
		if err == nil && !strings.Contains(out, "started") {
			err = fmt.Errorf("output %q", out)
		}
		return err
	})
}

// shell makes a job whose task runs a script, on the node that works.
func shell(id, driver, script string) *nomadish.Job {
	config := machine.Command("/bin/sh", "-c", script)
	if driver == "docker" {
		config["image"] = hub + "/tools:1"
	}
	job := machine.Job(id, nomadish.JobTypeService, driver, config)
	job.Constraints = []*nomadish.Constraint{{LTarget: "${node.unique.name}", RTarget: "work", Operand: "="}}
	return job
}

// tools are the machine's programs that the image has.
var tools = []string{"sh", "cat", "stty", "tar", "sleep", "mkdir", "chmod", "stat", "id", "head", "tr", "wc", "sha256sum", "rm", "ls", "env", "mktemp"}

// push makes an image of this machine's programs, and what they are linked with.
func push(ctx context.Context, ref string, programs ...string) error {
	var files []archive.File
	have := map[string]bool{}
	add := func(to, from string) error {
		data, err := os.ReadFile(from)
		if err == nil && !have[to] {
			have[to] = true
			files = append(files, archive.File{Path: to, Mode: 0o755, Content: data})
		}
		return err
	}
	for _, program := range programs {
		from, err := exec.LookPath(program)
		if err != nil {
			return err
		}
		if err := add("/bin/"+program, from); err != nil {
			return err
		}
		linked, err := exec.CommandContext(ctx, "ldd", from).Output()
		if err != nil {
			continue // it is static
		}
		for word := range strings.FieldsSeq(string(linked)) {
			if strings.HasPrefix(word, "/") {
				if err := add(word, word); err != nil {
					return err
				}
			}
		}
	}
	return pushFiles(ctx, ref, files)
}

func pushFiles(ctx context.Context, ref string, files []archive.File) error {
	img, err := archive.Build(files, archive.Config{Env: []string{"PATH=/bin"}})
	if err != nil {
		return err
	}
	tag, err := name.ParseReference(hub+"/"+ref, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(tag, img, remote.WithContext(ctx))
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// result is how a command ended and what it printed.
type result struct {
	code           int
	stdout, stderr string
}

// program is the command line, asking an agent.
func program(t *testing.T, n *machine.Node, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := machine.Binary()
	must(t, err)
	cmd := exec.CommandContext(testContext(t), binary, args...)
	cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://"+n.Addr, "TERM=xterm")
	return cmd
}

// cli runs a command to its end.
func cli(t *testing.T, n *machine.Node, stdin io.Reader, args ...string) result {
	t.Helper()
	cmd := program(t, n, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// ok runs a command that has to end well, and returns what it printed.
func ok(t *testing.T, n *machine.Node, args ...string) string {
	t.Helper()
	r := cli(t, n, nil, args...)
	if r.code != 0 {
		t.Fatalf("%q: code %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}
