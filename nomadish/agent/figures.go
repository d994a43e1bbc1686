package agent

import (
	"context"
	"maps"
	"runtime"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/gossip"
	"github.com/nomadish/nomadish/server/state"
)

// figure is one number about the agent, under Nomad's name where it has one.
type figure struct {
	name   string // with dots
	value  float64
	labels []string // names and values in turn
	count  bool     // it only grows, as long as the agent runs
}

// figures collects numbers.
type figures struct {
	list   []figure
	labels []string // of all
}

func (f *figures) add(name string, value float64, labels ...string) {
	f.list = append(f.list, figure{name: name, value: value, labels: append(labels[:len(labels):len(labels)], f.labels...)})
}

// total adds a number of what has happened since the agent began.
func (f *figures) total(name string, value uint64, labels ...string) {
	f.add(name, float64(value), labels...)
	f.list[len(f.list)-1].count = true
}

// read reads all figures of the agent.
func (a *Agent) read(ctx context.Context) []figure {
	f := &figures{}
	if a.cfg.Telemetry.HostLabel {
		f.labels = []string{"host", a.cfg.Name}
	}
	f.runtime()
	if a.server != nil {
		f.server(a)
	}
	if a.client != nil {
		f.client(ctx, a)
	}
	return f.list
}

func (f *figures) runtime() {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	f.add("nomad.runtime.alloc_bytes", float64(mem.Alloc))
	f.add("nomad.runtime.sys_bytes", float64(mem.Sys))
	f.add("nomad.runtime.malloc_count", float64(mem.Mallocs))
	f.add("nomad.runtime.free_count", float64(mem.Frees))
	f.add("nomad.runtime.heap_objects", float64(mem.HeapObjects))
	f.add("nomad.runtime.total_gc_pause_ns", float64(mem.PauseTotalNs))
	f.add("nomad.runtime.total_gc_runs", float64(mem.NumGC))
	f.add("nomad.runtime.num_goroutines", float64(runtime.NumGoroutine()))
}

// server reads what the state holds. It looks at no allocation: jobs have them counted.
func (f *figures) server(a *Agent) {
	r, leads := a.server.Store().Reader(), a.server.Consensus().IsLeader()
	f.add("nomad.raft.appliedIndex", float64(r.Index()))
	f.add("nomad.raft.leader", number(leads))
	f.add("nomad.state.snapshotIndex", float64(r.Index()))
	jobs, nodes := map[string]int{}, map[string]int{}
	for j := range r.Jobs(nil, state.AnyNamespace) {
		jobs[nomadish.Val(j.Status)]++
	}
	for _, status := range []string{nomadish.JobStatusPending, nomadish.JobStatusRunning, nomadish.JobStatusDead} {
		f.add("nomad.nomad.job_status."+status, float64(jobs[status]))
	}
	for n := range r.Nodes(nil) {
		nodes[n.Status]++
	}
	for _, status := range slices.Sorted(maps.Keys(nodes)) {
		f.add("nomadish.nodes", float64(nodes[status]), "status", status)
	}
	f.jobs(r, leads)
	stats := a.server.Evals().Stats()
	f.add("nomad.nomad.broker.total_ready", float64(stats.Ready))
	f.add("nomad.nomad.blocked_evals.total_blocked", float64(stats.Blocked))
	f.nodes(a, stats)
	f.servers(a)
	f.replication(a)
	f.durability(a)
}

// servers adds how the servers are: on all what the pool sees of this region's, on the leader how well they are.
func (f *figures) servers(a *Agent) {
	f.add("nomad.raft.peers", float64(len(a.server.Consensus().Peers())))
	if a.pool != nil {
		count := map[string]int{}
		for _, m := range a.pool.Members() {
			if m.Region == a.cfg.Region {
				count[m.Status]++
			}
		}
		for _, status := range []string{gossip.StatusAlive, gossip.StatusLeaving, gossip.StatusLeft, gossip.StatusFailed} {
			f.add("nomadish.servers", float64(count[status]), "status", status)
		}
	}
	if h := a.server.LastHealth(); h != nil {
		f.add("nomad.autopilot.healthy", number(h.Healthy))
		f.add("nomad.autopilot.failure_tolerance", float64(h.FailureTolerance))
	}
}

// replication adds how old the news of the authoritative region are, on the leader of another one.
func (f *figures) replication(a *Agent) {
	r, err := a.server.Replication(context.Background())
	if err != nil || !a.server.Consensus().IsLeader() {
		return
	}
	for _, k := range r.Kinds {
		if !k.LastSuccess.IsZero() {
			f.add("nomadish.replication.age_seconds", max(0, a.cfg.Now().Sub(k.LastSuccess).Seconds()), "kind", k.Kind)
		}
		f.add("nomadish.replication.failing", number(k.LastError != ""), "kind", k.Kind)
		f.add("nomadish.replication.kept", float64(len(k.Kept)), "kind", k.Kind)
	}
}

// jobs adds the counts of all jobs, and on the leader those of each.
func (f *figures) jobs(r state.Reader, each bool) {
	all := map[string]int{}
	for j := range r.Jobs(nil, state.AnyNamespace) {
		namespace, id := nomadish.Val(j.Namespace), nomadish.Val(j.ID)
		summary, err := r.JobSummary(nil, namespace, id)
		if err != nil {
			continue // it went with its job
		}
		for _, group := range slices.Sorted(maps.Keys(summary.Summary)) {
			s := summary.Summary[group]
			for _, c := range []struct {
				name string
				n    int
			}{
				{"queued", s.Queued},
				{"starting", s.Starting},
				{"running", s.Running},
				{"complete", s.Complete},
				{"failed", s.Failed},
				{"lost", s.Lost},
				{"unknown", s.Unknown},
			} {
				all[c.name] += c.n
				if each {
					f.add("nomad.nomad.job_summary."+c.name, float64(c.n), "exported_job", id, "job", id, "task_group", group, "namespace", namespace)
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f.add("nomadish.allocations", float64(all[name]), "status", name)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// client reads what the node and its tasks use, as far as that is to be published.
func (f *figures) client(ctx context.Context, a *Agent) {
	node, allocs := a.client.Node(), a.client.Reports()
	labels := []string{
		"node_id", node.ID, "datacenter", node.Datacenter, "node_class", node.NodeClass, "node_pool", node.NodePool,
		"node_status", node.Status, "node_scheduling_eligibility", node.SchedulingEligibility,
	}
	f.allocated(node, allocs, labels)
	if a.cfg.Telemetry.NodeMetrics {
		f.host(ctx, a, labels)
	}
	if a.cfg.Telemetry.AllocationMetrics {
		for _, alloc := range allocs {
			if alloc.ClientStatus == nomadish.AllocClientRunning {
				f.tasks(ctx, a, alloc)
			}
		}
	}
}

// allocated adds how many allocations the node has, and what they were granted.
func (f *figures) allocated(node *nomadish.Node, allocs []*nomadish.Allocation, labels []string) {
	states := map[string]int{}
	var cpu, memory, disk int64
	for _, alloc := range allocs {
		switch alloc.ClientStatus {
		case nomadish.AllocClientRunning:
			states["running"]++
		case nomadish.AllocClientPending:
			states["pending"]++
		default:
			states["terminal"]++
		}
		if alloc.Terminal() || alloc.AllocatedResources == nil {
			continue
		}
		for _, t := range alloc.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
		disk += alloc.AllocatedResources.Shared.DiskMB
	}
	for _, name := range []string{"pending", "running", "terminal"} {
		f.add("nomad.client.allocations."+name, float64(states[name]), labels...)
	}
	f.add("nomad.client.allocated.cpu", float64(cpu), labels...)
	f.add("nomad.client.allocated.memory", float64(memory), labels...)
	f.add("nomad.client.allocated.disk", float64(disk), labels...)
	has, kept := node.NodeResources, node.ReservedResources
	if has == nil {
		return
	}
	if kept == nil {
		kept = &nomadish.NodeReservedResources{}
	}
	f.add("nomad.client.unallocated.cpu", float64(has.Cpu.CpuShares-int64(kept.Cpu.CpuShares)-cpu), labels...)
	f.add("nomad.client.unallocated.memory", float64(has.Memory.MemoryMB-int64(kept.Memory.MemoryMB)-memory), labels...)
	f.add("nomad.client.unallocated.disk", float64(has.Disk.DiskMB-int64(kept.Disk.DiskMB)-disk), labels...)
}

// host adds what the machine uses.
func (f *figures) host(ctx context.Context, a *Agent, labels []string) {
	h, err := a.client.HostStats(ctx)
	if err != nil {
		a.cfg.Logger.Debug("read the machine's figures", "err", err)
		return
	}
	f.add("nomad.client.uptime", float64(h.Uptime), labels...)
	f.add("nomad.client.host.memory.total", float64(h.Memory.Total), labels...)
	f.add("nomad.client.host.memory.available", float64(h.Memory.Available), labels...)
	f.add("nomad.client.host.memory.used", float64(h.Memory.Used), labels...)
	f.add("nomad.client.host.memory.free", float64(h.Memory.Free), labels...)
	for _, core := range h.CPU {
		with := append([]string{"cpu", core.CPU}, labels...)
		f.add("nomad.client.host.cpu.total_percent", core.TotalPercent, with...)
		f.add("nomad.client.host.cpu.user", core.User, with...)
		f.add("nomad.client.host.cpu.system", core.System, with...)
		f.add("nomad.client.host.cpu.idle", core.Idle, with...)
	}
	f.add("nomad.client.host.cpu.total_ticks", h.CPUTicksConsumed, labels...)
	for _, disk := range h.DiskStats {
		with := append([]string{"disk", disk.Device}, labels...)
		f.add("nomad.client.host.disk.size", float64(disk.Size), with...)
		f.add("nomad.client.host.disk.used", float64(disk.Used), with...)
		f.add("nomad.client.host.disk.available", float64(disk.Available), with...)
		f.add("nomad.client.host.disk.used_percent", disk.UsedPercent, with...)
		f.add("nomad.client.host.disk.inodes_percent", disk.InodesUsedPercent, with...)
	}
}

// tasks adds what the tasks of an allocation use.
func (f *figures) tasks(ctx context.Context, a *Agent, alloc *nomadish.Allocation) {
	usage, err := a.client.AllocStats(ctx, alloc.ID, "")
	if err != nil {
		return // it has ended meanwhile
	}
	for _, name := range slices.Sorted(maps.Keys(usage.Tasks)) {
		labels := []string{
			"alloc_id", alloc.ID, "exported_job", alloc.JobID, "job", alloc.JobID, "task_group", alloc.TaskGroup, "task", name, "namespace", alloc.Namespace,
		}
		u := usage.Tasks[name].ResourceUsage
		if u == nil || u.MemoryStats == nil || u.CpuStats == nil {
			continue
		}
		if granted := alloc.AllocatedResources; granted != nil && granted.Tasks[name] != nil {
			f.add("nomad.client.allocs.memory.allocated", float64(granted.Tasks[name].Memory.MemoryMB<<20), labels...)
			f.add("nomad.client.allocs.cpu.allocated", float64(granted.Tasks[name].Cpu.CpuShares), labels...)
		}
		m, c := u.MemoryStats, u.CpuStats
		f.add("nomad.client.allocs.memory.usage", float64(m.Usage), labels...)
		f.add("nomad.client.allocs.memory.max_usage", float64(m.MaxUsage), labels...)
		f.add("nomad.client.allocs.memory.rss", float64(m.RSS), labels...)
		f.add("nomad.client.allocs.memory.cache", float64(m.Cache), labels...)
		f.add("nomad.client.allocs.memory.swap", float64(m.Swap), labels...)
		f.add("nomad.client.allocs.memory.kernel_usage", float64(m.KernelUsage), labels...)
		f.add("nomad.client.allocs.cpu.total_percent", c.Percent, labels...)
		f.add("nomad.client.allocs.cpu.total_ticks", c.TotalTicks, labels...)
		f.add("nomad.client.allocs.cpu.system", c.SystemMode, labels...)
		f.add("nomad.client.allocs.cpu.user", c.UserMode, labels...)
		f.add("nomad.client.allocs.cpu.throttled_periods", float64(c.ThrottledPeriods), labels...)
		f.add("nomad.client.allocs.cpu.throttled_time", float64(c.ThrottledTime), labels...)
	}
}
