package nomadish

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var (
	serviceName  = regexp.MustCompile(`^(?i:[a-z0-9]|[a-z0-9][a-z0-9-]{0,61}[a-z0-9])$`)
	interpolated = regexp.MustCompile(`\$\{[^}]*\}`)
)

// Shortest times between checks and for one.
const (
	minCheckInterval = time.Second
	minCheckTimeout  = time.Second
)

func (g *TaskGroup) validateServices(f *faults) {
	providers := map[string]bool{}
	for _, s := range g.Services {
		providers[s.Provider] = true
	}
	for _, t := range g.Tasks {
		for _, s := range t.Services {
			providers[s.Provider] = true
		}
	}
	for i, s := range g.Services {
		inner := f.at("[%d]", i)
		s.validate(inner)
		f.under(inner, "Service[%d] %s validation failed: ", i, s.Name)
		g.validateServiceTasks(f, i, s)
		g.validateMesh(f, i, s)
	}
	f.check(len(providers) > 1, "", "Multiple service providers used: task group services must use the same provider")
}

// validateServiceTasks checks the tasks that a group's service and its checks name.
func (g *TaskGroup) validateServiceTasks(f *faults, i int, s *Service) {
	f.check(s.TaskName != "" && g.Task(s.TaskName) == nil, fmt.Sprintf("[%d].TaskName", i),
		"Service[%d] %s refers to non-existent task %s", i, s.Name, s.TaskName)
	for k := range s.Checks {
		c := &s.Checks[k]
		field := fmt.Sprintf("[%d].Checks[%d]", i, k)
		f.check(c.TaskName != "" && g.Task(c.TaskName) == nil, field+".TaskName", "Check %s invalid: refers to non-existent task %s", c.Name, c.TaskName)
		f.check(c.TaskName != "" && c.Type != "script" && c.Type != "grpc", field+".TaskName",
			"Check %s invalid: only script and gRPC checks should have tasks", c.Name)
		f.check(c.Type == "script" && c.TaskName == "" && s.TaskName == "", field+".TaskName", "Check %s invalid: a script check of a group's service needs a task", c.Name)
	}
}

func (t *Task) validateServices(g *TaskGroup, f *faults) {
	type key struct{ name, port string }
	seen := map[key]bool{}
	missing := map[string][]string{}
	for i, s := range t.Services {
		inner := f.at("[%d]", i)
		s.validate(inner)
		f.under(inner, "service[%d] %+q validation failed: ", i, s.Name)
		k := key{s.Name, s.PortLabel}
		f.check(seen[k], fmt.Sprintf("[%d]", i), "service %q is duplicate", s.Name+s.PortLabel)
		seen[k] = true
		f.check(s.Connect != nil, fmt.Sprintf("[%d].Connect", i), "service %q: Consul Connect is for services of groups", s.Name)
		if p := s.PortLabel; p != "" && !isNumber(p) && !strings.Contains(p, "${") && s.AddressMode != "driver" && !g.hasPort(p) {
			missing[p] = append(missing[p], s.Name)
		}
	}
	for _, p := range sortedKeys(missing) {
		f.add("", "port label %q referenced by services %s does not exist", p, strings.Join(missing[p], ", "))
	}
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// hasPort says that some network of the group or its tasks has a port of that label.
func (g *TaskGroup) hasPort(label string) bool {
	has := func(n *NetworkResource) bool {
		return slices.ContainsFunc(slices.Concat(n.DynamicPorts, n.ReservedPorts), func(p Port) bool { return p.Label == label })
	}
	return slices.ContainsFunc(g.Networks, has) || slices.ContainsFunc(g.Tasks, func(t *Task) bool {
		return t.Resources != nil && slices.ContainsFunc(t.Resources.Networks, has)
	})
}

func (s *Service) validate(f *faults) {
	// What is filled in on the node may be anything; the rest must fit around it.
	name := interpolated.ReplaceAllString(s.Name, "ENV-VAR")
	f.check(!serviceName.MatchString(name), "Name",
		"Service name must be valid per RFC 1123 and can contain only alphanumeric characters or dashes and must be no longer than 63 characters")
	switch s.AddressMode {
	case "", "auto", "host", "driver", "alloc", "alloc_ipv6":
	default:
		f.add("AddressMode", "Service address_mode must be %q, %q, %q, or %q; not %q", "auto", "host", "driver", "alloc", s.AddressMode)
	}
	f.check(s.Address != "" && s.AddressMode != "" && s.AddressMode != "auto", "Address",
		"Service address_mode must be %q if address is set; not %q", "auto", s.AddressMode)
	switch s.OnUpdate {
	case "", OnUpdateIgnore, OnUpdateRequireHealthy, OnUpdateIgnoreWarnings:
	default:
		f.add("OnUpdate", "Service on_update must be %q, %q, or %q; not %q", OnUpdateRequireHealthy, OnUpdateIgnoreWarnings, OnUpdateIgnore, s.OnUpdate)
	}
	switch s.Provider {
	case "", ProviderConsul:
		s.validateChecks(f, s.Connect.gateway())
	case ProviderNomad:
		f.check(s.Connect != nil, "Connect", "Service with provider nomad cannot include Connect blocks")
		s.validateChecks(f, false)
	default:
		f.add("Provider", "Service provider must be %q, or %q; not %q", ProviderConsul, ProviderNomad, s.Provider)
	}
	f.check(s.Connect != nil && s.Connect.ways() != 1, "Connect",
		"Consul Connect must be exclusively native, make use of a sidecar, or represent a Gateway")
	if w := s.Weights; w != nil {
		f.check(w.Passing < 1, "Weights.Passing", "Service weights passing must be greater than 0: %d", w.Passing)
		f.check(w.Warning < 0, "Weights.Warning", "Service weights warning must be greater or equal to 0: %d", w.Warning)
	}
	if s.Identity != nil && s.Identity.Name != "" {
		inner := f.at("Identity")
		s.Identity.validate(inner)
		f.under(inner, "Identity %q is invalid: ", s.Identity.Name)
	}
}

// ways counts the ways in which a service is to join the mesh; one is right.
func (c *ConsulConnect) ways() int {
	n := 0
	for _, way := range []bool{c.Native, c.SidecarService != nil, c.Gateway != nil} {
		if way {
			n++
		}
	}
	return n
}

func (c *ConsulConnect) gateway() bool { return c != nil && c.Gateway != nil }

func (s *Service) validateChecks(f *faults, gateway bool) {
	for i := range s.Checks {
		c := &s.Checks[i]
		inner := f.at("Checks[%d]", i)
		port := s.PortLabel != "" || c.PortLabel != "" || s.Address != "" || c.Type == "script" || gateway
		inner.check(!port, "PortLabel", "check requires a port but neither check nor service %+q have a port", s.Name)
		// The service listens on the loopback interface of its own network only.
		sidecar := s.Connect != nil && s.Connect.SidecarService != nil
		inner.check(c.Type == "tcp" && sidecar, "Type", "tcp checks are not valid for Connect enabled services")
		if len(inner.list) == 0 {
			c.validate(inner, s.Provider)
		}
		for _, fault := range inner.list {
			if s.Provider != ProviderNomad {
				fault.Message = fmt.Sprintf("Check %s invalid: %s", c.Name, fault.Message)
			}
			f.list = append(f.list, fault)
		}
	}
}

// validate reports the first thing wrong with the check itself: the rest often follows
// from it.
func (c *ServiceCheck) validate(f *faults, provider string) {
	before := len(f.list)
	c.validateType(f, provider)
	for _, next := range []func(*faults){c.validateTimes, c.validateRest} {
		if len(f.list) > before {
			return
		}
		next(f)
	}
}

func (c *ServiceCheck) validateType(f *faults, provider string) {
	switch kind := strings.ToLower(c.Type); {
	case kind == "tcp":
	case kind == "http":
		if c.Path == "" {
			f.add("Path", "http type must have http path")
		} else {
			f.check(!strings.HasPrefix(c.Path, "/") && strings.Contains(c.Path, "://"), "Path", "http type must have relative http path")
		}
	case provider == ProviderNomad:
		f.add("Type", "invalid check type (%+q), must be one of tcp, http", c.Type)
	case kind == "grpc":
	case kind == "script":
		f.check(c.Command == "", "Command", "script type must have a valid script path")
	default:
		f.add("Type", "invalid check type (%+q), must be one of tcp, http, grpc or script", c.Type)
	}
}

func (c *ServiceCheck) validateTimes(f *faults) {
	if c.Interval == 0 {
		f.add("Interval", "missing required value interval. Interval cannot be less than %v", minCheckInterval)
	} else if c.Interval < minCheckInterval {
		f.add("Interval", "interval (%v) cannot be lower than %v", c.Interval, minCheckInterval)
	} else if c.Timeout == 0 {
		f.add("Timeout", "missing required value timeout. Timeout cannot be less than %v", minCheckTimeout)
	} else if c.Timeout < minCheckTimeout {
		f.add("Timeout", "timeout (%v) is lower than required minimum timeout %v", c.Timeout, minCheckTimeout)
	}
}

func (c *ServiceCheck) validateRest(f *faults) {
	switch c.InitialStatus {
	case "", "passing", "warning", "critical", "pending":
	default:
		f.add("InitialStatus", "invalid initial check state (%s), must be one of %q, %q, %q, %q or empty", c.InitialStatus, "pending", "passing", "warning", "critical")
	}
	switch c.AddressMode {
	case "", "host", "driver", "alloc", "alloc_ipv6", "auto":
	default:
		f.add("AddressMode", "invalid address_mode %q", c.AddressMode)
	}
	switch c.OnUpdate {
	case "", OnUpdateIgnore, OnUpdateRequireHealthy, OnUpdateIgnoreWarnings:
	default:
		f.add("OnUpdate", "on_update must be %q, %q, or %q; got %q", OnUpdateRequireHealthy, OnUpdateIgnoreWarnings, OnUpdateIgnore, c.OnUpdate)
	}
	counts := c.SuccessBeforePassing > 0 || c.FailuresBeforeCritical > 0 || c.FailuresBeforeWarning > 0
	f.check(counts && !slices.Contains([]string{"tcp", "http", "grpc"}, c.Type), "SuccessBeforePassing",
		"success_before_passing and failures_before_critical not supported for check of type %q", c.Type)
	if r := c.CheckRestart; r != nil {
		f.check(r.Limit < 0, "CheckRestart.Limit", "limit must be greater than or equal to 0 but found %d", r.Limit)
		f.check(Val(r.Grace) < 0, "CheckRestart.Grace", "grace period cannot be negative: %d", Val(r.Grace))
		f.check(c.OnUpdate == OnUpdateIgnore && r.Limit > 0, "CheckRestart", "on_update value %q not supported with check_restart block", c.OnUpdate)
		f.check(c.OnUpdate == OnUpdateIgnoreWarnings && r.Limit > 0 && !r.IgnoreWarnings, "CheckRestart.IgnoreWarnings",
			"on_update value %q not supported with check_restart ignore_warnings value %v", c.OnUpdate, r.IgnoreWarnings)
	}
}

// validateMesh checks that the group can hold what its service needs in the mesh.
func (g *TaskGroup) validateMesh(f *faults, i int, s *Service) {
	if s.Connect == nil || s.Provider != ProviderConsul {
		return
	}
	path, group := fmt.Sprintf("[%d].Connect", i), Val(g.Name)
	switch {
	case s.Connect.Native:
		f.check(s.TaskName == "", path, "Consul Connect Native service %q requires task name", s.Name)
	case s.Connect.SidecarService != nil:
		if n := len(g.Networks); n != 1 {
			f.add(path, "Consul Connect sidecars require exactly 1 network, found %d in group %q", n, group)
		} else if mode := g.Networks[0].Mode; mode != networkModeBridge && !strings.HasPrefix(mode, "cni/") {
			f.add(path, "Consul Connect sidecar requires bridge network, found %q in group %q", mode, group)
		}
		for k := range s.Checks {
			if c := &s.Checks[k]; c.Expose {
				_, ok := g.servicePort(s.PortLabel)
				f.check(!ok, path, "unable to determine local service port for service check %s->%s->%s", group, s.Name, c.Name)
			}
		}
	case s.Connect.Gateway != nil:
		if n := len(g.Networks); n != 1 {
			f.add(path, "Consul Connect gateways require exactly 1 network, found %d in group %q", n, group)
		} else if mode := g.networkMode(); mode != networkModeBridge && mode != networkModeHost {
			f.add(path, `Consul Connect Gateway service requires Task Group with network mode of type "bridge" or "host"`)
		}
	}
	if !s.Connect.Native && s.Connect.SidecarService == nil {
		return
	}
	for k := range s.Checks {
		f.check(s.Checks[k].Expose && s.Connect.SidecarService == nil, path, "exposed service check %s->%s->%s requires use of sidecar_proxy", group, s.Name, s.Checks[k].Name)
	}
}
