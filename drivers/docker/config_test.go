//go:build linux

package docker

import (
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
			name:   "unknown",
			config: map[string]any{"imgae": "x", "color": "y", "mount": []any{map[string]any{"typ": "bind", "target": "/x"}}},
			want:   []string{"unknown option: color\n", "imgae (did you mean image?)", "mount: unknown option: typ (did you mean type?)"},
		},
		{
			name:   "refused by name",
			config: map[string]any{"volume_driver": "pxd", "ipv4_address": "10.0.0.1", "mac_address": "02:42:ac:11:65:43", "storage_opt": map[string]any{"size": "1G"}},
			want:   []string{"option volume_driver is refused: ", "option ipv4_address is refused: ", "option mac_address is refused: ", "option storage_opt is refused: "},
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
		{name: "no filter", config: map[string]any{"security_opt": []any{"seccomp=unconfined", "label=disable"}}, want: []string{"security_opt: seccomp=unconfined: refused"}},
		{name: "weaker than the node", config: map[string]any{"security_opt": []any{"no-new-privileges:false"}}, cfg: Config{NoNewPrivileges: true}, want: []string{"no-new-privileges"}},
		{name: "network", config: map[string]any{"network_mode": "backend"}, want: []string{`there is no network "backend"`}},
		{name: "hosts", config: map[string]any{"extra_hosts": []any{"a:1.2.3.4", "b:::1", "c", "d e:1.2.3.4"}}, want: []string{`"c" is not`, `"d e:1.2.3.4" is not`}},
		{name: "resolver", config: map[string]any{"dns_servers": []any{"1.1.1.1\noptions x"}}, want: []string{"dns_servers: a value is empty or has a space or line break"}},
		{name: "little memory", change: func(s *drivers.TaskSpec) { s.Resources.MemoryBytes = 4 << 20 }, want: []string{"below the minimum of 10 MiB"}},
		{
			name:   "limits",
			config: map[string]any{"memory_hard_limit": 20, "cpu_cfs_period": 10, "oom_score_adj": -1001, "pids_limit": 900, "shm_size": -1, "ulimit": map[string]any{"nofile": "9:1"}},
			cfg:    Config{PidsLimit: 100},
			want:   []string{"memory_hard_limit: below", "cpu_cfs_period", "oom_score_adj", "above this node's limit of 100", "shm_size", `nofile: "9:1"`},
		},
		{name: "custom filter", config: map[string]any{"security_opt": []any{"seccomp=/etc/passwd", "apparmor=unconfined", "systempaths=unconfined", "nonsense=1"}}, want: []string{"seccomp=/etc/passwd: refused", "apparmor=unconfined: refused", "systempaths=unconfined: refused", "nonsense=1: not known"}},
		{name: "AppArmor that is not there", config: map[string]any{"security_opt": []any{"apparmor=mine"}}, want: []string{"apparmor=mine: refused"}},
		{name: "capabilities", config: map[string]any{"cap_add": []any{"SYS_ADMIN", "net_raw", "chown", "--privileged"}}, want: []string{"does not allow --privileged, net_raw, sys_admin"}},
		{name: "capabilities that the node allows", config: map[string]any{"cap_add": []any{"SYS_ADMIN", "chown"}}, cfg: Config{AllowCaps: []string{"sys_admin", "chown"}}},
		{
			name:   "kernel settings of the host",
			config: map[string]any{"sysctl": map[string]any{"kernel.core_pattern": "|/x", "net.ipv4.ip_forward": "1", "kernel/../vm/x": "1", "kernel.shmmax": "1"}},
			want:   []string{`"kernel.core_pattern": refused`, `"net.ipv4.ip_forward": refused: the task uses the host's network`, `"kernel/../vm/x": not a name`},
		},
		{
			name:   "devices",
			config: map[string]any{"devices": []any{map[string]any{"host_path": "/etc/passwd"}, map[string]any{"host_path": "/dev/../etc/x"}, map[string]any{"host_path": "/dev/null", "cgroup_permissions": "rx"}, map[string]any{"host_path": "/dev/null", "container_path": "x"}, map[string]any{"host_path": "/dev/kvm"}}},
			cfg:    Config{AllowDevices: []string{"/dev/null"}},
			want:   []string{`devices[0]: host_path: "/etc/passwd" is not below /dev`, "devices[1]: host_path", `devices[2]: cgroup_permissions: "rx"`, `devices[3]: container_path: "x"`, "devices[4]: host_path: this node does not allow /dev/kvm"},
		},
		{name: "users of the host", config: map[string]any{"userns_mode": "private"}, want: []string{"userns_mode: private is refused: this node gives tasks no users of their own"}},
		{name: "log drivers", config: map[string]any{"logging": map[string]any{"driver": "syslog"}}, want: []string{`no log driver "syslog" here`}},
		{name: "log drivers by what users see", config: map[string]any{"logging": map[string]any{"type": "journald"}}},
		{name: "words", config: map[string]any{"hostname": "a\nb", "work_dir": "/proc/self/fd/7", "group_add": []any{"-1"}}, change: func(s *drivers.TaskSpec) { s.User = "4294967296" }, want: []string{"hostname:", "work_dir: /proc/self/fd/7 is refused", `group_add: "-1"`, `user: "4294967296"`}},
		{name: "work_dir that is none", config: map[string]any{"work_dir": "-x"}, want: []string{`work_dir: "-x"`}},
		{name: "NUL", config: map[string]any{"args": []any{"a\x00b"}, "command": "\x00"}, want: []string{"args: a text has a NUL", "command: a text has a NUL"}},
		{name: "limit that is none", config: map[string]any{"ulimit": map[string]any{"nofiles": "1", "nproc": "x"}}, want: []string{`no "nofiles" (did you mean nofile?)`, `nproc: "x" is not`}},
		{name: "negative without privileges", config: map[string]any{"oom_score_adj": -1}, want: []string{"oom_score_adj: -1 is refused"}},
		{name: "negative with privileges", config: map[string]any{"oom_score_adj": -1, "privileged": true}, cfg: Config{AllowPrivileged: true}},
		{name: "runtime", config: map[string]any{"runtime": "nvidia"}, want: []string{`no "nvidia" here, only runc`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := &drivers.TaskSpec{Config: map[string]any{"image": "app"}, Resources: drivers.Resources{MemoryBytes: 64 << 20}}
			for k, v := range tt.config {
				spec.Config[k] = v
			}
			if tt.change != nil {
				tt.change(spec)
			}
			cfg := tt.cfg.withDefaults(nil)
			_, err := cfg.settingsOf(Name, spec)
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
			got, err := tt.set.process(tt.image)
			if strings.Join(got, " ") != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("args %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
