//go:build linux

// Package cluster is a lab: machines with agents of the real program, each in a network
// namespace with a link to a common bridge, and what can happen to machines: killed and paused
// agents, lost power, pulled cables, networks in parts, full and failing disks. Writers and
// readers use the cluster meanwhile, and a checker compares what they were told with what there is.
//
//	lab, err := cluster.New(dir)
//	defer lab.Close()
//	for range 3 {
//		_, err = lab.Add(cluster.Config{Server: true, Client: true})
//	}
//	err = lab.Start(ctx)
//	err = lab.Machines()[0].CutPower()
//
// All of it goes away with the process that made it, however that ends, but for tasks that are
// processes of their own: those the next lab ends.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// Lab is a network of machines.
type Lab struct {
	dir      string
	ns       namespace // of the bridge, and of the cluster's users
	machines []*Machine
}

// New makes a lab without machines. What is kept lies below dir.
func New(dir string) (*Lab, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	l := &Lab{dir: dir, ns: ns}
	if err := newBridge(ns); err != nil {
		return nil, errors.Join(err, ns.close())
	}
	return l, nil
}

// Machines returns all machines, in the order in which they were added.
func (l *Lab) Machines() []*Machine { return l.machines }

// Servers returns those that are servers.
func (l *Lab) Servers() []*Machine {
	return slices.DeleteFunc(slices.Clone(l.machines), func(m *Machine) bool { return !m.cfg.Server })
}

// Others returns all machines but one.
func (l *Lab) Others(than *Machine) []*Machine {
	return slices.DeleteFunc(slices.Clone(l.machines), func(m *Machine) bool { return m == than })
}

// transport carries requests from the cluster's users, or from a machine, by connections of its own.
func (ns namespace) transport() http.RoundTripper {
	return &http.Transport{DialContext: ns.dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: 50 * time.Second}
}

// Start starts the agents of all machines and returns when the cluster is ready.
func (l *Lab) Start(ctx context.Context) error {
	for _, m := range l.machines {
		if err := m.Start(); err != nil {
			return err
		}
	}
	return l.Ready(ctx)
}

// Ready returns when all servers have the same leader and take part, and all client nodes are ready.
func (l *Lab) Ready(ctx context.Context) error {
	return until(ctx, "the cluster is ready", func(ctx context.Context) error {
		leaders := map[string]bool{}
		for _, m := range l.Servers() {
			if !m.Running() {
				return machine.Final(fmt.Errorf("%s: %w", m.cfg.Name, m.Ended()))
			}
			err := brief(ctx, func(ctx context.Context) error {
				leader, err := m.API.Status().Leader(ctx)
				leaders[leader] = true
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", m.cfg.Name, err)
			}
		}
		if len(leaders) != 1 || leaders[""] {
			return fmt.Errorf("the leaders are %v", leaders)
		}
		return errors.Join(brief(ctx, l.votersReady), brief(ctx, l.nodesReady))
	})
}

// until is machine.Until for checks that ask agents, whose logs would otherwise be full of it.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	return machine.Until(ctx, what, func(ctx context.Context) error {
		err := check(ctx)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
		}
		return err
	})
}

// brief bounds a call that somebody who hangs should answer.
func brief(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// callTimeout is how long a user waits for one answer.
const callTimeout = 2 * time.Second

func (l *Lab) votersReady(ctx context.Context) error {
	servers := l.Servers()
	peers, err := servers[0].API.Operator().RaftConfiguration(ctx, nil)
	if err != nil {
		return err
	}
	voters := 0
	for _, p := range peers.Servers {
		if p.Voter {
			voters++
		}
	}
	if voters != len(servers) {
		return fmt.Errorf("%d of %d servers vote", voters, len(servers))
	}
	return nil
}

func (l *Lab) nodesReady(ctx context.Context) error {
	want := 0
	for _, m := range l.machines {
		if m.cfg.Client {
			want++
		}
	}
	nodes, _, err := l.Servers()[0].API.Nodes().List(ctx, nil)
	if err != nil {
		return err
	}
	ready := 0
	for _, n := range nodes {
		if n.Status == nomadish.NodeStatusReady {
			ready++
		}
	}
	if ready != want {
		return fmt.Errorf("%d of %d nodes are ready", ready, want)
	}
	return nil
}

// Leader returns the machine whose server leads, as most servers say.
func (l *Lab) Leader(ctx context.Context) (leader *Machine, err error) {
	err = until(ctx, "most servers say who leads", func(ctx context.Context) error {
		votes := map[string]int{}
		for _, m := range l.Servers() {
			if !m.Running() || m.paused {
				continue
			}
			if addr, err := m.statusLeader(ctx); err == nil && addr != "" {
				votes[addr]++
			}
		}
		for addr, count := range votes {
			if 2*count <= len(l.Servers()) {
				continue
			}
			if leader = l.at(addr); leader != nil {
				return nil
			}
		}
		return fmt.Errorf("they say %v", votes)
	})
	return leader, err
}

// statusLeader is the leader's address as the machine's server knows it.
func (m *Machine) statusLeader(ctx context.Context) (addr string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	return m.Inside.Status().Leader(ctx)
}

// at finds the machine with the server of that address.
func (l *Lab) at(addr string) *Machine {
	for _, m := range l.machines {
		if addr == m.addr.String()+":4647" {
			return m
		}
	}
	return nil
}

// Users returns a client of the cluster that knows all servers, and asks the n-th one first.
func (l *Lab) Users(n int) (*api.Client, error) {
	servers := l.Servers()
	var addresses []string
	for i := range servers {
		addresses = append(addresses, "http://"+servers[(n+i)%len(servers)].Addr)
	}
	return api.New(api.Config{Address: addresses[0], Others: addresses[1:], Transport: l.ns.transport()})
}

// Close ends all machines and what runs on them. An agent that has ended by itself is an error.
func (l *Lab) Close() error {
	var errs []error
	for _, m := range l.machines {
		errs = append(errs, m.close())
	}
	return errors.Join(append(errs, l.ns.close())...)
}

// lastWords is how much of the end of each agent's log is shown where something failed.
const lastWords = 2 << 10

// Report tells the log of a test that failed what each agent wrote last. Call it before Close.
func (l *Lab) Report(t machine.Test) {
	t.Helper()
	if !t.Failed() {
		return
	}
	for _, m := range l.machines {
		if m.Node == nil {
			continue
		}
		kept, err := m.KeepLog(t.Name() + "-" + m.cfg.Name)
		t.Logf("%s: its log is kept in %s (%v) and ends with:%s", m.cfg.Name, kept, err, m.LogTail(lastWords))
	}
}
