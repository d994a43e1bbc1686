//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// The large cluster: so many nodes, with so many jobs of so many allocations, and some more
// before the server is started anew.
const (
	fleetNodes  = 5000
	fleetJobs   = 20
	moreJobs    = 2
	fleetAllocs = 1000 // of each job
	fleetIdle   = 3    // times as long as other idle agents are watched
)

// nodes measures one server with thousands of simulated nodes, each on an encrypted connection.
func (b *bench) nodes(ctx context.Context) error {
	certs, err := newCertificates(b.dir)
	if err != nil {
		return err
	}
	cfg := machine.Config{
		Client: map[string]any{"enabled": false},
		Agent: map[string]any{
			"limits": map[string]any{"http_max_conns_per_client": 0},
			"tls":    map[string]any{"rpc": true, "ca_file": certs.ca(), "cert_file": certs.cert("server"), "key_file": certs.key("server")},
		},
	}
	return b.with(ctx, "nodes", cfg, func(ctx context.Context, n *machine.Node) (err error) {
		if err := n.Start(); err != nil {
			return err
		}
		if err := machine.Until(ctx, "the server leads", func(ctx context.Context) error { return leads(ctx, n) }); err != nil {
			return err
		}
		f, err := b.newFleet(n, certs, fleetNodes)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, f.end()) }()
		begin := time.Now()
		if err := f.until(ctx, "all nodes are online", func(s standing) bool { return s.Online == fleetNodes }); err != nil {
			return err
		}
		cpu, err := machine.CPUTime(n.PID())
		if err != nil {
			return err
		}
		b.add(fmt.Sprintf("%d nodes, 500 started per second: all online after", fleetNodes), time.Since(begin).Seconds(), 0, "s")
		b.add("  CPU of the server meanwhile, of a core", 100*cpu.Seconds()/time.Since(begin).Seconds(), 0, "%")
		idle, err := b.idleFleet(ctx, n, f)
		if err != nil {
			return err
		}
		if err := b.reports(ctx, n, f, idle); err != nil {
			return err
		}
		return b.restarts(ctx, n, f)
	})
}

// idleFleet measures a server whose nodes have nothing to do, and returns how many cores it takes.
func (b *bench) idleFleet(ctx context.Context, n *machine.Node, f *fleet) (float64, error) {
	if err := wait(ctx, 5*time.Second); err != nil { // what follows from the registrations is over
		return 0, err
	}
	server, err := machine.CPUTime(n.PID())
	if err != nil {
		return 0, err
	}
	nodes, err := machine.CPUTime(f.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := wait(ctx, fleetIdle*b.idle); err != nil {
		return 0, err
	}
	took := time.Since(begin).Seconds()
	serverAfter, err := machine.CPUTime(n.PID())
	if err != nil {
		return 0, err
	}
	nodesAfter, err := machine.CPUTime(f.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	idle := (serverAfter - server).Seconds() / took
	b.add(fmt.Sprintf("%d idle nodes: CPU of the server", fleetNodes), idle, 0.5, "cores")
	if err := b.memory(n.PID(), "  memory of the server", 1536); err != nil {
		return 0, err
	}
	b.add("  CPU of the simulator", (nodesAfter-nodes).Seconds()/took, 0, "cores")
	return idle, b.memory(f.cmd.Process.Pid, "  memory of the simulator", 0)
}

func (b *bench) memory(pid int, name string, target float64) error {
	rss, err := machine.RSS(pid)
	b.add(name, float64(rss)/(1<<20), target, "MiB")
	return err
}

// reports measures how allocations are placed, and what it costs the server when all nodes report
// that theirs run: one report per node, all at once. Counted is all CPU that the server takes from
// before the first report until two seconds after the last one was acknowledged, less what it
// takes for as long when its nodes are idle.
func (b *bench) reports(ctx context.Context, n *machine.Node, f *fleet, idle float64) error {
	spread := &nomadish.SchedulerConfiguration{SchedulerAlgorithm: nomadish.SchedulerSpread} // over all nodes, as many as can be
	if _, err := n.API.Operator().SetSchedulerConfig(ctx, spread, nil); err != nil {
		return err
	}
	before, err := machine.CPUTime(n.PID())
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := place(ctx, n, 0, fleetJobs); err != nil {
		return err
	}
	const all = fleetJobs * fleetAllocs
	if err := f.until(ctx, "all allocations are with their nodes", func(s standing) bool { return s.Arrived == all }); err != nil {
		return err
	}
	placed := time.Since(begin)
	after, err := machine.CPUTime(n.PID())
	if err != nil {
		return err
	}
	b.add(fmt.Sprintf("%d allocations of %d jobs: placed and with their nodes after", all, fleetJobs), placed.Seconds(), 0, "s")
	b.add("  CPU of the server", (after - before).Seconds(), 0, "s")
	const settle = 2 * time.Second
	if err := wait(ctx, 2*settle); err != nil {
		return err
	}
	if before, err = machine.CPUTime(n.PID()); err != nil {
		return err
	}
	begin = time.Now()
	if err := f.release(); err != nil {
		return err
	}
	if err := f.until(ctx, "all allocations run", func(s standing) bool { return s.Running == all }); err != nil {
		return err
	}
	reported := time.Since(begin)
	if err := wait(ctx, settle); err != nil {
		return err
	}
	if after, err = machine.CPUTime(n.PID()); err != nil {
		return err
	}
	spent := (after - before).Seconds() - idle*time.Since(begin).Seconds()
	b.add(fmt.Sprintf("  reported as running, by %d reports: CPU of the server", f.now().Reports), spent, 1, "s")
	b.add("  time to report", reported.Seconds(), 0, "s")
	b.add("  time from the first job to all running", (placed + reported).Seconds(), 0, "s")
	return b.memory(n.PID(), "  memory of the server", 0)
}

// place registers jobs that all nodes can take.
func place(ctx context.Context, n *machine.Node, from, to int) error {
	for i := from; i < to; i++ {
		job := nomadish.NewJob(fmt.Sprintf("fleet-%d", i), nomadish.JobTypeService, &nomadish.Task{
			Name: machine.Task, Driver: "docker", Config: map[string]any{"image": "none"},
			Resources: &nomadish.Resources{CPU: nomadish.Ptr(100), MemoryMB: nomadish.Ptr(128)},
		})
		job.TaskGroups[0].Count = nomadish.Ptr(fleetAllocs)
		if _, err := n.Register(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// restarts measures a server that starts with a large state: while its nodes come back, and alone.
func (b *bench) restarts(ctx context.Context, n *machine.Node, f *fleet) error {
	const all = (fleetJobs + moreJobs) * fleetAllocs
	if err := place(ctx, n, fleetJobs, fleetJobs+moreJobs); err != nil {
		return err
	}
	if err := f.until(ctx, "more allocations run", func(s standing) bool { return s.Running == all }); err != nil {
		return err
	}
	name := fmt.Sprintf("restart with %d allocations, %d nodes coming back: default reads after", all, fleetNodes)
	if err := b.restart(ctx, n, name, all); err != nil {
		return err
	}
	begin := time.Now()
	if err := f.until(ctx, "all nodes are back", func(s standing) bool { return s.Online == fleetNodes }); err != nil {
		return err
	}
	b.add("  all nodes online after that", time.Since(begin).Seconds(), 0, "s")
	if err := f.end(); err != nil {
		return err
	}
	return b.restart(ctx, n, "  without the nodes: default reads after", all)
}

// restart kills a server and measures how soon after its start it answers a default read, which
// shows that nothing is missing.
func (b *bench) restart(ctx context.Context, n *machine.Node, name string, running int) error {
	if err := n.Kill(); err != nil {
		return err
	}
	begin := time.Now()
	if err := n.Start(); err != nil {
		return err
	}
	if err := machine.Until(ctx, "the server answers", func(ctx context.Context) error {
		jobs, _, err := n.API.Jobs().List(ctx, nil)
		if err != nil {
			return err
		}
		sum := 0
		for _, j := range jobs {
			for _, g := range j.JobSummary.Summary {
				sum += g.Running
			}
		}
		if sum != running {
			return machine.Final(fmt.Errorf("%d allocations run, want %d", sum, running))
		}
		return nil
	}); err != nil {
		return err
	}
	b.add(name, time.Since(begin).Seconds(), 3, "s")
	cpu, err := machine.CPUTime(n.PID())
	b.add("  CPU of the server until then", cpu.Seconds(), 0, "s")
	return err
}
