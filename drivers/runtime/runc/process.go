//go:build linux && cgo

package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// create makes the container of the bundle, with its first process waiting for start.
func (c *command) create() error {
	if err := os.Chdir(c.bundle); err != nil {
		return fmt.Errorf("create: bundle: %w", err)
	}
	var spec specs.Spec
	if err := readJSON("config.json", &spec); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := checkProcess(spec.Process); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName:   c.id(),
		NoPivotRoot:  c.noPivot,
		NoNewKeyring: c.noNewKeyring,
		Spec:         &spec,
	})
	if err != nil {
		return err
	}
	container, err := libcontainer.Create(c.root, c.id(), config)
	if err != nil {
		return err
	}
	if err := c.launch(container, spec.Process, true); err != nil {
		return errors.Join(err, container.Destroy())
	}
	return nil
}

// exec runs one more process in a running container.
func (c *command) exec() error {
	container, err := c.load()
	if err != nil {
		return err
	}
	var spec specs.Process
	if err := readJSON(c.process, &spec); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	if err := checkProcess(&spec); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return c.launch(container, &spec, false)
}

// launch starts a process with the stdio of this one, or with a terminal whose other end
// goes to the console socket, and writes down its pid.
func (c *command) launch(container *libcontainer.Container, spec *specs.Process, first bool) error {
	p, err := newProcess(spec)
	if err != nil {
		return err
	}
	p.Init = first
	p.LogLevel = strconv.Itoa(int(logrus.GetLevel()))
	for i := range c.preservedFDs {
		p.ExtraFiles = append(p.ExtraFiles, os.NewFile(uintptr(3+i), "preserved"))
	}
	if spec.Terminal {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: c.console, Net: "unix"})
		if err != nil {
			return fmt.Errorf("console socket: %w", err)
		}
		defer conn.Close() //nolint:errcheck // nothing is written through it
		if p.ConsoleSocket, err = conn.File(); err != nil {
			return fmt.Errorf("console socket: %w", err)
		}
		defer p.ConsoleSocket.Close()
	} else {
		p.Stdin, p.Stdout, p.Stderr = os.Stdin, os.Stdout, os.Stderr
	}
	if err := container.Start(p); err != nil {
		return err
	}
	if err := c.writePID(p); err != nil {
		_ = p.Signal(unix.SIGKILL) // nobody would know of it
		_, _ = p.Wait()
		return err
	}
	return nil
}

// writePID puts the process's pid into the pid file, whole or not at all.
func (c *command) writePID(p *libcontainer.Process) error {
	if c.pidFile == "" {
		return nil
	}
	pid, err := p.Pid()
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(c.pidFile), "."+filepath.Base(c.pidFile))
	if err := os.WriteFile(temp, []byte(strconv.Itoa(pid)), 0o600); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	return os.Rename(temp, c.pidFile)
}

func newProcess(spec *specs.Process) (*libcontainer.Process, error) {
	affinity, err := configs.ConvertCPUAffinity(spec.ExecCPUAffinity)
	if err != nil {
		return nil, err
	}
	p := &libcontainer.Process{
		Args:            spec.Args,
		Env:             spec.Env,
		UID:             int(spec.User.UID),
		GID:             int(spec.User.GID),
		Cwd:             spec.Cwd,
		Label:           spec.SelinuxLabel,
		NoNewPrivileges: &spec.NoNewPrivileges,
		AppArmorProfile: spec.ApparmorProfile,
		Scheduler:       spec.Scheduler,
		IOPriority:      spec.IOPriority,
		CPUAffinity:     affinity,
	}
	for _, g := range spec.User.AdditionalGids {
		p.AdditionalGroups = append(p.AdditionalGroups, int(g))
	}
	if s := spec.ConsoleSize; s != nil {
		p.ConsoleWidth, p.ConsoleHeight = uint16(s.Width), uint16(s.Height)
	}
	if caps := spec.Capabilities; caps != nil {
		p.Capabilities = &configs.Capabilities{
			Bounding:    caps.Bounding,
			Effective:   caps.Effective,
			Inheritable: caps.Inheritable,
			Permitted:   caps.Permitted,
			Ambient:     caps.Ambient,
		}
	}
	for _, r := range spec.Rlimits {
		kind, ok := rlimits[r.Type]
		if !ok {
			return nil, fmt.Errorf("rlimit %q is not known", r.Type)
		}
		p.Rlimits = append(p.Rlimits, configs.Rlimit{Type: kind, Hard: r.Hard, Soft: r.Soft})
	}
	return p, nil
}

// rlimits are the kernel's numbers of the limits that a specification names.
var rlimits = map[string]int{
	"RLIMIT_AS":         unix.RLIMIT_AS,
	"RLIMIT_CORE":       unix.RLIMIT_CORE,
	"RLIMIT_CPU":        unix.RLIMIT_CPU,
	"RLIMIT_DATA":       unix.RLIMIT_DATA,
	"RLIMIT_FSIZE":      unix.RLIMIT_FSIZE,
	"RLIMIT_LOCKS":      unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK":    unix.RLIMIT_MEMLOCK,
	"RLIMIT_MSGQUEUE":   unix.RLIMIT_MSGQUEUE,
	"RLIMIT_NICE":       unix.RLIMIT_NICE,
	"RLIMIT_NOFILE":     unix.RLIMIT_NOFILE,
	"RLIMIT_NPROC":      unix.RLIMIT_NPROC,
	"RLIMIT_RSS":        unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO":     unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME":     unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_STACK":      unix.RLIMIT_STACK,
}

func checkProcess(p *specs.Process) error {
	switch {
	case p == nil:
		return errors.New("the specification has no process")
	case len(p.Args) == 0:
		return errors.New("the process has no args")
	case !filepath.IsAbs(p.Cwd):
		return fmt.Errorf("working directory %q is not absolute", p.Cwd)
	}
	return nil
}

func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
