//go:build linux

package container

import (
	"cmp"
	"context"
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
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
)

// groupAnnotation makes containers with the same value share a shim.
const groupAnnotation = "io.containerd.runc.v2.group"

// builder makes a container's specification of a task and its plan.
type builder struct {
	task   *drivers.TaskSpec
	plan   *Plan
	files  string // directory of hosts, resolv.conf and hostname
	cgroup string
	filter bool // system calls, unless the plan says otherwise
	users  *remapping
}

// spec builds the OCI runtime specification.
func (b *builder) spec(ctx context.Context) (*specs.Spec, error) {
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: b.task.Key()})
	if err != nil {
		return nil, err
	}
	if b.plan.Root.Dir != "" && b.users == nil { // else the shim mounts it
		s.Root.Path = b.plan.Root.Dir
	}
	s.Root.Readonly = b.plan.Root.ReadOnly
	b.process(s)
	s.Linux.CgroupsPath = b.cgroup
	s.Annotations = map[string]string{groupAnnotation: shimOf(b.task.AllocID, b.task.Key())}
	b.namespaces(s)
	b.limits(s)
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, b.plan.Masked...)
	if err := b.mounts(s); err != nil {
		return nil, err
	}
	if b.plan.Privileged {
		err = privileged(ctx, s)
	} else if b.filter && !b.plan.Unconfined {
		s.Linux.Seccomp = seccomp.DefaultProfile(s) // depends on the capabilities
	}
	if err == nil && b.plan.Edit != nil {
		err = b.plan.Edit(s)
	}
	if err == nil && b.users != nil {
		err = b.users.apply(s)
	}
	return s, err
}

func (b *builder) process(s *specs.Spec) {
	p := s.Process
	p.Args = b.plan.Args
	p.Env = b.env()
	p.User = b.plan.User
	p.Cwd = path.Join("/", b.plan.WorkDir)
	p.Terminal = b.plan.TTY
	p.NoNewPrivileges = b.plan.NoNewPrivileges
	p.Rlimits = b.plan.Rlimits
	p.OOMScoreAdj = &b.plan.OOMScore // else it inherits the shim's, which the kernel spares
	set := b.plan.Capabilities
	// No others are inheritable: no file's capabilities can give a program more.
	p.Capabilities = &specs.LinuxCapabilities{
		Bounding: set, Effective: set, Permitted: set, Inheritable: b.plan.Ambient, Ambient: b.plan.Ambient,
	}
}

// env is the plan's environment, overridden by the task's, in a fixed order.
func (b *builder) env() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if b.plan.TTY {
		env = append(env, "TERM=xterm")
	}
	if b.plan.Hostname != "" {
		env = append(env, "HOSTNAME="+b.plan.Hostname)
	}
	env = append(env, b.plan.Env...)
	for _, k := range slices.Sorted(maps.Keys(b.task.Env)) {
		denied := slices.ContainsFunc(b.plan.Denied, func(p string) bool { ok, err := path.Match(p, k); return ok && err == nil })
		if !denied {
			env = append(env, k+"="+b.task.Env[k])
		}
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

func (b *builder) namespaces(s *specs.Spec) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace || slices.Contains(b.plan.Share, n.Type)
	})
	switch {
	case b.task.Network != nil:
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{
			Type: specs.NetworkNamespace, Path: b.task.Network.Namespace,
		})
	case b.plan.Alone:
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	if !slices.Contains(b.plan.Share, specs.UTSNamespace) {
		s.Hostname = b.hostname()
	}
	s.Linux.Sysctl = b.plan.Sysctl // runc refuses one that is not of a namespace of the container's
}

// hostname is the plan's, the network's, or the host's.
func (b *builder) hostname() string {
	name := b.plan.Hostname
	if name == "" && b.task.Network != nil {
		name = b.task.Network.Hostname
	}
	if name == "" {
		name, _ = os.Hostname() // without one the container has none either
	}
	return name
}

func (b *builder) limits(s *specs.Spec) {
	r := b.task.Resources
	res := s.Linux.Resources
	res.CPU = &specs.LinuxCPU{Cpus: cores(r.Cores)}
	if r.CPUMHz > 0 {
		shares := uint64(min(max(r.CPUMHz, 2), 262144))
		res.CPU.Shares = &shares
	}
	if b.plan.CPUHard && r.CPUMHz > 0 && r.TotalMHz > 0 {
		period := cmp.Or(b.plan.CPUPeriod, 100_000)
		quota := max(1000, int64(period)*int64(runtime.NumCPU())*r.CPUMHz/r.TotalMHz)
		res.CPU.Period, res.CPU.Quota = &period, &quota
	}
	if limit := max(r.Limit(), b.plan.MemoryHard); limit > 0 {
		res.Memory = &specs.LinuxMemory{Limit: &limit}
		if limit > r.MemoryBytes && r.MemoryBytes > 0 {
			reserved := r.MemoryBytes
			res.Memory.Reservation = &reserved
		}
		if swapAccounted() {
			res.Memory.Swap = &limit // memory and swap together: no swap
		}
	}
	if b.plan.PidsLimit > 0 {
		res.Pids = &specs.LinuxPids{Limit: &b.plan.PidsLimit}
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

// minMemory is the least that a container starts with; the runtime itself runs in it first.
const minMemory = 10 << 20

// CheckMemory refuses a limit that no container starts with; 0 is none.
func CheckMemory(limit int64) error {
	if limit > 0 && limit < minMemory {
		return fmt.Errorf("memory: %d bytes is below the minimum of %d MiB", limit, minMemory>>20)
	}
	return nil
}

func cores(ids []uint16) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.Itoa(int(id))
	}
	return strings.Join(text, ",")
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
