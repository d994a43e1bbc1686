package capacity

import (
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// Demand is what a task group asks of a node, or what an allocation was granted on it: then
// its cores are named and its ports have numbers. It is immutable.
type Demand struct {
	Amount           // without the share of cores that are asked for but not named yet
	Cores   int      // cores to choose
	CoreIDs []uint16 // cores granted
	Ports   []PortDemand

	tasks []taskDemand // of an asked demand: to write the grant down
	group *nomadish.TaskGroup
}

type taskDemand struct {
	name             string
	cpu, memory, max int64
	cores            int
	lifecycle        *nomadish.TaskLifecycle
	network          *nomadish.NetworkResource // of the task's own resources, or nil
}

// Asked returns what one allocation of an admitted group asks for. The limit above the
// reserved memory is granted only when the cluster allows oversubscription.
func Asked(tg *nomadish.TaskGroup, oversubscription bool) *Demand {
	d := &Demand{group: tg}
	if tg.EphemeralDisk != nil {
		d.Disk = int64(nomadish.Val(tg.EphemeralDisk.SizeMB))
	}
	for _, nw := range tg.Networks {
		d.addPorts("", nw)
	}
	for _, t := range tg.Tasks {
		td := taskDemand{name: t.Name, lifecycle: t.Lifecycle}
		if r := t.Resources; r != nil {
			td.cpu, td.memory, td.cores = int64(nomadish.Val(r.CPU)), int64(nomadish.Val(r.MemoryMB)), nomadish.Val(r.Cores)
			if oversubscription {
				td.max = int64(nomadish.Val(r.MemoryMaxMB))
			}
			if len(r.Networks) > 0 {
				td.network = r.Networks[0]
				d.addPorts(t.Name, td.network)
			}
		}
		if td.cores > 0 {
			td.cpu = 0 // a task with cores of its own has their whole speed
		}
		d.Cores += td.cores
		d.tasks = append(d.tasks, td)
	}
	var u usage
	for i := range d.tasks {
		u.add(d.tasks[i].lifecycle, Amount{CPU: d.tasks[i].cpu, Memory: d.tasks[i].memory})
	}
	d.CPU, d.Memory = u.total()
	return d
}

func (d *Demand) addPorts(task string, nw *nomadish.NetworkResource) {
	if nw == nil {
		return
	}
	for _, ports := range [][]nomadish.Port{nw.ReservedPorts, nw.DynamicPorts} {
		for _, p := range ports {
			d.Ports = append(d.Ports, PortDemand{
				Label: p.Label, Task: task, Value: p.Value, To: p.To, Network: p.HostNetwork,
				Shared: p.IgnoreCollision && p.Value != 0,
			})
		}
	}
}

// Granted returns what an allocation holds by the resources written down in it.
func Granted(r *nomadish.AllocatedResources) *Demand {
	d := &Demand{}
	if r == nil {
		return d
	}
	d.Disk = r.Shared.DiskMB
	var u usage
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		t := r.Tasks[name]
		if t == nil {
			continue
		}
		cpu := t.Cpu.CpuShares
		if len(t.Cpu.ReservedCores) > 0 {
			d.CPU += cpu
			cpu = 0
			d.CoreIDs = append(d.CoreIDs, t.Cpu.ReservedCores...)
		}
		u.add(r.TaskLifecycles[name], Amount{CPU: cpu, Memory: t.Memory.MemoryMB})
		for _, nw := range t.Networks {
			if nw == nil {
				continue
			}
			for _, p := range slices.Concat(nw.ReservedPorts, nw.DynamicPorts) {
				d.Ports = append(d.Ports, PortDemand{Label: p.Label, Task: name, Value: p.Value, To: p.To, HostIP: nw.IP, Shared: p.IgnoreCollision})
			}
		}
	}
	cpu, memory := u.total()
	d.CPU, d.Memory = d.CPU+cpu, memory
	for _, p := range r.Shared.Ports {
		d.Ports = append(d.Ports, PortDemand{Label: p.Label, Value: p.Value, To: p.To, HostIP: p.HostIP, Shared: p.IgnoreCollision})
	}
	d.Ports = slices.DeleteFunc(d.Ports, func(p PortDemand) bool { return p.Value <= 0 || p.Value > maxPort })
	return d
}

// usage adds up tasks that don't all run at the same time: sidecars run with everything,
// while prestart tasks end before the main ones start, and poststop tasks start after.
type usage struct{ always, before, main, after Amount }

func (u *usage) add(l *nomadish.TaskLifecycle, a Amount) {
	into := &u.main
	switch {
	case l == nil:
	case l.Sidecar:
		into = &u.always
	case l.Hook == "prestart":
		into = &u.before
	case l.Hook == "poststop":
		into = &u.after
	}
	into.CPU += a.CPU
	into.Memory += a.Memory
}

func (u *usage) total() (cpu, memory int64) {
	return u.always.CPU + max(u.before.CPU, u.main.CPU, u.after.CPU),
		u.always.Memory + max(u.before.Memory, u.main.Memory, u.after.Memory)
}

// Plain says that the demand is amounts only, so that every grant of it is the same.
func (d *Demand) Plain() bool { return d.Cores == 0 && len(d.CoreIDs) == 0 && len(d.Ports) == 0 }

// SameEverywhere says that every grant of an asked demand is written the same on every node.
func (d *Demand) SameEverywhere() bool {
	return d.Plain() && len(d.group.Networks) == 0 && !d.tasksNetwork()
}

func (d *Demand) tasksNetwork() bool {
	return slices.ContainsFunc(d.tasks, func(t taskDemand) bool { return t.network != nil })
}
