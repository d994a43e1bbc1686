package nomadish

import (
	"hash/fnv"
	"slices"
	"strconv"
	"time"
)

// Kinds of tasks in Consul's service mesh: the part of Task.Kind before the colon, behind
// which the service's name stands.
const (
	KindConnectProxy       = "connect-proxy"
	KindConnectNative      = "connect-native"
	KindConnectIngress     = "connect-ingress"
	KindConnectTerminating = "connect-terminating"
	KindConnectMesh        = "connect-mesh"
)

// injectMesh adds the tasks and ports that the group's services need in the service mesh.
// Jobs that had them added before get them anew, in the same place.
func (g *TaskGroup) injectMesh(j *Job) {
	for _, s := range g.Services {
		switch {
		case s.Connect == nil || s.Provider != ProviderConsul:
		case s.Connect.Native:
			g.markNative(s)
		case s.Connect.SidecarService != nil:
			g.exposeChecks(s)
			kind := KindConnectProxy + ":" + s.Name
			g.putTask(j, g.meshTask(s, kind, "${meta.connect.sidecar_image}"))
			g.meshPort(KindConnectProxy + "-" + s.Name)
		case s.Connect.Gateway != nil:
			kind := s.Connect.Gateway.kind()
			if g.networkMode() != networkModeHost {
				s.Connect.Gateway.bind()
			} else {
				fill(&s.Connect.Gateway.Proxy, ConsulGatewayProxy{ConnectTimeout: Ptr(5 * time.Second)})
			}
			g.putTask(j, g.meshTask(s, kind+":"+s.Name, "${meta.connect.gateway_image}"))
			g.meshPort(kind + "-" + s.Name)
		}
	}
}

func (g *TaskGroup) networkMode() string {
	if len(g.Networks) == 0 || g.Networks[0].Mode == "" {
		return networkModeHost
	}
	return g.Networks[0].Mode
}

// markNative marks the task that speaks the mesh's protocol itself.
func (g *TaskGroup) markNative(s *Service) {
	if s.TaskName == "" && len(g.Tasks) == 1 {
		s.TaskName = g.Tasks[0].Name
	}
	if t := g.Task(s.TaskName); t != nil {
		t.Kind = KindConnectNative + ":" + s.Name
	}
}

func (g *ConsulGateway) kind() string {
	switch {
	case g.Terminating != nil:
		return KindConnectTerminating
	case g.Mesh != nil:
		return KindConnectMesh
	}
	return KindConnectIngress
}

// bind makes a gateway in a network of its own listen on all addresses there.
func (g *ConsulGateway) bind() {
	fill(&g.Proxy, ConsulGatewayProxy{})
	fill(&g.Proxy.ConnectTimeout, 5*time.Second)
	if g.Proxy.EnvoyGatewayNoDefaultBind || g.Proxy.EnvoyGatewayBindTaggedAddresses ||
		len(g.Proxy.EnvoyGatewayBindAddresses) > 0 || g.Ingress == nil {
		return
	}
	g.Proxy.EnvoyGatewayNoDefaultBind = true
	g.Proxy.EnvoyGatewayBindAddresses = map[string]*ConsulGatewayBindAddress{}
	for _, l := range g.Ingress.Listeners {
		for _, s := range l.Services {
			g.Proxy.EnvoyGatewayBindAddresses[s.Name] = &ConsulGatewayBindAddress{Address: "0.0.0.0", Port: l.Port}
		}
	}
}

// putTask puts a task of the mesh in the place of the one that an earlier admission made,
// or at the end.
func (g *TaskGroup) putTask(j *Job, t *Task) {
	t.normalize(g, j)
	t.admit(j, g)
	i := slices.IndexFunc(g.Tasks, func(have *Task) bool { return have.Kind == t.Kind })
	if i >= 0 {
		g.Tasks[i] = t
		return
	}
	g.Tasks = append(g.Tasks, t)
}

// meshPort adds the port on which a proxy or gateway listens.
func (g *TaskGroup) meshPort(label string) {
	if len(g.Networks) == 0 {
		return // validation says that the mesh needs a network
	}
	n := g.Networks[0]
	if slices.ContainsFunc(n.DynamicPorts, func(p Port) bool { return p.Label == label }) {
		return
	}
	n.DynamicPorts = append(n.DynamicPorts, Port{Label: label, To: -1, HostNetwork: HostNetworkDefault})
}

// meshTask makes the task of a proxy or gateway, with what the user says of it.
func (g *TaskGroup) meshTask(s *Service, kind, image string) *Task {
	config := map[string]any{
		"image": image,
		"args": []any{
			"-c", "${NOMAD_SECRETS_DIR}/envoy_bootstrap.json",
			"-l", "${meta.connect.log_level}",
			"--concurrency", "${meta.connect.proxy_concurrency}",
			"--disable-hot-restart",
		},
	}
	t := &Task{
		Kind:          kind,
		Name:          kind[:len(kind)-len(s.Name)-1] + "-" + s.Name,
		Driver:        "docker",
		Config:        config,
		ShutdownDelay: 5 * time.Second,
		LogConfig:     &LogConfig{MaxFiles: Ptr(2), MaxFileSizeMB: Ptr(2)},
		Resources:     &Resources{CPU: Ptr(250), MemoryMB: Ptr(128)},
	}
	t.Constraints = constrain(nil, consulConstraint(s.Cluster))
	grpc := clusterAttribute("consul", s.Cluster)
	grpc = grpc[:len(grpc)-len("version}")] + "grpc}"
	if s.Connect.SidecarService != nil {
		t.Lifecycle = &TaskLifecycle{Hook: LifecyclePrestart, Sidecar: true}
	} else if g.networkMode() == networkModeHost {
		config["network_mode"] = networkModeHost
	}
	t.Constraints = append(t.Constraints, &Constraint{LTarget: grpc, Operand: ">", RTarget: "0"})
	s.Connect.SidecarTask.override(t)
	return t
}

// override puts what the user says of the injected task in the place of its defaults.
func (o *SidecarTask) override(t *Task) {
	if o == nil {
		return
	}
	o = deepCopy(o)
	if o.Driver != "" && o.Driver != t.Driver {
		t.Config = nil // the image means nothing to another driver
	}
	for k, v := range o.Config {
		if t.Config == nil {
			t.Config = map[string]any{}
		}
		t.Config[k] = v
	}
	for _, f := range []struct {
		dst *string
		v   string
	}{{&t.Name, o.Name}, {&t.Driver, o.Driver}, {&t.User, o.User}, {&t.KillSignal, o.KillSignal}} {
		if f.v != "" {
			*f.dst = f.v
		}
	}
	if o.ShutdownDelay != nil {
		t.ShutdownDelay = *o.ShutdownDelay
	}
	if o.KillTimeout != nil {
		t.KillTimeout = o.KillTimeout
	}
	if o.Resources != nil {
		t.Resources = o.Resources
	}
	if o.LogConfig != nil {
		t.LogConfig = o.LogConfig
	}
	t.Env, t.Meta, t.VolumeMounts, t.Identities = o.Env, o.Meta, o.VolumeMounts, o.Identities
}

// exposeChecks makes the proxy let through the paths of checks that ask for it.
func (g *TaskGroup) exposeChecks(s *Service) {
	for i := range s.Checks {
		c := &s.Checks[i]
		if !c.Expose || len(g.Networks) == 0 {
			continue
		}
		local, ok := g.servicePort(s.PortLabel)
		if !ok {
			continue // validation says so
		}
		if c.PortLabel == "" {
			c.PortLabel = "svc_" + s.Name + "_ck_" + shortHash(c.Name+"\x00"+c.Path)
			g.meshPort(c.PortLabel)
		}
		side := s.Connect.SidecarService
		fill(&side.Proxy, ConsulProxy{})
		fill(&side.Proxy.Expose, ConsulExposeConfig{})
		path := ConsulExposePath{Path: c.Path, Protocol: c.Protocol, LocalPathPort: local, ListenerPort: c.PortLabel}
		if !slices.ContainsFunc(side.Proxy.Expose.Paths, func(have *ConsulExposePath) bool { return *have == path }) {
			side.Proxy.Expose.Paths = append(side.Proxy.Expose.Paths, &path)
		}
	}
}

// servicePort returns the port inside the group's network that a service's port means.
func (g *TaskGroup) servicePort(label string) (int, bool) {
	if n, err := strconv.Atoi(label); err == nil {
		return n, true
	}
	for _, n := range g.Networks {
		for _, p := range slices.Concat(n.DynamicPorts, n.ReservedPorts) {
			if p.Label == label && p.To > 0 {
				return p.To, true
			}
		}
	}
	return 0, false
}

func shortHash(s string) string {
	h := fnv.New32a()
	h.Write([]byte(s)) // a hash takes everything
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}
