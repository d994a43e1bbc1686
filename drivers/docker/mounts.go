//go:build linux

package docker

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// knownCaps are the capabilities of this kernel.
func knownCaps() []string { return cap.Known() }

// mounts adds what the task sees beside the image: its directories, its volumes, its view of
// the control groups, and the three files of /etc that say where it is.
func (c *container) mounts(s *specs.Spec) error {
	s.Mounts = slices.DeleteFunc(s.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/run" // images bring their own
	})
	if c.set.shmSize > 0 {
		for i, m := range s.Mounts {
			if m.Destination == "/dev/shm" {
				s.Mounts[i].Options = []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.FormatInt(c.set.shmSize, 10)}
			}
		}
	}
	s.Mounts = append(s.Mounts, specs.Mount{
		Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup",
		Options: []string{"ro", "nosuid", "noexec", "nodev"},
	})
	for _, m := range []struct{ from, to string }{
		{c.task.Dir.Alloc, "/alloc"},
		{c.task.Dir.Local, "/local"},
		{c.task.Dir.Secrets, "/secrets"},
		{filepath.Join(c.files, "hosts"), "/etc/hosts"},
		{filepath.Join(c.files, "resolv.conf"), "/etc/resolv.conf"},
		{filepath.Join(c.files, "hostname"), "/etc/hostname"},
	} {
		if m.from != "" {
			s.Mounts = append(s.Mounts, bind(m.from, m.to, false, "rprivate"))
		}
	}
	for _, m := range c.task.Mounts {
		how, ok := propagations[m.Propagation]
		if !ok {
			return fmt.Errorf("mount %s: propagation %q is not known", m.Target, m.Propagation)
		}
		s.Mounts = append(s.Mounts, bind(m.Source, path.Join("/", m.Target), m.ReadOnly, how))
	}
	return nil
}

// propagations are the kernel's words for a volume mount's.
var propagations = map[string]string{
	"": "rprivate", "private": "rprivate", "host-to-task": "rslave", "bidirectional": "rshared",
}

func bind(from, to string, readOnly bool, propagation string) specs.Mount {
	mode := "rw"
	if readOnly {
		mode = "ro"
	}
	return specs.Mount{Destination: to, Type: "bind", Source: from, Options: []string{"rbind", mode, propagation}}
}

// writeFiles makes the container's own /etc/hosts, /etc/resolv.conf and /etc/hostname: copies,
// so that what the task writes stays with the task.
func (c *container) writeFiles() error {
	if err := os.MkdirAll(c.files, 0o755); err != nil {
		return err
	}
	hosts, resolver := "/etc/hosts", "/etc/resolv.conf"
	if n := c.task.Network; n != nil {
		hosts, resolver = n.Hosts, n.Resolv
	}
	known, err := readSmall(hosts)
	if err != nil {
		return err
	}
	if known == "" || c.set.network == "none" {
		known = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
	}
	for _, line := range c.set.extraHosts {
		known = strings.TrimRight(known, "\n") + "\n" + line + "\n"
	}
	lines := strings.Join(c.set.resolver, "\n") + "\n"
	if len(c.set.resolver) == 0 {
		if lines, err = readSmall(resolver); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"hosts": known, "resolv.conf": lines, "hostname": c.hostname() + "\n",
	} {
		if err := os.WriteFile(filepath.Join(c.files, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// readSmall reads a text file; no path, and no such file, are empty.
func readSmall(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<20))
	return string(b), err
}
