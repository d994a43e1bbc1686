//go:build linux

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
)

// groupAnnotation makes containers with the same value share a shim.
const groupAnnotation = "io.containerd.runc.v2.group"

// container is what a container's specification is made of.
type container struct {
	task   *drivers.TaskSpec
	set    *settings
	image  ocispec.ImageConfig
	user   specs.User
	files  string // directory of hosts, resolv.conf and hostname
	cgroup string
}

// spec builds the OCI runtime specification.
func (d *Driver) spec(ctx context.Context, c *container) (*specs.Spec, error) {
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: c.task.Key()})
	if err != nil {
		return nil, err
	}
	if err := c.process(s); err != nil {
		return nil, err
	}
	s.Root.Readonly = c.set.readonly
	s.Linux.CgroupsPath = c.cgroup
	s.Annotations = map[string]string{groupAnnotation: cmp.Or(c.task.AllocID, c.task.Key())}
	c.namespaces(s)
	c.limits(s)
	if err := c.mounts(s); err != nil {
		return nil, err
	}
	if c.set.privileged {
		return s, privileged(ctx, s)
	}
	if err := c.capabilities(s, d.cfg.AllowCaps); err != nil {
		return nil, err
	}
	if d.cfg.Seccomp && !c.set.unconfined {
		s.Linux.Seccomp = seccomp.DefaultProfile(s) // depends on the capabilities
	}
	return s, nil
}

func (c *container) process(s *specs.Spec) error {
	args, err := c.args()
	if err != nil {
		return err
	}
	p := s.Process
	p.Args = args
	p.Env = c.env()
	p.User = c.user
	p.Cwd = path.Join("/", cmp.Or(c.set.workDir, c.image.WorkingDir))
	p.Terminal = c.set.tty
	p.NoNewPrivileges = c.set.noNewPrivs
	p.Rlimits = c.set.rlimits
	p.OOMScoreAdj = &c.set.oomScore // else it inherits the shim's, which the kernel spares
	return nil
}

// args joins entrypoint and command: what the task says replaces the image's, and an
// entrypoint of the task's own drops the image's command.
func (c *container) args() ([]string, error) {
	entrypoint, command := c.image.Entrypoint, c.image.Cmd
	if len(c.set.entrypoint) > 0 {
		entrypoint, command = c.set.entrypoint, nil
	}
	switch {
	case c.set.command != "":
		command = append([]string{c.set.command}, c.set.args...)
	case len(c.set.args) > 0:
		command = c.set.args
	}
	args := slices.Concat(entrypoint, command)
	if len(args) == 0 {
		return nil, errors.New("no command: the image has none, and neither has the task")
	}
	return args, nil
}

// env is the image's environment, overridden by the task's, in a fixed order.
func (c *container) env() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if c.set.tty {
		env = append(env, "TERM=xterm")
	}
	if c.set.hostname != "" {
		env = append(env, "HOSTNAME="+c.set.hostname)
	}
	env = append(env, c.image.Env...)
	for _, k := range slices.Sorted(maps.Keys(c.task.Env)) {
		env = append(env, k+"="+c.task.Env[k])
	}
	last := map[string]int{} // of a name that comes twice, the last counts
	for i, e := range env {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	var out []string
	for i, e := range env {
		if name, _, _ := strings.Cut(e, "="); last[name] == i {
			out = append(out, e)
		}
	}
	return out
}

func (c *container) namespaces(s *specs.Spec) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace || slices.Contains(c.set.hostSpaces, n.Type)
	})
	switch {
	case c.task.Network != nil:
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{
			Type: specs.NetworkNamespace, Path: c.task.Network.Namespace,
		})
	case c.set.network == "none":
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	if !slices.Contains(c.set.hostSpaces, specs.UTSNamespace) {
		s.Hostname = c.hostname()
	}
	s.Linux.Sysctl = c.set.sysctl // runc refuses one that is not of a namespace of the container's
}

// hostname is the task's, the network's, or the host's.
func (c *container) hostname() string {
	name := c.set.hostname
	if name == "" && c.task.Network != nil {
		name = c.task.Network.Hostname
	}
	if name == "" {
		name, _ = os.Hostname() // without one the container has none either
	}
	return name
}

func (c *container) limits(s *specs.Spec) {
	r := c.task.Resources
	res := s.Linux.Resources
	res.CPU = &specs.LinuxCPU{Cpus: cores(r.Cores)}
	if r.CPUMHz > 0 {
		shares := uint64(min(max(r.CPUMHz, 2), 262144))
		res.CPU.Shares = &shares
	}
	if c.set.hardCPU && r.CPUMHz > 0 && r.TotalMHz > 0 {
		period := cmp.Or(c.set.cpuPeriod, 100_000)
		quota := max(1000, int64(period)*int64(runtime.NumCPU())*r.CPUMHz/r.TotalMHz)
		res.CPU.Period, res.CPU.Quota = &period, &quota
	}
	if limit := max(r.Limit(), c.set.memoryHard); limit > 0 {
		res.Memory = &specs.LinuxMemory{Limit: &limit}
		if limit > r.MemoryBytes && r.MemoryBytes > 0 {
			reserved := r.MemoryBytes
			res.Memory.Reservation = &reserved
		}
		if swapAccounted() {
			res.Memory.Swap = &limit // memory and swap together: no swap
		}
	}
	if c.set.pidsLimit > 0 {
		res.Pids = &specs.LinuxPids{Limit: &c.set.pidsLimit}
	}
}

// swapAccounted says whether the kernel lets a group's swap be limited.
func swapAccounted() bool {
	for _, f := range []string{
		"/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
		"/sys/fs/cgroup/system.slice/memory.swap.max",
		"/sys/fs/cgroup/init.scope/memory.swap.max",
	} {
		if _, err := os.Stat(f); err == nil {
			return true
		}
	}
	return false
}

func cores(ids []uint16) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.Itoa(int(id))
	}
	return strings.Join(text, ",")
}

// capabilities starts from those that containers have, takes away, then adds. Only what the
// node allows can be added.
func (c *container) capabilities(s *specs.Spec, allowed []string) error {
	have := map[string]bool{}
	if !hasAll(c.set.capDrop) {
		for _, name := range defaultCaps {
			have[capName(name)] = true
		}
	}
	for _, name := range c.set.capDrop {
		delete(have, capName(name))
	}
	add := c.set.capAdd
	if hasAll(add) {
		add = knownCaps()
		if !hasAll(allowed) {
			add = allowed
		}
	}
	may := map[string]bool{}
	for _, name := range allowed {
		may[capName(name)] = true
	}
	known := map[string]bool{}
	for _, name := range knownCaps() {
		known[name] = true
	}
	var refused []string
	for _, name := range add {
		name = capName(name)
		if !known[name] || !may[name] && !hasAll(allowed) {
			refused = append(refused, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
		}
		have[name] = true
	}
	if len(refused) > 0 {
		slices.Sort(refused)
		return fmt.Errorf("cap_add: this node does not allow %s", strings.Join(refused, ", "))
	}
	set := slices.Sorted(maps.Keys(have))
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}
	return nil
}

func hasAll(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "all") })
}

func capName(name string) string {
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "CAP_") {
		name = "CAP_" + name
	}
	return name
}

// privileged takes the confinement away: the node's configuration has allowed it.
func privileged(ctx context.Context, s *specs.Spec) error {
	return oci.ApplyOpts(ctx, nil, nil, s,
		oci.WithAllKnownCapabilities,
		oci.WithMaskedPaths(nil),
		oci.WithReadonlyPaths(nil),
		oci.WithWriteableSysfs,
		oci.WithWriteableCgroupfs,
		oci.WithApparmorProfile(""),
		oci.WithSeccompUnconfined,
		oci.WithHostDevices,
		oci.WithAllDevicesAllowed,
	)
}
