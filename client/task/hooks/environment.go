package hooks

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/client/task"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// environment gives the task the variables that tell it where it runs and with what.
type environment struct {
	region       string
	cgroupParent string
	denied       []string // of those that are inherited
}

func (environment) Name() string { return "environment" }

// inherited are the variables of the agent that a task gets which runs on the host's file
// system. It is a list of what is let through: an agent's environment holds secrets.
var inherited = []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ"}

// ofAccount are those of them that a task with a root of its own does not get: it is another
// user there, and the driver says which.
var ofAccount = []string{"HOME", "USER", "LOGNAME", "SHELL"}

func (h environment) Prepare(ctx context.Context, s *task.Setup) error {
	env := map[string]string{}
	if s.Capabilities.Isolation != drivers.IsolationImage {
		for _, name := range inherited {
			if slices.Contains(h.denied, name) || s.Capabilities.Isolation == drivers.IsolationChroot && slices.Contains(ofAccount, name) {
				continue
			}
			if v, ok := os.LookupEnv(name); ok {
				env[name] = v
			}
		}
	}
	addPaths(env, s)
	h.addNames(env, s)
	addResources(env, s)
	addMeta(env, s)
	s.Spec.Env = env
	return addPorts(ctx, env, s)
}

// addPaths adds the directories as the task sees them.
func addPaths(env map[string]string, s *task.Setup) {
	alloc, local, secret := s.Spec.Dir.Alloc, s.Spec.Dir.Local, s.Spec.Dir.Secrets
	if s.Capabilities.Isolation != drivers.IsolationNone {
		alloc, local, secret = "/alloc", "/local", "/secrets"
	}
	env["NOMAD_ALLOC_DIR"], env["NOMAD_TASK_DIR"], env["NOMAD_SECRETS_DIR"] = alloc, local, secret
}

func (h environment) addNames(env map[string]string, s *task.Setup) {
	a, job := s.Alloc, s.Alloc.Job
	env["NOMAD_ALLOC_ID"] = a.ID
	env["NOMAD_SHORT_ALLOC_ID"] = a.ID[:min(8, len(a.ID))]
	env["NOMAD_ALLOC_NAME"] = a.Name
	if i := strings.LastIndexByte(a.Name, '['); i >= 0 {
		env["NOMAD_ALLOC_INDEX"] = strings.TrimSuffix(a.Name[i+1:], "]")
	}
	env["NOMAD_TASK_NAME"] = s.Task.Name
	env["NOMAD_GROUP_NAME"] = a.TaskGroup
	env["NOMAD_JOB_ID"] = a.JobID
	env["NOMAD_JOB_NAME"] = nomadish.Val(job.Name)
	if parent := nomadish.Val(job.ParentID); parent != "" {
		env["NOMAD_JOB_PARENT_ID"] = parent
	}
	env["NOMAD_NAMESPACE"] = a.Namespace
	env["NOMAD_REGION"] = h.region
	env["NOMAD_DC"] = s.Node.Datacenter
	env["NOMAD_PARENT_CGROUP"] = h.cgroupParent
}

// GroupText returns a function that replaces ${…} in what a group says for all of its tasks.
func GroupText(node *nomadish.Node, a *nomadish.Allocation, g *nomadish.TaskGroup, region string) func(string) string {
	s := &task.Setup{Node: node, Alloc: a, Group: g, Task: &nomadish.Task{}}
	env := map[string]string{}
	environment{region: region, cgroupParent: node.CgroupParent}.addNames(env, s)
	delete(env, "NOMAD_TASK_NAME")
	addMeta(env, s)
	in := interpolator{env: env, node: nodeVariables(node, region), left: maxText}
	return in.text
}

func addResources(env map[string]string, s *task.Setup) {
	r := granted(s)
	if r == nil {
		return
	}
	env["NOMAD_CPU_LIMIT"] = strconv.FormatInt(r.Cpu.CpuShares, 10)
	env["NOMAD_MEMORY_LIMIT"] = strconv.FormatInt(r.Memory.MemoryMB, 10)
	if m := r.Memory.MemoryMaxMB; m > 0 {
		env["NOMAD_MEMORY_MAX_LIMIT"] = strconv.FormatInt(m, 10)
	}
	if len(r.Cpu.ReservedCores) > 0 {
		env["NOMAD_CPU_CORES"] = formatCores(r.Cpu.ReservedCores)
	}
}

func granted(s *task.Setup) *nomadish.AllocatedTaskResources {
	if s.Alloc.AllocatedResources == nil {
		return nil
	}
	return s.Alloc.AllocatedResources.Tasks[s.Task.Name]
}

// formatCores writes cores as a list of ranges: 0-3,8.
func formatCores(cores []uint16) string {
	sorted := slices.Sorted(slices.Values(cores))
	var parts []string
	for i := 0; i < len(sorted); {
		last := i
		for last+1 < len(sorted) && sorted[last+1] <= sorted[last]+1 {
			last++
		}
		part := strconv.Itoa(int(sorted[i]))
		if sorted[last] > sorted[i] {
			part += "-" + strconv.Itoa(int(sorted[last]))
		}
		parts = append(parts, part)
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// addMeta adds the meta values of job, group and task, of which the inner ones win,
// under their own name and in capital letters.
func addMeta(env map[string]string, s *task.Setup) {
	meta := map[string]string{}
	for _, m := range []map[string]string{s.Alloc.Job.Meta, s.Group.Meta, s.Task.Meta} {
		maps.Copy(meta, m)
	}
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		env["NOMAD_META_"+strings.ToUpper(cleanName(name))] = meta[name]
	}
	for name, value := range meta {
		env["NOMAD_META_"+cleanName(name)] = value
	}
}

// cleanName makes a part of a variable's name of any text: shells know letters, digits and
// underscores.
func cleanName(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '_'
	}, s)
}

// addPorts adds the ports of the group, and of other tasks' own networks under their names.
func addPorts(ctx context.Context, env map[string]string, s *task.Setup) error {
	r := s.Alloc.AllocatedResources
	if r == nil {
		return nil
	}
	v, err := viewOf(ctx, s)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tasks)) {
		for _, n := range r.Tasks[name].Networks {
			for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
				if name == s.Task.Name {
					v.addPort(env, p.Label, n.IP, p.Value, p.To)
				} else {
					view{}.addPort(env, name+"_"+p.Label, n.IP, p.Value, p.Value)
				}
			}
		}
	}
	for _, p := range r.Shared.Ports {
		v.addPort(env, p.Label, p.HostIP, p.Value, p.To)
	}
	return nil
}

// view is how a task sees its ports: the node's own, or those inside a namespace.
type view struct {
	namespace bool
	name      string         // of the interface; empty: not known
	address   string         // inside; empty: not known
	inside    map[string]int // ports inside that the driver maps otherwise than the job's networks say
}

// viewOf says how the task sees its ports. Whether it gets a namespace of its own its driver
// says, by a config in which nothing is replaced yet: the values are made of this.
func viewOf(ctx context.Context, s *task.Setup) (view, error) {
	group, err := groupOf(ctx, s)
	if err != nil {
		return view{}, err
	}
	if group != nil {
		return view{namespace: true, name: group.Status.InterfaceName, address: group.Status.Address}, nil
	}
	asked := *s
	spec := *s.Spec
	spec.Config, asked.Spec = s.Task.Config, &spec
	own, err := wantedNetwork(&asked)
	if err != nil || own == nil {
		return view{}, nil // an error is told when the network is made
	}
	inside := map[string]int{}
	for _, p := range own.Ports {
		inside[p.Label] = p.To
	}
	return view{namespace: true, inside: inside}, nil
}

func (v view) addPort(env map[string]string, label, ip string, host, to int) {
	inside := host
	if v.namespace {
		inside = cmp.Or(max(v.inside[label], 0), max(to, 0), host)
	}
	label = cleanName(label)
	hostPort, insidePort := strconv.Itoa(host), strconv.Itoa(inside)
	address := cmp.Or(v.address, ip)
	for name, value := range map[string]string{
		"IP": ip, "PORT": insidePort, "ADDR": net.JoinHostPort(ip, hostPort),
		"HOST_IP": ip, "HOST_PORT": hostPort, "HOST_ADDR": net.JoinHostPort(ip, hostPort),
		"ALLOC_IP": address, "ALLOC_PORT": insidePort, "ALLOC_ADDR": net.JoinHostPort(address, insidePort),
	} {
		env["NOMAD_"+name+"_"+label] = value
	}
	if v.name != "" {
		env["NOMAD_ALLOC_INTERFACE_"+label] = v.name
	}
}

// nodeVariables are the values that a task may refer to besides its environment.
func nodeVariables(n *nomadish.Node, region string) map[string]string {
	out := map[string]string{
		"node.unique.id":   n.ID,
		"node.unique.name": n.Name,
		"node.datacenter":  n.Datacenter,
		"node.region":      region,
		"node.class":       n.NodeClass,
		"node.pool":        n.NodePool,
	}
	for name, v := range n.Attributes {
		out["attr."+name] = v
	}
	for name, v := range n.Meta {
		out["meta."+name] = v
	}
	return out
}

// cgroupPath is where a task's control group lies below each hierarchy's root.
func cgroupPath(parent string, s *task.Setup) string {
	return path.Join(parent, s.Alloc.ID, drivers.Key(fmt.Sprintf("%s/%s", s.Alloc.ID, s.Task.Name)))
}
