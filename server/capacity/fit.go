package capacity

import (
	"fmt"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// Fit says whether a demand, asked or granted, fits on the node in a slot. It returns the
// name of the first resource that is short, or "" when the demand fits. The names are those
// that Nomad's users know.
func (v *View) Fit(slot int, d *Demand) (short string) {
	b, i := v.blocks[slot/blockSize], slot%blockSize
	site := v.sites[slot]
	cpu := d.CPU
	if d.Cores > 0 || len(d.CoreIDs) > 0 {
		cpu += int64(d.Cores) * site.MHz
		if !v.coresFit(site, b.taken[i], d) {
			return "cores"
		}
	}
	switch {
	case cpu > b.cpu[i]:
		return "cpu"
	case d.Memory > b.memory[i]:
		return "memory"
	case d.Disk > b.disk[i]:
		return "disk"
	case site.MaxAlloc > 0 && int(b.allocs[i]) >= site.MaxAlloc:
		return "max allocations exceeded"
	case len(d.Ports) > 0:
		return portsFit(site, b.taken[i], d)
	}
	return ""
}

func (v *View) coresFit(site *Site, t *taken, d *Demand) bool {
	free := site.cores
	if t != nil {
		free = free.without(t.cores)
	}
	for _, id := range d.CoreIDs {
		if !free.has(id) {
			return false
		}
	}
	return free.count() >= d.Cores+len(d.CoreIDs)
}

func portsFit(site *Site, t *taken, d *Demand) (short string) {
	for i := range d.Ports {
		p := &d.Ports[i]
		space, ok := site.space(p)
		if !ok {
			return fmt.Sprintf("network: no addresses available for %q network", networkName(p.Network))
		}
		if p.Value == 0 {
			if !enoughDynamic(site, t, space, dynamicIn(site, d, space)) {
				return "network: dynamic port selection failed"
			}
			continue
		}
		if p.Value > maxPort || p.Value < 0 {
			return fmt.Sprintf("network: invalid port %d (out of range)", p.Value)
		}
		if p.Shared {
			continue
		}
		if usedPort(site, t, space, p.Value) || slices.ContainsFunc(d.Ports[:i], func(o PortDemand) bool {
			other, _ := site.space(&o)
			return !o.Shared && o.Value == p.Value && other == space
		}) {
			return fmt.Sprintf("network: reserved port collision %s=%d", p.Label, p.Value)
		}
	}
	return ""
}

func networkName(alias string) string {
	if alias == "" {
		return DefaultHostNetwork
	}
	return alias
}

// dynamicIn counts the ports of the dynamic range that a demand needs in a port space:
// those to choose, and those that it names itself.
func dynamicIn(site *Site, d *Demand, space int) int {
	n := 0
	for i := range d.Ports {
		p := &d.Ports[i]
		if s, ok := site.space(p); ok && s == space && (p.Value == 0 || site.dynamic(p.Value)) {
			n++
		}
	}
	return n
}

// Grant chooses the cores and ports of a demand that fits on the node in a slot. The same
// draft, slot, demand and seed give the same choice. It returns what to Take, and the same as
// it is written into the allocation; the grant of a plain demand may be shared by many.
func (d *Draft) Grant(slot int, asked *Demand, seed uint64) (*Demand, *nomadish.AllocatedResources, error) {
	site, t := d.sites[slot], d.blocks[slot/blockSize].taken[slot%blockSize]
	granted := &Demand{Amount: asked.Amount, Ports: slices.Clone(asked.Ports)}
	if asked.Cores > 0 {
		granted.CPU += int64(asked.Cores) * site.MHz
		free := site.cores
		if t != nil {
			free = free.without(t.cores)
		}
		granted.CoreIDs = free.first(asked.Cores)
		if len(granted.CoreIDs) < asked.Cores {
			return nil, nil, fmt.Errorf("node %s: cores", site.Node.ID)
		}
	}
	for i := range granted.Ports {
		if err := d.grantPort(site, t, granted.Ports, i, seed); err != nil {
			return nil, nil, fmt.Errorf("node %s: %w", site.Node.ID, err)
		}
	}
	return granted, asked.resources(site, granted), nil
}

// grantPort fills in address and number of one of the ports.
func (d *Draft) grantPort(site *Site, t *taken, ports []PortDemand, i int, seed uint64) error {
	p := &ports[i]
	nw := site.network(p.Network)
	if nw == nil {
		return fmt.Errorf("network: no addresses available for %q network", networkName(p.Network))
	}
	p.HostIP = nw.address()
	if p.Value != 0 {
		return nil
	}
	inUse := func(port int) bool {
		for k := range ports {
			if s, ok := site.space(&ports[k]); ports[k].Value == port && ok && s == nw.space {
				return true
			}
		}
		return false
	}
	// Each port of the allocation starts from a place of its own: 7919 is a prime that does
	// not divide any usual size of the range.
	port, ok := chooseDynamic(site, t, nw.space, seed+uint64(i)*7919, d.now, inUse)
	if !ok {
		return fmt.Errorf("network: dynamic port selection failed")
	}
	p.Value = port
	return nil
}

// resources writes a grant down in the form that allocations carry.
func (d *Demand) resources(site *Site, granted *Demand) *nomadish.AllocatedResources {
	r := &nomadish.AllocatedResources{
		Tasks:          make(map[string]*nomadish.AllocatedTaskResources, len(d.tasks)),
		TaskLifecycles: make(map[string]*nomadish.TaskLifecycle, len(d.tasks)),
		Shared:         nomadish.AllocatedSharedResources{DiskMB: granted.Disk},
	}
	cores := granted.CoreIDs
	for i := range d.tasks {
		t := &d.tasks[i]
		tr := &nomadish.AllocatedTaskResources{
			Cpu:    nomadish.AllocatedCpuResources{CpuShares: t.cpu},
			Memory: nomadish.AllocatedMemoryResources{MemoryMB: t.memory, MemoryMaxMB: t.max},
		}
		if t.cores > 0 {
			tr.Cpu.CpuShares = int64(t.cores) * site.MHz
			tr.Cpu.ReservedCores, cores = cores[:t.cores:t.cores], cores[t.cores:]
		}
		if t.network != nil {
			tr.Networks = []*nomadish.NetworkResource{writeNetwork(site, t.network, granted.Ports, t.name)}
		}
		r.Tasks[t.name] = tr
		r.TaskLifecycles[t.name] = t.lifecycle
	}
	for _, nw := range d.group.Networks {
		if nw != nil {
			r.Shared.Networks = append(r.Shared.Networks, writeNetwork(site, nw, granted.Ports, ""))
		}
	}
	for i := range granted.Ports {
		if p := &granted.Ports[i]; p.Task == "" {
			r.Shared.Ports = append(r.Shared.Ports, p.mapping())
		}
	}
	return r
}

// writeNetwork copies a network block with the granted numbers of its ports.
func writeNetwork(site *Site, asked *nomadish.NetworkResource, ports []PortDemand, task string) *nomadish.NetworkResource {
	nw := *asked
	fill := func(asked []nomadish.Port) []nomadish.Port {
		out := slices.Clone(asked)
		for i := range out {
			for _, p := range ports {
				if p.Label == out[i].Label && p.Task == task {
					m := p.mapping()
					out[i].Value, out[i].To, nw.IP = m.Value, m.To, m.HostIP
				}
			}
		}
		return out
	}
	nw.ReservedPorts, nw.DynamicPorts = fill(asked.ReservedPorts), fill(asked.DynamicPorts)
	if nw.IP == "" {
		if def := site.network(""); def != nil {
			nw.IP = def.address()
		}
	}
	nw.Device = site.device(nw.IP)
	return &nw
}
