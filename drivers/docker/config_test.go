//go:build linux

package docker

import (
	"context"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// What a config block may not say is refused, with all faults at once and each by name.
func TestSettingsRefuse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config map[string]any
		cfg    Config
		change func(*drivers.TaskSpec)
		want   []string // none: accepted
	}{
		{name: "least", config: map[string]any{}},
		{name: "no image", config: map[string]any{"image": nil}, want: []string{"missing option: image"}},
		{
			name:   "unknown and not supported",
			config: map[string]any{"imgae": "x", "color": "y", "volumes": []any{"/:/host"}, "mount": []any{map[string]any{"type": "bind"}}},
			want:   []string{"unknown option: color, imgae", "not supported yet: mount, volumes"},
		},
		{
			name:   "what a default says is nothing",
			config: map[string]any{"volumes": []any{}, "mac_address": "", "privileged": false, "ipc_mode": "private", "userns_mode": "host"},
		},
		{name: "wrong types", config: map[string]any{"tty": "maybe", "args": 3}, want: []string{`"tty"`, `"args"`}},
		{name: "privileged", config: map[string]any{"privileged": true}, want: []string{"privileged: refused"}},
		{name: "privileged allowed", config: map[string]any{"privileged": true}, cfg: Config{AllowPrivileged: true}},
		{
			name:   "host namespaces",
			config: map[string]any{"pid_mode": "host", "ipc_mode": "host", "uts_mode": "host"},
			want:   []string{"pid_mode: host is refused", "ipc_mode: host is refused", "uts_mode: host is refused"},
		},
		{name: "no filter", config: map[string]any{"security_opt": []any{"seccomp=unconfined", "label=disable"}}, want: []string{"seccomp=unconfined is refused", `"label=disable" is not supported`}},
		{name: "weaker than the node", config: map[string]any{"security_opt": []any{"no-new-privileges:false"}}, cfg: Config{NoNewPrivileges: true}, want: []string{"no-new-privileges"}},
		{name: "network", config: map[string]any{"network_mode": "container:x"}, want: []string{`network_mode: "container:x"`}},
		{name: "two networks", config: map[string]any{"network_mode": "host"}, change: func(s *drivers.TaskSpec) { s.Network = &drivers.Network{} }, want: []string{"network of its own"}},
		{name: "hosts", config: map[string]any{"extra_hosts": []any{"a:1.2.3.4", "b:::1", "c", "d e:1.2.3.4"}}, want: []string{`"c" is not`, `"d e:1.2.3.4" is not`}},
		{name: "resolver", config: map[string]any{"dns_servers": []any{"1.1.1.1\noptions x"}}, want: []string{"dns_servers: a value has a line break"}},
		{name: "little memory", change: func(s *drivers.TaskSpec) { s.Resources.MemoryBytes = 4 << 20 }, want: []string{"below the minimum of 10 MiB"}},
		{
			name:   "limits",
			config: map[string]any{"memory_hard_limit": 20, "cpu_cfs_period": 10, "oom_score_adj": -5, "pids_limit": 900, "shm_size": -1, "ulimit": map[string]any{"nofile": "9:1"}},
			cfg:    Config{PidsLimit: 100},
			want:   []string{"memory_hard_limit: below", "cpu_cfs_period", "oom_score_adj", "above this node's limit of 100", "shm_size", `nofile: "9:1"`},
		},
		{name: "runtime", config: map[string]any{"runtime": "nvidia"}, want: []string{`no "nvidia", only runc`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &drivers.TaskSpec{Config: map[string]any{"image": "app"}, Resources: drivers.Resources{MemoryBytes: 64 << 20}}
			for k, v := range tt.config {
				spec.Config[k] = v
			}
			if tt.change != nil {
				tt.change(spec)
			}
			cfg := tt.cfg.withDefaults()
			_, err := cfg.settingsOf(spec)
			if (err == nil) != (len(tt.want) == 0) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %v lacks %q", err, w)
				}
			}
		})
	}
}

// An image's short name means docker.io, its newest tag is asked for each time.
func TestImageNames(t *testing.T) {
	for short, want := range map[string]struct {
		full   string
		always bool
	}{
		"redis":                        {"docker.io/library/redis:latest", true},
		"redis:7":                      {"docker.io/library/redis:7", false},
		"me/app:1":                     {"docker.io/me/app:1", false},
		"https://registry.example/a:1": {"registry.example/a:1", false},
		"localhost:5000/a":             {"localhost:5000/a:latest", true},
	} {
		s := &settings{}
		if err := s.readImage(short, false); err != nil || s.image != want.full || s.always != want.always {
			t.Errorf("%s is %s (%v), %v; want %s (%v)", short, s.image, s.always, err, want.full, want.always)
		}
	}
}

// Every documented option is known, and nothing is both required and without effect.
func TestSchema(t *testing.T) {
	s := Schema()
	for _, name := range []string{
		"args", "auth", "cap_add", "cap_drop", "command", "cpu_hard_limit", "devices", "dns_servers",
		"entrypoint", "extra_hosts", "force_pull", "hostname", "image", "image_pull_timeout", "load",
		"logging", "mount", "network_mode", "pids_limit", "ports", "privileged", "readonly_rootfs",
		"security_opt", "shm_size", "sysctl", "tty", "ulimit", "volumes", "work_dir",
	} {
		if _, ok := s[name]; !ok {
			t.Errorf("option %s is not in the schema", name)
		}
	}
	for name, o := range options {
		if o.Required && o.effect != works || o.Doc == "" {
			t.Errorf("option %s: %+v", name, o)
		}
		if o.Type == nomadish.ConfigBlock && o.Block == nil {
			t.Errorf("option %s is a block without a schema", name)
		}
	}
}

// Entrypoint and command of image and task join as users of docker expect.
func TestArgs(t *testing.T) {
	image := ocispec.ImageConfig{Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}}
	for _, tt := range []struct {
		name  string
		image ocispec.ImageConfig
		set   settings
		want  string
	}{
		{name: "the image's", image: image, want: "/entry serve"},
		{name: "args", image: image, set: settings{args: []string{"-v"}}, want: "/entry -v"},
		{name: "command", image: image, set: settings{command: "run", args: []string{"-v"}}, want: "/entry run -v"},
		{name: "entrypoint drops the image's command", image: image, set: settings{entrypoint: []string{"/mine"}}, want: "/mine"},
		{name: "entrypoint and args", image: image, set: settings{entrypoint: []string{"/mine"}, args: []string{"x"}}, want: "/mine x"},
		{name: "bare image", set: settings{command: "/bin/sh"}, want: "/bin/sh"},
		{name: "nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := (&container{image: tt.image, set: &tt.set}).args()
			if strings.Join(got, " ") != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("args %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// Of capabilities, only what the node allows can be added, and dropping comes first.
func TestCapabilities(t *testing.T) {
	for _, tt := range []struct {
		name      string
		add, drop []string
		allowed   []string
		want      []string
		fails     string
	}{
		{name: "as usual", allowed: defaultCaps, want: defaultCaps},
		{name: "none", drop: []string{"ALL"}, allowed: defaultCaps},
		{name: "one", drop: []string{"all"}, add: []string{"cap_chown"}, allowed: defaultCaps, want: []string{"chown"}},
		{name: "all that is allowed", drop: []string{"all"}, add: []string{"all"}, allowed: []string{"kill", "chown"}, want: []string{"chown", "kill"}},
		{name: "not allowed", add: []string{"SYS_ADMIN", "net_admin"}, allowed: defaultCaps, fails: "does not allow net_admin, sys_admin"},
		{name: "allowed by all", drop: []string{"all"}, add: []string{"sys_time"}, allowed: []string{"all"}, want: []string{"sys_time"}},
		{name: "not known", add: []string{"fly"}, allowed: []string{"all"}, fails: "fly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var want []string
			for _, c := range tt.want {
				want = append(want, capName(c))
			}
			slices.Sort(want)
			s := &specs.Spec{Process: &specs.Process{}}
			err := (&container{set: &settings{capAdd: tt.add, capDrop: tt.drop}}).capabilities(s, tt.allowed)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("error %v, want %q", err, tt.fails)
				}
				return
			}
			if err != nil || !slices.Equal(s.Process.Capabilities.Bounding, want) || len(s.Process.Capabilities.Inheritable) > 0 {
				t.Errorf("capabilities %+v, %v; want %v and none inheritable", s.Process.Capabilities, err, want)
			}
		})
	}
}

// The specification carries limits, network and what privileges take away.
func TestSpecification(t *testing.T) {
	d := &Driver{cfg: Config{Seccomp: true}.withDefaults()}
	ctx := namespaces.WithNamespace(context.Background(), namespace)
	task := &drivers.TaskSpec{
		ID: "a/b/0", AllocID: "a",
		Resources: drivers.Resources{CPUMHz: 500, TotalMHz: 2000, MemoryBytes: 64 << 20, MemoryMax: 128 << 20, Cores: []uint16{0, 2}},
		Network:   &drivers.Network{Namespace: "/run/netns/x", Hostname: "pod"},
	}
	c := &container{
		task: task, set: &settings{command: "/x", hardCPU: true, pidsLimit: 9}, files: "/f", cgroup: "/g",
	}
	s, err := d.spec(ctx, c)
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
	c.set.privileged = true
	task.Network = nil
	if s, err = d.spec(ctx, c); err != nil {
		t.Fatal(err)
	}
	if s.Linux.Seccomp != nil || len(s.Linux.MaskedPaths) > 0 || slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.NetworkNamespace }) {
		t.Error("a privileged task on the host's network is confined")
	}
}

// Of an archive with several images, the one of the asked name is taken.
func TestChoose(t *testing.T) {
	held := func(names ...string) (out []ocispec.Descriptor) {
		for i, n := range names {
			out = append(out, ocispec.Descriptor{Size: int64(i), Annotations: map[string]string{images.AnnotationImageName: n}})
		}
		return out
	}
	for _, tt := range []struct {
		held []ocispec.Descriptor
		want int64 // -1: none
	}{
		{held("docker.io/library/a:1", "docker.io/library/b:1"), 1},
		{held("a", "b:1"), 1},
		{held("a", "1"), 1},
		{held("b:2"), -1},
		{held(""), 0},
		{held("", ""), -1},
		{nil, -1},
	} {
		got, err := choose(tt.held, "docker.io/library/b:1")
		if (err != nil) != (tt.want < 0) || err == nil && got.Size != tt.want {
			t.Errorf("of %v: %d, %v; want %d", tt.held, got.Size, err, tt.want)
		}
	}
}

// Credentials go to the registry that they are for and to no other.
func TestCredentialsStayHome(t *testing.T) {
	for _, tt := range []struct {
		image, server, host string
		want                bool
	}{
		{image: "docker.io/me/app:1", host: "registry-1.docker.io", want: true},
		{image: "docker.io/me/app:1", server: "https://index.docker.io/v1/", host: "registry-1.docker.io", want: true},
		{image: "docker.io/me/app:1", host: "evil.example"},
		{image: "registry.example/a:1", host: "registry.example", want: true},
		{image: "registry.example/a:1", host: "registry.example:443", want: true},
		{image: "registry.example:5000/a:1", host: "registry.example"},
		{image: "registry.example/a:1", server: "other.example", host: "registry.example"},
	} {
		if got := sameRegistry(tt.host, &settings{image: tt.image, server: tt.server}); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}
