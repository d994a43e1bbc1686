package nomadish

import "time"

// What may register services (Service.Provider).
const (
	ProviderConsul = "consul"
	ProviderNomad  = "nomad"
)

// What a deployment demands of a service's checks (Service.OnUpdate).
const (
	OnUpdateRequireHealthy = "require_healthy"
	OnUpdateIgnoreWarnings = "ignore_warnings"
	OnUpdateIgnore         = "ignore"
)

func (s *Service) normalize(name string) {
	orDefault(&s.Name, name)
	orDefault(&s.AddressMode, "auto")
	orDefault(&s.OnUpdate, OnUpdateRequireHealthy)
	orDefault(&s.Provider, ProviderConsul)
	orDefault(&s.Cluster, DefaultCluster)
	if s.Weights != nil {
		if s.Weights.Passing == 0 {
			s.Weights.Passing = 1
		}
		if s.Weights.Warning == 0 {
			s.Weights.Warning = 1
		}
	}
	for i := range s.Checks {
		s.Checks[i].normalize(s)
	}
	s.Connect.normalize()
}

func (c *ServiceCheck) normalize(s *Service) {
	orDefault(&c.OnUpdate, s.OnUpdate)
	c.SuccessBeforePassing = max(c.SuccessBeforePassing, 0)
	c.FailuresBeforeCritical = max(c.FailuresBeforeCritical, 0)
	c.FailuresBeforeWarning = max(c.FailuresBeforeWarning, 0)
	if from := s.CheckRestart; from != nil {
		fill(&c.CheckRestart, CheckRestart{})
		inherit(&c.CheckRestart.Grace, from.Grace)
		if c.CheckRestart.Limit == 0 {
			c.CheckRestart.Limit = from.Limit
		}
		c.CheckRestart.IgnoreWarnings = c.CheckRestart.IgnoreWarnings || from.IgnoreWarnings
	}
	c.CheckRestart.normalize()
}

func (c *CheckRestart) normalize() {
	if c != nil {
		fill(&c.Grace, time.Second)
	}
}

func (c *ConsulConnect) normalize() {
	if c == nil {
		return
	}
	if s := c.SidecarService; s != nil {
		emptyList(&s.Tags)
		emptyMap(&s.Meta)
		s.Proxy.normalize()
	}
	c.SidecarTask.normalize()
	c.Gateway.normalize()
}

func (p *ConsulProxy) normalize() {
	if p == nil {
		return
	}
	if p.Expose == nil {
		p.Expose, p.ExposeConfig = p.ExposeConfig, nil
	}
	if e := p.Expose; e != nil {
		e.Paths, e.Path = append(e.Paths, e.Path...), nil
		dropNil(&e.Paths)
		emptyList(&e.Paths)
	}
	dropNil(&p.Upstreams)
	emptyList(&p.Upstreams)
	for _, u := range p.Upstreams {
		emptyMap(&u.Config)
		normalizeFree(u.Config)
	}
	emptyMap(&p.Config)
	normalizeFree(p.Config)
}

func (o *SidecarTask) normalize() {
	if o == nil {
		return
	}
	emptyMap(&o.Config)
	normalizeFree(o.Config)
	emptyMap(&o.Env)
	emptyMap(&o.Meta)
	fill(&o.Resources, Resources{})
	o.Resources.normalize()
	fill(&o.LogConfig, LogConfig{})
	o.LogConfig.normalize()
	fill(&o.KillTimeout, 5*time.Second)
	fill(&o.ShutdownDelay, 0)
	dropNil(&o.VolumeMounts)
	for _, m := range o.VolumeMounts {
		m.normalize()
	}
	dropNil(&o.Identities)
}

func (g *ConsulGateway) normalize() {
	if g == nil {
		return
	}
	if p := g.Proxy; p != nil {
		fill(&p.ConnectTimeout, 5*time.Second)
		for name, a := range p.EnvoyGatewayBindAddresses {
			if a == nil {
				delete(p.EnvoyGatewayBindAddresses, name)
			}
		}
		emptyMap(&p.EnvoyGatewayBindAddresses)
		emptyMap(&p.Config)
		normalizeFree(p.Config)
	}
	if in := g.Ingress; in != nil {
		dropNil(&in.Listeners)
		emptyList(&in.Listeners)
		for _, l := range in.Listeners {
			orDefault(&l.Protocol, "tcp")
			dropNil(&l.Services)
			emptyList(&l.Services)
			for _, s := range l.Services {
				emptyList(&s.Hosts)
			}
		}
	}
	if t := g.Terminating; t != nil {
		dropNil(&t.Services)
		emptyList(&t.Services)
	}
}
