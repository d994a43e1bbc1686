//go:build linux && corpus

package corpus

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
)

// site is a cluster of one node that is as its jobs want it.
type site struct {
	region, datacenter, pool, hostname string
	meta                               map[string]string
	networks, volumes                  map[string]struct{}
	jobs                               []*entry
}

// anyDatacenter is where jobs go that don't mind.
const anyDatacenter = "dc1"

// sites finds a site for each job, as few as possible.
func sites(jobs []*entry) (all []*site) {
	for _, e := range jobs {
		if !slices.ContainsFunc(all, func(s *site) bool { return s.take(e) }) {
			s := &site{meta: map[string]string{}, networks: map[string]struct{}{}, volumes: map[string]struct{}{}}
			all = append(all, s)
			s.take(e)
		}
	}
	return all
}

// take makes the site fit for a job, unless that contradicts what its other jobs want.
func (s *site) take(e *entry) bool {
	region, pool := nomadish.Val(e.job.Region), nomadish.Val(e.job.NodePool)
	datacenters, hostname, meta := e.job.Datacenters, "", map[string]string{}
	if len(datacenters) == 0 || slices.Contains(datacenters, "*") || slices.Contains(datacenters, anyDatacenter) {
		datacenters = append([]string{anyDatacenter}, datacenters...)
	}
	for _, c := range constraints(e.job) {
		value := satisfying(c)
		if key, ok := strings.CutPrefix(c.LTarget, "${meta."); ok {
			meta[strings.TrimSuffix(key, "}")] = cmp.Or(value, "any")
		} else if c.LTarget == "${attr.unique.hostname}" {
			hostname = value
		}
	}
	if region == "" {
		region = "global"
	}
	if pool == "" || strings.Contains(pool, "$") { // no name at all: the job is refused
		pool = "default"
	}
	if s.region == "" {
		s.region, s.datacenter, s.pool = region, datacenters[0], pool
	}
	fits := s.region == region && s.pool == pool && slices.Contains(datacenters, s.datacenter) && (hostname == "" || s.hostname == "" || s.hostname == hostname)
	for key, value := range meta {
		have, ok := s.meta[key]
		fits = fits && (!ok || have == value)
	}
	if !fits {
		return false
	}
	for key, value := range meta {
		s.meta[key] = value
	}
	if hostname != "" {
		s.hostname = hostname
	}
	for _, g := range e.job.TaskGroups {
		for _, n := range g.Networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				s.networks[p.HostNetwork] = struct{}{}
			}
		}
		for _, v := range g.Volumes {
			if v.Type == "host" {
				s.volumes[v.Source] = struct{}{}
			}
		}
	}
	s.jobs = append(s.jobs, e)
	return true
}

// constraints returns those of a job, its groups and tasks.
func constraints(job *nomadish.Job) []*nomadish.Constraint {
	all := slices.Clone(job.Constraints)
	for _, g := range job.TaskGroups {
		all = append(all, g.Constraints...)
		for _, t := range g.Tasks {
			all = append(all, t.Constraints...)
		}
	}
	return all
}

// satisfying returns a value that satisfies a constraint; empty: it is of another kind.
func satisfying(c *nomadish.Constraint) string {
	switch c.Operand {
	case "", "=", "==", "is":
		return c.RTarget
	case "set_contains_any":
		return c.RTarget[strings.LastIndex(c.RTarget, ",")+1:]
	case "regexp":
		return strings.Trim(c.RTarget[strings.LastIndex(c.RTarget, "|")+1:], "()")
	}
	return ""
}

func (s *site) String() string {
	return fmt.Sprintf("%s/%s/%s/%s", s.region, s.datacenter, s.pool, s.hostname)
}

// start starts the site's agent, which asks a registry and web servers of the test's.
func (s *site) start(ctx context.Context, dir, registries string, env []string) (*machine.Node, error) {
	networks, volumes := map[string]any{}, map[string]any{}
	for name := range s.networks {
		if name != "" {
			networks[name] = map[string]any{"interface": "lo", "cidr": "127.0.0.0/8"}
		}
	}
	for name := range s.volumes {
		path := filepath.Join(dir, "volumes", name)
		if err := os.MkdirAll(path, 0o777); err != nil {
			return nil, err
		}
		volumes[name] = map[string]any{"path": path}
	}
	client := map[string]any{"meta": s.meta, "node_pool": s.pool, "memory_total_mb": 64 << 10}
	for key, blocks := range map[string]map[string]any{"host_network": networks, "host_volume": volumes} {
		if len(blocks) > 0 {
			client[key] = blocks
		}
	}
	n, err := machine.New(machine.Config{
		Dir: filepath.Join(dir, "node"), Hostname: s.hostname, Env: env, Dev: true,
		Agent:  map[string]any{"region": s.region, "datacenter": s.datacenter},
		Client: client,
		Docker: map[string]any{
			"registry_config_path": registries, "allow_privileged": true, "allow_caps": []string{"all"},
			"volumes": map[string]any{"enabled": true},
		},
	})
	if err != nil {
		return nil, err
	}
	if err := n.Start(); err != nil {
		return n, err
	}
	if err := n.Ready(ctx); err != nil {
		return n, err
	}
	if err := drivers(ctx, n); err != nil {
		return n, err
	}
	config, _, err := n.API.Operator().SchedulerConfig(ctx, nil)
	if err != nil {
		return n, err
	}
	config.MemoryOversubscriptionEnabled = true // for jobs with memory_max
	_, err = n.API.Operator().SetSchedulerConfig(ctx, config, nil)
	return n, err
}

// drivers waits until the node has the drivers that run containers: containerd starts while
// the node is ready already.
func drivers(ctx context.Context, n *machine.Node) error {
	id, err := n.NodeID(ctx)
	if err != nil {
		return err
	}
	return machine.Until(ctx, "containers can be run", func(ctx context.Context) error {
		node, _, err := n.API.Nodes().Node(ctx, id, nil)
		if err != nil {
			return err
		}
		for _, name := range []string{"docker", "containerd-driver", "exec"} {
			if info := node.Drivers[name]; info == nil || !info.Healthy {
				return fmt.Errorf("driver %s: %+v", name, info)
			}
		}
		return nil
	})
}
