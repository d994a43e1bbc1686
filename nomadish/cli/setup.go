package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// setup makes this machine an agent: what init and join have in common.
type setup struct {
	c *call

	configDir, dataDir, name, dc string
	bind, advertise              string
	httpPort, rpcPort, serfPort  int
	filesOnly                    bool
	contextName                  string

	steps []string // what was done, for -json
}

// written begins the configuration files that init and join write.
const written = "# Written by \"nomadish"

// packaged is the configuration that the package installs: one server and one node on loopback. init
// and join put their own in its place.
const packaged = `# One server and one client node on this machine, open on loopback alone. Tasks run as
# containers; nothing else has to be installed. See "nomadish agent -help" for the keys.
data_dir  = "/var/lib/nomadish"
bind_addr = "127.0.0.1"

server {
  enabled          = true
  bootstrap_expect = 1
}

client {
  enabled = true
}
`

// Directories that the package uses.
const (
	systemConfig = "/etc/nomadish.d"
	systemData   = "/var/lib/nomadish"
	unit         = "nomadish.service"
)

func (s *setup) register() {
	f := s.c.flags
	f.StringVar(&s.configDir, "config-dir", "", "`directory` of the agent's configuration; default "+systemConfig+", for users other than root one in ~/.config/nomadish")
	f.StringVar(&s.dataDir, "data-dir", "", "`directory` of the agent's data; default "+systemData+", for users other than root one in ~/.local/share/nomadish")
	f.StringVar(&s.name, "name", "", "the agent's name; default: the host's")
	f.StringVar(&s.bind, "bind", "", "`address` to listen on; default 0.0.0.0")
	f.StringVar(&s.advertise, "advertise", "", "`address` at which others reach this machine; default: that of -bind, or the first that is no loopback")
	f.IntVar(&s.httpPort, "http-port", agent.DefaultHTTPPort, "port of the API")
	f.IntVar(&s.rpcPort, "rpc-port", agent.DefaultRPCPort, "port for other agents")
	f.IntVar(&s.serfPort, "serf-port", agent.DefaultSerfPort, "port of the servers' gossip")
	f.BoolVar(&s.filesOnly, "files-only", false, "write the files and start nothing")
	f.StringVar(&s.contextName, "context-name", "", "`name` under which this user's commands know the cluster; default: its region")
}

// places fills in where things are.
func (s *setup) places() error {
	root := os.Geteuid() == 0
	if s.configDir == "" && root {
		s.configDir = systemConfig
	}
	if s.dataDir == "" && root {
		s.dataDir = systemData
	}
	if s.configDir == "" {
		dir := s.c.userDir()
		if dir == "" {
			return errors.New("there is no home directory: say with -config-dir where the configuration is to be")
		}
		s.configDir = filepath.Join(dir, "agent.d")
	}
	if s.dataDir == "" {
		home, _ := s.c.lookup("HOME")
		if home == "" {
			return errors.New("there is no home directory: say with -data-dir where the data is to be")
		}
		s.dataDir = filepath.Join(home, ".local", "share", "nomadish")
	}
	var err error
	for _, dir := range []*string{&s.configDir, &s.dataDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	return nil
}

// config is the configuration file.
func (s *setup) config() string { return filepath.Join(s.configDir, "nomadish.hcl") }

// tell says what has been done.
func (s *setup) tell(format string, args ...any) {
	text := printable(fmt.Sprintf(format, args...))
	s.steps = append(s.steps, text)
	if s.c.machine() {
		fmt.Fprintln(s.c.Stderr, text)
		return
	}
	fmt.Fprintln(s.c.Stdout, text)
}

// state is what is there of an earlier run.
type setupState int

const (
	nothingThere setupState = iota
	packageThere            // what the package has installed
	oursThere               // what init or join has written
)

// look finds out what is there. A configuration that somebody else has written is left alone.
func (s *setup) look() (setupState, error) {
	if text, err := os.ReadFile(s.config()); err == nil && strings.HasPrefix(string(text), written) {
		return oursThere, nil // what users have added beside it is theirs
	}
	entries, err := os.ReadDir(s.configDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nothingThere, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); e.IsDir() || ext != ".hcl" && ext != ".json" {
			continue
		}
		path := filepath.Join(s.configDir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		if path == s.config() && string(text) == packaged {
			return packageThere, nil
		}
		return 0, fmt.Errorf("%s is there, and was not written by this command: this machine has an agent already.\n"+
			"Move the file away, or name other directories with -config-dir and -data-dir", path)
	}
	return nothingThere, nil
}

// writeConfig writes the configuration, in place of the package's.
func (s *setup) writeConfig(text string) error {
	if err := os.MkdirAll(s.configDir, 0o755); err != nil {
		return err
	}
	if err := writeUserFile(s.config(), []byte(text)); err != nil {
		return err
	}
	s.tell("wrote %s", s.config())
	return nil
}

// common is the part of the configuration that all agents have.
func (s *setup) common(b *strings.Builder, command, region, dc string) {
	fmt.Fprintf(b, "%s %s\". Others are not to read it: it may hold keys.\n", written, command)
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(b, "%-10s = %q\n", key, value)
		}
	}
	line("region", region)
	line("datacenter", dc)
	line("name", s.name)
	line("data_dir", s.dataDir)
	line("bind_addr", s.bind)
	if s.httpPort != agent.DefaultHTTPPort || s.rpcPort != agent.DefaultRPCPort || s.serfPort != agent.DefaultSerfPort {
		fmt.Fprintf(b, "\nports {\n  http = %d\n  rpc  = %d\n  serf = %d\n}\n", s.httpPort, s.rpcPort, s.serfPort)
	}
	if s.advertise != "" {
		fmt.Fprintf(b, "\nadvertise {\n  http = %q\n  rpc  = %q\n  serf = %q\n}\n", s.advertise, s.advertise, s.advertise)
	}
	b.WriteString("\n# Certificates of the cluster's own authority, renewed by themselves.\ntls {\n  managed = true\n}\n")
}

// local is the host at which this machine reaches its own agent.
func (s *setup) local() string {
	if ip := net.ParseIP(s.bind); s.bind == "" || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return s.bind
}

// outward is the host at which others reach this machine.
func (s *setup) outward() string {
	if s.advertise != "" {
		return s.advertise
	}
	if host := s.local(); host != "127.0.0.1" || s.bind == host {
		return host
	}
	return agent.OutwardAddress()
}

// addrs are the addresses that the agent's first certificate is to name.
func (s *setup) addrs() []string { return []string{s.local(), s.outward()} }

// address is the URL of this machine's API.
func (s *setup) address() string {
	return "https://" + net.JoinHostPort(s.local(), strconv.Itoa(s.httpPort))
}

// ownName is in the certificates of all agents, whatever address they listen on.
const ownName = "localhost"

// client talks to this machine's agent.
func (s *setup) client(token nomadish.SecretText) (*api.Client, error) {
	return api.New(api.Config{Address: s.address(), Token: token, TLS: api.TLSConfig{
		CACert: agent.Certificates(s.dataDir).Authorities(), ServerName: ownName,
	}})
}

// readopt takes over from the configuration that is there how the agent is reached.
func (s *setup) readopt() error {
	file, _, err := agent.Load([]string{s.configDir})
	if err != nil {
		return err
	}
	s.bind, s.dataDir = nomadish.Val(file.BindAddr), cmp.Or(nomadish.Val(file.DataDir), s.dataDir)
	if p := file.Ports; p != nil {
		s.httpPort, s.rpcPort = cmp.Or(nomadish.Val(p.HTTP), s.httpPort), cmp.Or(nomadish.Val(p.RPC), s.rpcPort)
	}
	if file.Advertise != nil {
		s.advertise = nomadish.Val(file.Advertise.RPC)
	}
	return nil
}

// Times of setting up.
const (
	answerSoon = 2 * time.Second  // in which an agent that runs answers
	answerLate = 60 * time.Second // in which one that was started does
)

// answers says why this machine's agent does not answer; nil: it does, with the certificate that it should have.
func (s *setup) answers(ctx context.Context) error {
	client, err := s.client("")
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, answerSoon)
	defer cancel()
	_, err = client.Agent().Health(ctx)
	var answered *api.Error
	if errors.As(err, &answered) && answered.StatusCode != http.StatusBadRequest {
		return nil // it answers that it is not well yet
	}
	return err
}

// await waits until the agent answers.
func (s *setup) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLate)
	defer cancel()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if lifecycle.Sleep(ctx, 100*time.Millisecond) != nil {
			return fmt.Errorf("the agent at %s does not answer: %w", s.address(), err)
		}
	}
}

// run starts the agent where it does not run, and then does what remains: finish. Under systemd with the
// package's unit the agent is a service; else it is this process, until it is interrupted.
func (s *setup) run(ctx context.Context, finish func(ctx context.Context) error) error {
	switch {
	case s.filesOnly:
		return nil
	case s.answers(ctx) == nil:
		s.tell("the agent runs already")
		return finish(ctx)
	case s.service(ctx):
		s.tell("starting the service %s", unit)
		for _, verb := range []string{"enable", "restart"} {
			if err := systemctl(ctx, verb, unit); err != nil {
				return err
			}
		}
		if err := s.await(ctx); err != nil {
			return fmt.Errorf("%w\n\n\"journalctl -u nomadish\" says why", err)
		}
		return finish(ctx)
	}
	s.tell("starting the agent in this process; interrupt it to stop")
	flags := &agentFlags{configs: many{s.configDir}, quiet: true}
	flags.beside = func(ctx context.Context) error {
		err := s.await(ctx)
		if err == nil {
			err = finish(ctx)
		}
		if err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}
	return flags.run(ctx, s.c)
}

// service says whether systemd is to run the agent.
func (s *setup) service(ctx context.Context) bool {
	if _, err := os.Stat("/run/systemd/system"); err != nil || s.configDir != systemConfig {
		return false
	}
	return exec.CommandContext(ctx, "systemctl", "cat", unit).Run() == nil
}
