//go:build linux

package container

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Of capabilities, only what the node allows can be added, and dropping comes first.
func TestCapabilities(t *testing.T) {
	usual := DefaultCaps()
	for _, tt := range []struct {
		name      string
		add, drop []string
		allowed   []string
		want      []string
		fails     string
	}{
		{name: "as usual", allowed: usual, want: usual},
		{name: "none", drop: []string{"ALL"}, allowed: usual},
		{name: "one", drop: []string{"all"}, add: []string{"cap_chown"}, allowed: usual, want: []string{"chown"}},
		{name: "all that is allowed", drop: []string{"all"}, add: []string{"all"}, allowed: []string{"kill", "chown"}, want: []string{"chown", "kill"}},
		{name: "not allowed", add: []string{"SYS_ADMIN", "net_admin"}, allowed: usual, fails: "does not allow net_admin, sys_admin"},
		{name: "allowed by all", drop: []string{"all"}, add: []string{"sys_time"}, allowed: []string{"all"}, want: []string{"sys_time"}},
		{name: "not known", add: []string{"fly"}, allowed: []string{"all"}, fails: "fly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, c := range tt.want {
				want = append(want, capName(c))
			}
			slices.Sort(want)
			got, err := Capabilities(usual, tt.drop, tt.add, tt.allowed)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("error %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("capabilities %v, %v; want %v", got, err, want)
			}
		})
	}
}

// The specification carries limits, network and what privileges take away.
func TestSpecification(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), Namespace)
	task := &drivers.TaskSpec{
		ID: "a/b/0", AllocID: "a",
		Resources: drivers.Resources{CPUMHz: 500, TotalMHz: 2000, MemoryBytes: 64 << 20, MemoryMax: 128 << 20, Cores: []uint16{0, 2}},
		Network:   &drivers.Network{Namespace: "/run/netns/x", Hostname: "pod"},
	}
	b := &builder{
		task: task, plan: &Plan{Args: []string{"/x"}, CPUHard: true, PidsLimit: 9, Capabilities: []string{"CAP_CHOWN"}},
		files: "/f", cgroup: "/g", filter: true,
	}
	s, err := b.spec(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Linux.Resources
	if *r.CPU.Shares != 500 || r.CPU.Cpus != "0,2" || *r.CPU.Quota <= 0 || *r.Memory.Limit != 128<<20 ||
		*r.Memory.Reservation != 64<<20 || *r.Pids.Limit != 9 || s.Linux.CgroupsPath != "/g" {
		t.Errorf("limits %+v %+v in %s", r.CPU, r.Memory, s.Linux.CgroupsPath)
	}
	want := specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/run/netns/x"}
	if !slices.Contains(s.Linux.Namespaces, want) || s.Hostname != "pod" || s.Linux.Seccomp == nil || s.Annotations[groupAnnotation] != "a" {
		t.Errorf("namespaces %v, hostname %q, annotations %v", s.Linux.Namespaces, s.Hostname, s.Annotations)
	}
	if c := s.Process.Capabilities; len(c.Bounding) != 1 || len(c.Inheritable) > 0 || len(c.Ambient) > 0 {
		t.Errorf("capabilities %+v, want the plan's and none inheritable", c)
	}
	b.plan.Privileged = true
	task.Network = nil
	if s, err = b.spec(ctx); err != nil {
		t.Fatal(err)
	}
	if s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths) > 0 || slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace }) {
		t.Error("a privileged task on the host's network is confined")
	}
}

// What a group's dns block says takes the place of what the host's resolv.conf says of the same.
func TestResolvConf(t *testing.T) {
	host := "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\ndomain old\noptions rotate"
	for _, tt := range []struct {
		want *nomadish.DNSConfig
		text string
	}{
		{nil, host},
		{&nomadish.DNSConfig{}, host + "\n"},
		{&nomadish.DNSConfig{Servers: []string{"1.1.1.1"}}, "# by hand\ndomain old\noptions rotate\nnameserver 1.1.1.1\n"},
		{&nomadish.DNSConfig{Searches: []string{"a", "b"}, Options: []string{"ndots:2"}}, "# by hand\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nsearch a b\noptions ndots:2\n"},
	} {
		if got := resolvConf(host, tt.want); got != tt.text {
			t.Errorf("%+v: got\n%s\nwant\n%s", tt.want, got, tt.text)
		}
	}
}
