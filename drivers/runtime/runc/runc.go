//go:build linux && cgo

// Package runc is the part of runc's command line that containerd's shim calls, over
// libcontainer, so that the one binary is its own container runtime.
//
// It understands create, start, state, kill, delete, exec, pause, resume, update, ps,
// features and --version, with runc's flags and its log format. Everything else is refused
// by name. Importing it links libcontainer's C constructor, which takes over a process that
// runs as "runc init" before any Go code; such a process must reach Init first in main.
package runc

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	_ "github.com/opencontainers/cgroups/devices" // device rules of cgroups
	"github.com/opencontainers/runc/libcontainer"
	_ "github.com/opencontainers/runc/libcontainer/nsenter" // joins the namespaces of "runc init"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
)

// Version is the release of libcontainer that is linked.
const Version = "1.5.2"

// IsInit says whether args are those of a container's first process, before it becomes the
// container's own.
func IsInit(args []string) bool {
	return len(args) > 1 && args[1] == "init" && os.Getenv("_LIBCONTAINER_INITPIPE") != ""
}

// Init turns this process into the container's. It does not return.
func Init() { libcontainer.Init() }

// globals are the flags before the command.
type globals struct {
	root    string
	log     string
	format  string
	debug   bool
	version bool
}

// command is one invocation: its flags and what it works on.
type command struct {
	globals
	bundle       string
	console      string
	pidFile      string
	process      string
	resources    string
	noPivot      bool
	noNewKeyring bool
	force        bool
	all          bool
	preservedFDs int
	args         []string
	stdin        io.Reader
	stdout       io.Writer
}

// commands are the verbs in use, by name.
func commands() map[string]func(*command) error {
	return map[string]func(*command) error{
		"create":   (*command).create,
		"start":    (*command).start,
		"state":    (*command).state,
		"kill":     (*command).kill,
		"delete":   (*command).delete,
		"exec":     (*command).exec,
		"pause":    (*command).pause,
		"resume":   (*command).resume,
		"update":   (*command).update,
		"ps":       (*command).ps,
		"features": (*command).features,
	}
}

// Main runs the command line args (without the program's name) and returns its exit code.
func Main(args []string) int {
	var g globals
	rest, err := g.parse(args)
	if err == nil && g.version {
		fmt.Printf("runc version %s\nspec: %s\n", Version, specs.Version)
		return 0
	}
	if err == nil {
		err = g.setLog()
	}
	if err == nil {
		err = run(g, rest)
	}
	if err != nil {
		logrus.Error(err) // the shim reads the reason from the log file
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func (g *globals) parse(args []string) ([]string, error) {
	f := flag.NewFlagSet("runc", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&g.root, "root", "/run/runc", "")
	f.StringVar(&g.log, "log", "", "")
	f.StringVar(&g.format, "log-format", "text", "")
	f.BoolVar(&g.debug, "debug", false, "")
	f.BoolVar(&g.version, "version", false, "")
	if err := f.Parse(args); err != nil {
		return nil, fmt.Errorf("runc: %w", err)
	}
	return f.Args(), nil
}

// setLog sends libcontainer's messages, and ours, where the caller reads them.
func (g *globals) setLog() error {
	if g.debug {
		logrus.SetLevel(logrus.DebugLevel)
	}
	if g.format == "json" {
		logrus.SetFormatter(&logrus.JSONFormatter{})
	}
	if g.log == "" {
		return nil
	}
	f, err := os.OpenFile(g.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND|os.O_SYNC, 0o600)
	if err != nil {
		return fmt.Errorf("runc: log: %w", err)
	}
	logrus.SetOutput(f) // open until the process ends
	return nil
}

func run(g globals, args []string) error {
	if len(args) == 0 {
		return errors.New("runc: no command")
	}
	do, ok := commands()[args[0]]
	if !ok {
		return fmt.Errorf("runc: command %q is not supported", args[0])
	}
	c := &command{globals: g, stdin: os.Stdin, stdout: os.Stdout}
	if err := c.parse(args[0], args[1:]); err != nil {
		return err
	}
	return do(c)
}

func (c *command) parse(name string, args []string) error {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.bundle, "bundle", "", "")
	f.StringVar(&c.console, "console-socket", "", "")
	f.StringVar(&c.pidFile, "pid-file", "", "")
	f.StringVar(&c.process, "process", "", "")
	f.StringVar(&c.resources, "resources", "", "")
	f.BoolVar(&c.noPivot, "no-pivot", false, "")
	f.BoolVar(&c.noNewKeyring, "no-new-keyring", false, "")
	f.BoolVar(&c.force, "force", false, "")
	f.BoolVar(&c.all, "all", false, "")
	f.IntVar(&c.preservedFDs, "preserve-fds", 0, "")
	f.Bool("detach", true, "") // always so: nobody waits here
	f.Bool("tty", false, "")   // the process says it
	f.String("format", "json", "")
	if err := f.Parse(args); err != nil {
		return fmt.Errorf("runc %s: %w", name, err)
	}
	c.args = f.Args()
	if len(c.args) == 0 && name != "features" {
		return fmt.Errorf("runc %s: no container id", name)
	}
	return nil
}

func (c *command) id() string { return c.args[0] }

func (c *command) load() (*libcontainer.Container, error) {
	return libcontainer.Load(c.root, c.id())
}

func (c *command) start() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	status, err := container.Status()
	if err != nil {
		return err
	}
	if status != libcontainer.Created {
		return fmt.Errorf("start: container %s is %s, not created", c.id(), status)
	}
	return container.Exec()
}

func (c *command) state() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	state, err := container.OCIState()
	if err != nil {
		return err
	}
	return json.NewEncoder(c.stdout).Encode(state)
}

func (c *command) ps() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	pids, err := container.Processes()
	if err != nil {
		return err
	}
	return json.NewEncoder(c.stdout).Encode(pids)
}

func (c *command) pause() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	return container.Pause()
}

func (c *command) resume() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	return container.Resume()
}
