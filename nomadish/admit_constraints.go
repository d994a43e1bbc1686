package nomadish

import (
	"maps"
	"slices"
	"strings"
)

// Operators of constraints beyond comparison (Constraint.Operand).
const (
	OperandRegexp           = "regexp"
	OperandVersion          = "version" // as Ruby's gems compare versions
	OperandSemver           = "semver"
	OperandSetContains      = "set_contains"
	OperandSetContainsAll   = "set_contains_all"
	OperandSetContainsAny   = "set_contains_any"
	OperandDistinctHosts    = "distinct_hosts"
	OperandDistinctProperty = "distinct_property"
	OperandIsSet            = "is_set"
	OperandIsNotSet         = "is_not_set"
)

// networkModeBridge is the mode of a group network of its own.
const (
	networkModeBridge = "bridge"
	networkModeHost   = "host"
)

// bridgePlugins are the CNI plugins that a bridge network stands on.
var bridgePlugins = []string{"bridge", "firewall", "host-local", "loopback", "portmap"}

// imply adds the constraints that follow from what the group uses.
func (g *TaskGroup) imply(j *Job) {
	for _, cluster := range g.vaultClusters() {
		g.constrain(Constraint{LTarget: clusterAttribute("vault", cluster), Operand: OperandSemver, RTarget: ">= 0.6.1"})
	}
	if signals := g.RequiredSignals(); len(signals) > 0 {
		c := Constraint{LTarget: "${attr.os.signals}", Operand: OperandSetContains, RTarget: strings.Join(signals, ",")}
		if !slices.ContainsFunc(g.Constraints, func(have *Constraint) bool { return *have == c }) {
			g.Constraints = append(g.Constraints, &c)
		}
	}
	g.implyServices()
	g.implyHardware()
	if g.bridged() {
		for _, name := range bridgePlugins {
			g.constrain(Constraint{LTarget: "${attr.plugins.cni.version." + name + "}", Operand: OperandSemver, RTarget: ">= 0.4.0"})
		}
		if g.transparentProxy() {
			g.constrain(Constraint{LTarget: "${attr.plugins.cni.version.consul-cni}", Operand: OperandSemver, RTarget: ">= 1.4.2"})
		}
	}
}

// implyServices adds what services need: on the group for its own services and for those
// that our servers register, on the task for a task's services in Consul.
func (g *TaskGroup) implyServices() {
	builtin, checked := false, false
	see := func(s *Service) {
		if s.Provider == ProviderNomad {
			builtin = true
			checked = checked || len(s.Checks) > 0
		}
	}
	for _, s := range g.Services {
		see(s)
	}
	for _, t := range g.Tasks {
		for _, s := range t.Services {
			see(s)
		}
	}
	if builtin {
		g.constrain(Constraint{LTarget: "${attr.nomad.service_discovery}", Operand: "=", RTarget: "true"})
	}
	if checked {
		g.constrain(Constraint{LTarget: "${attr.nomad.version}", Operand: OperandSemver, RTarget: ">= 1.4.0"})
	}
	for _, s := range g.Services {
		if s.Provider == ProviderConsul {
			g.constrain(consulConstraint(s.Cluster))
		}
	}
	for _, t := range g.Tasks {
		for _, s := range t.Services {
			if s.Provider == ProviderConsul {
				t.Constraints = constrain(t.Constraints, consulConstraint(s.Cluster))
			}
		}
	}
}

// implyHardware adds what the resources of the group's tasks need.
func (g *TaskGroup) implyHardware() {
	for _, t := range g.Tasks {
		if n := t.Resources.NUMA; n != nil && n.Affinity != NUMAAffinityNone {
			g.constrain(Constraint{LTarget: "${attr.kernel.name}", Operand: "=", RTarget: "linux"})
			g.constrain(Constraint{LTarget: "${attr.nomad.version}", Operand: OperandSemver, RTarget: ">= 1.7.1"})
		}
		for _, s := range t.Secrets {
			if s.Provider != ProviderNomad && s.Provider != "vault" && s.Provider != "" {
				g.constrain(Constraint{LTarget: "${attr.plugins.secrets." + s.Provider + ".version}", Operand: OperandIsSet})
			}
		}
	}
}

func consulConstraint(cluster string) Constraint {
	return Constraint{LTarget: clusterAttribute("consul", cluster), Operand: OperandSemver, RTarget: ">= 1.8.0"}
}

// clusterAttribute is the node attribute that tells the version of a Consul or Vault cluster.
func clusterAttribute(kind, cluster string) string {
	if cluster != DefaultCluster && cluster != "" {
		kind += "." + cluster
	}
	return "${attr." + kind + ".version}"
}

func (g *TaskGroup) constrain(c Constraint) { g.Constraints = constrain(g.Constraints, c) }

// constrain appends c unless the list constrains the same attribute already.
func constrain(list []*Constraint, c Constraint) []*Constraint {
	for _, have := range list {
		if have.LTarget == c.LTarget {
			return list
		}
	}
	return append(list, &c)
}

func (g *TaskGroup) vaultClusters() []string {
	clusters := map[string]bool{}
	for _, t := range g.Tasks {
		if t.Vault != nil {
			clusters[t.Vault.Cluster] = true
		}
	}
	return slices.Sorted(maps.Keys(clusters))
}

// RequiredSignals returns the signals that the group's tasks may be sent, sorted.
func (g *TaskGroup) RequiredSignals() []string {
	signals := map[string]bool{}
	for _, t := range g.Tasks {
		signals[t.KillSignal] = true
		if t.Vault != nil && Val(t.Vault.ChangeMode) == ChangeModeSignal {
			signals[Val(t.Vault.ChangeSignal)] = true
		}
		for _, tmpl := range t.Templates {
			if Val(tmpl.ChangeMode) == ChangeModeSignal {
				signals[Val(tmpl.ChangeSignal)] = true
			}
		}
		for _, id := range append(t.Identities[:len(t.Identities):len(t.Identities)], t.Identity) {
			if id != nil && id.ChangeMode == ChangeModeSignal {
				signals[id.ChangeSignal] = true
			}
		}
	}
	delete(signals, "")
	return slices.Sorted(maps.Keys(signals))
}

// bridged says that the group has a network namespace of its own with mapped ports.
func (g *TaskGroup) bridged() bool {
	return len(g.Networks) > 0 && g.Networks[0].Mode == networkModeBridge
}

func (g *TaskGroup) transparentProxy() bool {
	return slices.ContainsFunc(g.Services, func(s *Service) bool {
		return s.Connect != nil && s.Connect.SidecarService != nil &&
			s.Connect.SidecarService.Proxy != nil && s.Connect.SidecarService.Proxy.TransparentProxy != nil
	})
}
