//go:build linux

// Package machine runs agents of the real program on this machine, for black-box tests and
// measurements, and finds what they and their tasks leave on it.
//
//	n, err := machine.New(machine.Config{Dir: dir})
//	defer n.Close()
//	err = n.Start()
//	err = n.Ready(ctx)
//	jobs, _, err := n.API.Jobs().List(ctx, nil)
//
// A node keeps its data, ports and control groups over any number of starts, stops and
// kills. Close ends whatever of it is left, tasks and containers too.
package machine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// stopTimeout is how long an agent may take to end when it is asked to.
const stopTimeout = 30 * time.Second

// Config says what a node is.
type Config struct {
	Binary   string         // the program; default: what Binary finds
	Dir      string         // everything of the node lies below it; required
	Dev      bool           // agent -dev: tasks end with the agent
	Archives string         // directory of the image archives that docker tasks may load
	Agent    map[string]any // more keys of the configuration
	Client   map[string]any // more keys of its client block
	Docker   map[string]any // options of the container driver
	Env      []string       // more of the agent's environment, as NAME=VALUE
	Hostname string         // what the agent takes the machine's name for; default what it is
	LogLevel string         // default debug

	// Address is the agent's, which has Nomad's ports there; default: loopback, with free ports.
	Address string
	// Spawn starts the agent's program; default: as a child in this process's namespaces.
	Spawn func(*exec.Cmd) error
	// Transport carries requests to the agent's API; default: connections from this process.
	Transport http.RoundTripper
}

// Node is a server and client node in one agent.
type Node struct {
	API  *api.Client
	Addr string // host:port of the API

	cfg   Config
	ports []int      // of API, peers and gossip
	group string     // parent of the tasks' control groups
	mu    sync.Mutex // guards run
	run   map[string]bool
	cmd   *exec.Cmd     // nil: never started
	ended chan struct{} // closed when cmd has ended
	asked bool          // that it ends is on purpose
}

// Binary returns the path of the program under test: NOMADISH_BINARY, or bin/nomadish of
// the module that the working directory lies in.
func Binary() (string, error) {
	path := os.Getenv("NOMADISH_BINARY")
	if path == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		path = filepath.Join(root, "bin", "nomadish")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("the program under test is missing; make build makes it: %w", err)
	}
	return path, nil
}

// Root returns the directory of the module that the working directory lies in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("go.mod: in no directory above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

// groupPrefix begins the names of the tasks' control groups. The ID of the test's process follows.
const groupPrefix = "nomadish-e2e-"

// nodes counts the nodes of this process, so that their control groups have names of their own.
var nodes atomic.Int64

// New chooses ports and writes the node's configuration. It starts nothing.
func New(cfg Config) (*Node, error) {
	var err error
	if cfg.Binary == "" {
		if cfg.Binary, err = Binary(); err != nil {
			return nil, err
		}
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	ports := []int{4646, 4647, 4648}
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1"
		if ports, err = freePorts(len(ports)); err != nil {
			return nil, err
		}
	}
	n := &Node{
		cfg: cfg, ports: ports, Addr: net.JoinHostPort(cfg.Address, strconv.Itoa(ports[0])),
		group: fmt.Sprintf("%s%d-%d", groupPrefix, os.Getpid(), nodes.Add(1)), run: map[string]bool{},
	}
	if n.API, err = api.New(api.Config{Address: "http://" + n.Addr, Transport: cfg.Transport}); err != nil {
		return nil, err
	}
	return n, n.writeConfig()
}

// Install replaces the program. The next start runs it.
func (n *Node) Install(binary string) { n.cfg.Binary = binary }

// Reconfigure changes the keys of the configuration that Config.Agent has set. The next start
// reads them.
func (n *Node) Reconfigure(agent map[string]any) error {
	n.cfg.Agent = agent
	return n.writeConfig()
}

func (n *Node) writeConfig() error {
	text, err := json.MarshalIndent(n.configuration(), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(n.configFile(), text, 0o600)
}

func (n *Node) configuration() map[string]any {
	client := map[string]any{
		"enabled": true, "cgroup_parent": n.group, "network_interface": "lo",
		"cpu_total_compute": 100_000, "disk_free_mb": 100_000, "disk_total_mb": 100_000,
	}
	maps.Copy(client, n.cfg.Client)
	docker := map[string]any{}
	maps.Copy(docker, n.cfg.Docker)
	if n.cfg.Archives != "" {
		docker["image_archives"] = []string{n.cfg.Archives}
	}
	all := map[string]any{
		"name": "n1", "data_dir": n.DataDir(), "bind_addr": n.cfg.Address, "log_level": cmp.Or(n.cfg.LogLevel, "debug"),
		"ports":  map[string]any{"http": n.ports[0], "rpc": n.ports[1], "serf": n.ports[2]},
		"server": map[string]any{"enabled": true, "bootstrap_expect": 1},
		"client": client,
		"plugin": map[string]any{
			"raw_exec": map[string]any{"config": map[string]any{"enabled": true}},
			"docker":   map[string]any{"config": docker},
		},
	}
	maps.Copy(all, n.cfg.Agent)
	return all
}

func (n *Node) configFile() string { return filepath.Join(n.cfg.Dir, "agent.json") }

// DataDir is the agent's data directory.
func (n *Node) DataDir() string { return filepath.Join(n.cfg.Dir, "data") }

// Log is the file with all that the node's agents have written.
func (n *Node) Log() string { return filepath.Join(n.cfg.Dir, "agent.log") }

// freePorts finds ports that nobody listens on, below those that the kernel gives to
// outgoing connections, which could take them while the agent is down.
func freePorts(count int) ([]int, error) {
	var ports []int
	for range 1000 {
		port := 10_000 + rand.IntN(10_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // returns at once
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		if ports = append(ports, port); len(ports) == count {
			return ports, nil
		}
	}
	return nil, errors.New("no free port between 10000 and 20000")
}

// Start starts the node's agent and returns while it is still starting.
func (n *Node) Start() error {
	if n.Running() {
		return fmt.Errorf("the agent runs already, as process %d", n.PID())
	}
	log, err := os.OpenFile(n.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := []string{"agent", "-config", n.configFile()}
	if n.cfg.Dev {
		args = append(args, "-dev")
	}
	cmd := exec.Command(n.cfg.Binary, args...) //nolint:noctx // it is ended by Stop, Kill or Close
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(append(os.Environ(), "GOTRACEBACK=all"), n.cfg.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // no signal of the terminal reaches it
	spawn := n.cfg.Spawn
	if spawn == nil {
		spawn = func(cmd *exec.Cmd) error { return startNamed(cmd, n.cfg.Hostname) }
	}
	if err := spawn(cmd); err != nil {
		return err
	}
	n.cmd, n.ended, n.asked = cmd, make(chan struct{}), false
	go func(ended chan struct{}) {
		_ = cmd.Wait() // how it ended is in cmd.ProcessState
		close(ended)
	}(n.ended)
	return nil
}

// Running says whether the agent's process lives.
func (n *Node) Running() bool {
	if n.cmd == nil {
		return false
	}
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// startNamed starts a program that sees a host name of its own; empty: the machine's.
func startNamed(cmd *exec.Cmd, hostname string) error {
	if hostname == "" {
		return cmd.Start()
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and its name with it
		err := syscall.Unshare(syscall.CLONE_NEWUTS)
		if err == nil {
			err = syscall.Sethostname([]byte(hostname))
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// Ends returns when the agent has ended by itself, as it should.
func (n *Node) Ends(ctx context.Context) error {
	select {
	case <-n.ended:
		n.asked = true
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the agent does not end: %w", ctx.Err())
	}
}

// Program is the path of the agent's program.
func (n *Node) Program() string { return n.cfg.Binary }

// ExitCode is how the agent ended that was started last: -1 while it runs, and after a signal.
func (n *Node) ExitCode() int {
	if n.cmd == nil || n.Running() {
		return -1
	}
	return n.cmd.ProcessState.ExitCode()
}

// PID returns the agent's process ID.
func (n *Node) PID() int { return n.cmd.Process.Pid }

// Ready returns when the agent is the leader and its node is ready for tasks.
func (n *Node) Ready(ctx context.Context) error {
	return Until(ctx, "the node is ready", func(ctx context.Context) error {
		if !n.Running() {
			return Final(fmt.Errorf("the agent has ended: %s%s", n.cmd.ProcessState, n.LogTail(tail)))
		}
		_, err := n.NodeID(ctx)
		return err
	})
}

// NodeID returns the ID of the ready client node.
func (n *Node) NodeID(ctx context.Context) (string, error) {
	nodes, _, err := n.API.Nodes().List(ctx, nil)
	if err != nil {
		return "", err
	}
	if len(nodes) != 1 || nodes[0].Status != nomadish.NodeStatusReady {
		return "", fmt.Errorf("of %d nodes none is ready", len(nodes))
	}
	return nodes[0].ID, nil
}

// LogTail is what the agents wrote last, at most so many bytes, for messages.
func (n *Node) LogTail(most int64) string {
	f, err := os.Open(n.Log())
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return "\n" + string(text)
}

// Kill ends the agent with SIGKILL: it can do nothing about it.
func (n *Node) Kill() error {
	if !n.Running() {
		return nil
	}
	n.asked = true
	if err := n.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-n.ended
	n.API.Close()
	return nil
}

// Stop asks the agent to end and returns when it has.
func (n *Node) Stop() error {
	if !n.Running() {
		return nil
	}
	n.asked = true
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	defer n.API.Close()
	select {
	case <-n.ended:
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("the agent did not end within %s of SIGTERM%s", stopTimeout, n.LogTail(2<<10)), n.Kill())
	}
	if code := n.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the agent ended with code %d%s", code, n.LogTail(2<<10))
	}
	return nil
}

// AllocFile is where a file of an allocation lies on this machine, by its path in the
// allocation, such as alloc/data/x.
func (n *Node) AllocFile(allocID, path string) string {
	return filepath.Join(n.DataDir(), "client", "alloc", allocID, path)
}
