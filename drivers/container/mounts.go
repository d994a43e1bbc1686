//go:build linux

package container

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// mounts adds what the task sees beside its root: its directories, its volumes, its view of
// the control groups, and the three files of /etc that say where it is.
func (b *builder) mounts(s *specs.Spec) error {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/run" // images bring their own
	})
	if b.plan.ShmSize > 0 {
		for i, m := range s.Mounts {
			if m.Destination == "/dev/shm" {
				s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(b.plan.ShmSize, 10)}
			}
		}
	}
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"ro", "nosuid", "noexec", "nodev"},
	})
	s.Mounts = append(s.Mounts, b.plan.Root.Mounts...)
	for _, m := range []struct{ from, to string }{
		{b.task.Dir.Alloc, "/alloc"},
		{b.task.Dir.Local, "/local"},
		{b.task.Dir.Secrets, "/secrets"},
		{filepath.Join(b.files, "hosts"), "/etc/hosts"},
		{filepath.Join(b.files, "resolv.conf"), "/etc/resolv.conf"},
		{filepath.Join(b.files, "hostname"), "/etc/hostname"},
	} {
		if m.from != "" {
			s.Mounts = append(s.Mounts, Bind(m.from, m.to, false, "rprivate"))
		}
	}
	for _, m := range b.task.Mounts {
		how, ok := propagations[m.Propagation]
		if !ok {
			return fmt.Errorf("mount %s: propagation %q is not known", m.Target, m.Propagation)
		}
		s.Mounts = append(s.Mounts, Bind(m.Source, path.Join("/", m.Target), m.ReadOnly, how))
	}
	s.Mounts = append(s.Mounts, b.plan.Mounts...)
	return nil
}

// propagations are the kernel's words for a volume mount's.
var propagations = map[string]string{
	"": "rprivate", "private": "rprivate", "host-to-task": "rslave", "bidirectional": "rshared",
}

// Bind is a mount of a file or directory of the host; propagation is rprivate, rslave or
// rshared.
func Bind(from, to string, readOnly bool, propagation string) specs.Mount {
	mode := "rw"
	if readOnly {
		mode = "ro"
	}
	return specs.Mount{Destination: to, Type: "bind", Source: from, Options: []string{"rbind", mode, propagation}}
}
