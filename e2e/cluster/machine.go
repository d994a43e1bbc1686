//go:build linux

package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish/api"
)

// Config says what a machine is.
type Config struct {
	Name   string // default: m1 and so on
	Server bool
	Client bool
	Binary string         // default: what machine.Binary finds
	DiskMB int            // of a disk of its own for the agent's data; default: the directory's
	Agent  map[string]any // more keys of the agent's configuration
	// ServerKeys and ClientKeys are more keys of its server and its client block.
	ServerKeys, ClientKeys map[string]any
}

// Machine is one machine of a lab. The node's API is called as the cluster's users do: over the
// machine's cable.
type Machine struct {
	*machine.Node
	Inside *api.Client // calls from the machine itself

	lab    *Lab
	cfg    Config
	ns     namespace
	addr   netip.Addr
	losses []loss
	late   []netip.Addr // of whom it hears late, through line
	line   *delayLine   // nil: there is none
	paused bool
}

// firstAddress is that of the first machine: those before are the users'.
const firstAddress = 11

// Add adds a machine. Servers know of all servers that the lab has when they are first started;
// clients of those that it has when they are added.
func (l *Lab) Add(cfg Config) (*Machine, error) {
	number := len(l.machines) + 1
	cfg.Name = cmp.Or(cfg.Name, fmt.Sprintf("m%d", number))
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	m := &Machine{lab: l, cfg: cfg, ns: ns, addr: address(firstAddress + number - 1)}
	if err := l.plug(m); err != nil {
		return nil, errors.Join(err, ns.close())
	}
	l.machines = append(l.machines, m)
	m.Node, err = machine.New(machine.Config{
		Binary: cfg.Binary, Dir: filepath.Join(l.dir, cfg.Name), Address: m.addr.String(), Transport: l.ns.transport(),
		Spawn: func(cmd *exec.Cmd) error {
			cmd.Env = append(cmd.Environ(), clockVariable+"="+m.clock())
			return m.ns.spawn(cmd, cfg.Name)
		},
		Client: m.client(), Agent: m.agent(), LogLevel: "info",
	})
	if err != nil {
		return nil, err
	}
	if m.Inside, err = api.New(api.Config{Address: "http://" + m.Addr, Transport: ns.transport()}); err != nil {
		return nil, err
	}
	if cfg.DiskMB > 0 {
		return m, m.mountDisk()
	}
	return m, nil
}

// Name is the machine's, and that of its agent.
func (m *Machine) Name() string { return m.cfg.Name }

func (m *Machine) client() map[string]any {
	client := map[string]any{
		"enabled": m.cfg.Client, "network_interface": machineLink,
		"options": map[string]any{"driver.allowlist": "raw_exec,mock_driver"}, // no machine needs a containerd
	}
	if m.cfg.Client && !m.cfg.Server {
		var servers []string
		for _, s := range m.lab.Servers() {
			servers = append(servers, s.addr.String())
		}
		client["servers"] = servers
	}
	maps.Copy(client, m.cfg.ClientKeys)
	return client
}

func (m *Machine) agent() map[string]any {
	agent := map[string]any{"name": m.cfg.Name, "server": map[string]any{"enabled": false}}
	if servers := m.lab.Servers(); m.cfg.Server {
		server := map[string]any{"enabled": true, "bootstrap_expect": len(servers)}
		if len(servers) > 1 {
			var join []string
			for _, s := range servers {
				join = append(join, s.addr.String())
			}
			server["server_join"] = map[string]any{"retry_join": join, "retry_interval": "1s"}
		}
		maps.Copy(server, m.cfg.ServerKeys)
		agent["server"] = server
	}
	maps.Copy(agent, m.cfg.Agent)
	return agent
}

// Start starts the agent. A server expects and joins all servers that the lab has by now.
func (m *Machine) Start() error {
	if err := m.Reconfigure(m.agent()); err != nil {
		return err
	}
	return m.Node.Start()
}

// Pause stops the agent's process where it is, as a paused virtual machine does: its sockets stay,
// and nobody answers on them.
func (m *Machine) Pause() error {
	m.paused = true
	return syscall.Kill(m.PID(), syscall.SIGSTOP)
}

// Resume has it go on.
func (m *Machine) Resume() error {
	m.paused = false
	return syscall.Kill(m.PID(), syscall.SIGCONT)
}

// CutPower has the machine lose its power: nobody hears of it from one moment to the next, and
// only what is on its disk stays.
func (m *Machine) CutPower() error { return errors.Join(m.Unplug(), m.LosePower()) }

// PowerOn boots the machine again.
func (m *Machine) PowerOn() error { return errors.Join(m.Plug(), m.Start()) }

// CLI runs a command of the machine's program on the machine, and returns what it says.
func (m *Machine) CLI(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.Program(), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "NOMAD_ADDR=http://"+m.Addr)
	err := m.ns.spawn(cmd, m.cfg.Name)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: nomadish %s: %w: %s", m.cfg.Name, strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// clockVariable names the file that tells a program that was built for it by how many seconds its clock is wrong.
const clockVariable = "NOMADISH_LAB_CLOCK"

func (m *Machine) clock() string { return filepath.Join(m.lab.dir, m.cfg.Name+".clock") }

// SetClock sets the machine's wall clock wrong.
func (m *Machine) SetClock(by time.Duration) error {
	next := m.clock() + ".next"
	if err := os.WriteFile(next, fmt.Append(nil, int64(by.Seconds())), 0o600); err != nil {
		return err
	}
	return os.Rename(next, m.clock())
}

// diskSource begins what a machine's disk is mounted from. The ID of the lab's process follows.
const diskSource = "nomadish-lab-"

// mountDisk gives the agent's data a disk of its own, in memory.
func (m *Machine) mountDisk() error {
	if err := os.MkdirAll(m.DataDir(), 0o700); err != nil {
		return err
	}
	source := fmt.Sprint(diskSource, os.Getpid())
	if err := syscall.Mount(source, m.DataDir(), "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", m.cfg.DiskMB)); err != nil {
		return fmt.Errorf("disk of %s: %w", m.cfg.Name, err)
	}
	return nil
}

// ballast is the file with which FillDisk fills the disk.
func (m *Machine) ballast() string { return filepath.Join(m.DataDir(), "ballast") }

// FillDisk fills the machine's disk until nothing more fits.
func (m *Machine) FillDisk() error {
	f, err := os.Create(m.ballast())
	if err != nil {
		return err
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		_, err := f.Write(chunk)
		if errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// FreeDisk takes away what FillDisk has put there.
func (m *Machine) FreeDisk() error { return os.Remove(m.ballast()) }

// FailSync has each of the agent's attempts to make data durable fail with EIO, from now on until
// the agent ends. It returns when that is so.
func (m *Machine) FailSync(ctx context.Context) error {
	pid := m.PID()
	const calls = "fsync,fdatasync,sync_file_range"
	cmd := exec.Command("strace", "-f", "-q", "-o", os.DevNull, "-e", "trace="+calls, "-e", "inject="+calls+":error=EIO", "-p", fmt.Sprint(pid)) //nolint:noctx // it ends with the agent
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("strace: %w", err)
	}
	go func() { _ = cmd.Wait() }() // ends with the agent; nobody wants to know how
	return machine.Until(ctx, "strace is attached to all threads", func(context.Context) error { return traced(pid) })
}

func (m *Machine) close() error {
	var errs []error
	if m.line != nil {
		errs = append(errs, m.line.close())
	}
	if m.Node == nil {
		return errors.Join(append(errs, m.ns.close())...)
	}
	if m.paused && m.Running() {
		errs = append(errs, m.Resume())
	}
	m.Inside.Close()
	if err := m.Node.Close(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", m.cfg.Name, err))
	}
	return errors.Join(append(errs, m.ns.close())...)
}
