package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// field is the part of the cluster that a job may use at all: the ready nodes of its pool
// and datacenters.
type field struct {
	slots     []int          // sorted by node id
	inPool    int            // ready nodes of the pool
	available map[string]int // ready nodes of the pool by datacenter
}

// newField collects the nodes of a job. Nodes that the caller excludes are left out.
func newField(view *capacity.View, job *nomadish.Job, excluded map[string]bool) *field {
	f := &field{available: map[string]int{}}
	pool := cmp.Or(nomadish.Val(job.NodePool), nomadish.NodePoolDefault)
	wanted := map[string]bool{}
	for slot := range view.Len() {
		if !view.Ready(slot) {
			continue
		}
		n := view.Site(slot).Node
		if pool != nomadish.NodePoolAll && pool != cmp.Or(n.NodePool, nomadish.NodePoolDefault) {
			continue
		}
		f.inPool++
		in, known := wanted[n.Datacenter]
		if !known {
			in = matchesAny(job.Datacenters, n.Datacenter)
			wanted[n.Datacenter] = in
		}
		if !in {
			continue
		}
		f.available[n.Datacenter]++
		if !excluded[n.ID] {
			f.slots = append(f.slots, slot)
		}
	}
	return f
}

// matchesAny says that a name matches one of the patterns, in which * stands for any text.
// No pattern at all means every name.
func matchesAny(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return glob(p, name) })
}

func glob(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		_, rest, ok := strings.Cut(name, part)
		if !ok {
			return false
		}
		name = rest
	}
	return true
}

// feasibility decides which nodes could ever run a group. Constraints that don't look at
// unique attributes are evaluated once per computed class.
type feasibility struct {
	checks   []check // of the class
	escaped  []check // of the node
	drivers  []string
	volumes  []*nomadish.VolumeRequest
	modes    []string          // network modes that the node must offer
	networks []string          // host networks that ports name
	devices  bool              // the group asks for devices
	classes  map[string]string // computed class to the constraint it fails, or ""
}

func newFeasibility(job *nomadish.Job, tg *nomadish.TaskGroup) *feasibility {
	f := &feasibility{classes: map[string]string{}}
	f.addConstraints(job.Constraints)
	f.addConstraints(tg.Constraints)
	for _, t := range tg.Tasks {
		f.addConstraints(t.Constraints)
		if !slices.Contains(f.drivers, t.Driver) {
			f.drivers = append(f.drivers, t.Driver)
		}
		if t.Resources != nil {
			f.devices = f.devices || len(t.Resources.Devices) > 0
			f.addNetworks(t.Resources.Networks)
		}
	}
	for _, v := range tg.Volumes {
		if v != nil {
			f.volumes = append(f.volumes, v)
		}
	}
	slices.SortFunc(f.volumes, func(a, b *nomadish.VolumeRequest) int { return strings.Compare(a.Name, b.Name) })
	f.addNetworks(tg.Networks)
	return f
}

func (f *feasibility) addConstraints(cs []*nomadish.Constraint) {
	for _, c := range cs {
		if c == nil || c.Operand == distinctHosts || c.Operand == distinctProperty {
			continue
		}
		if k := compile(c); k.escaped {
			f.escaped = append(f.escaped, k)
		} else {
			f.checks = append(f.checks, k)
		}
	}
}

func (f *feasibility) addNetworks(networks []*nomadish.NetworkResource) {
	for _, nw := range networks {
		if nw == nil {
			continue
		}
		switch nw.Mode {
		case "", "host", "none":
		default:
			f.modes = append(f.modes, nw.Mode)
		}
		for _, p := range slices.Concat(nw.ReservedPorts, nw.DynamicPorts) {
			if p.HostNetwork != "" && p.HostNetwork != capacity.DefaultHostNetwork {
				f.networks = append(f.networks, p.HostNetwork)
			}
		}
	}
}

// reject returns why a node can't run the group, or "".
func (f *feasibility) reject(site *capacity.Site) string {
	n := site.Node
	// Before the constraints, which for a bridge name plugins that nobody needs to install.
	for _, mode := range f.modes {
		if !offersMode(n, mode) {
			return fmt.Sprintf("missing network %q", mode)
		}
	}
	if reason := f.class(n); reason != "" {
		return reason
	}
	for _, d := range f.drivers {
		if info := n.Drivers[d]; info == nil || !info.Detected || !info.Healthy {
			return "missing drivers"
		}
	}
	if f.devices {
		return "missing devices"
	}
	for _, v := range f.volumes {
		have := n.HostVolumes[v.Source]
		if v.Type != "host" || have == nil || have.ReadOnly && !v.ReadOnly {
			return "missing compatible host volumes"
		}
	}
	for _, alias := range f.networks {
		if !site.HasNetwork(alias) {
			return fmt.Sprintf("missing host network %q", alias)
		}
	}
	for i := range f.escaped {
		if !f.escaped[i].holds(n) {
			return f.escaped[i].text
		}
	}
	return ""
}

// class returns the class constraint that the node fails, or "".
func (f *feasibility) class(n *nomadish.Node) string {
	if len(f.checks) == 0 {
		return ""
	}
	if n.ComputedClass != "" {
		if reason, known := f.classes[n.ComputedClass]; known {
			return reason
		}
	}
	reason := ""
	for i := range f.checks {
		if !f.checks[i].holds(n) {
			reason = f.checks[i].text
			break
		}
	}
	if n.ComputedClass != "" {
		f.classes[n.ComputedClass] = reason
	}
	return reason
}

func offersMode(n *nomadish.Node, mode string) bool {
	if n.NodeResources == nil {
		return false
	}
	return slices.ContainsFunc(n.NodeResources.Networks, func(nw *nomadish.NetworkResource) bool {
		return nw != nil && nw.Mode == mode
	}) || slices.ContainsFunc(n.NodeResources.NodeNetworks, func(nn *nomadish.NodeNetwork) bool {
		return nn != nil && nn.Mode == mode
	})
}

// eligibility says for every computed class whether a node of it could run one of the groups,
// so that a blocked evaluation is only tried again when such a node gets room.
func eligibility(view *capacity.View, f *field, groups []*feasibility) (classes map[string]bool, escaped bool) {
	classes = map[string]bool{}
	for _, g := range groups {
		escaped = escaped || len(g.escaped) > 0
	}
	for _, slot := range f.slots {
		n := view.Site(slot).Node
		if n.ComputedClass == "" {
			escaped = true
			continue
		}
		if classes[n.ComputedClass] {
			continue
		}
		classes[n.ComputedClass] = slices.ContainsFunc(groups, func(g *feasibility) bool { return g.class(n) == "" })
	}
	return classes, escaped
}
