//go:build linux

package docker

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// documented are the options that job files for this driver can have, by Nomad's documents.
var documented = strings.Fields(`
	advertise_ipv6_address args auth auth_soft_fail cap_add cap_drop cgroupns command container_exists_attempts
	cpu_cfs_period cpu_hard_limit devices dns_options dns_search_domains dns_servers entrypoint extra_hosts force_pull
	group_add healthchecks hostname image image_pull_timeout init interactive ipc_mode ipv4_address ipv6_address isolation
	labels load logging mac_address memory_hard_limit mount mounts network_aliases network_mode oom_score_adj pid_mode
	pids_limit port_map ports privileged readonly_rootfs runtime security_opt shm_size storage_opt sysctl tty ulimit
	userns_mode uts_mode volume_driver volumes work_dir`)

// documentedPlugin are the options that the driver's block in an agent's configuration can have.
var documentedPlugin = strings.Fields(`
	allow_caps allow_privileged allow_runtimes auth container_exists_attempts disable_log_collection endpoint extra_labels gc
	image_pull_timeout infra_image infra_image_pull_timeout logging nvidia_runtime oom_score_adj pids_limit pull_activity_timeout
	tls volumes windows_allow_insecure_container_admin`)

// Every documented option has a line that says what it does here: it works, or a reason says
// why not. The page for users says the same.
func TestEveryOptionHasALine(t *testing.T) {
	for _, table := range []struct {
		name       string
		options    map[string]option
		documented []string
	}{
		{"task", options, documented},
		{"containerd-driver", containerdTable(), []string{"cwd", "devices", "host_dns", "host_network", "mounts", "seccomp", "seccomp_profile", "file_limit"}},
		{"plugin", pluginOptions, documentedPlugin},
	} {
		for _, name := range table.documented {
			if _, ok := table.options[name]; !ok {
				t.Errorf("%s: option %s has no line", table.name, name)
			}
		}
		for name, o := range table.options {
			if (o.effect == works) != (o.why == "") || o.Doc == "" || o.Required && o.effect != works {
				t.Errorf("%s: option %s: %+v", table.name, name, o)
			}
			checkBlock(t, name, o.ConfigAttribute)
		}
	}
	b, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	words, _, _ := strings.Cut(string(b), "## ")
	want := words + page()
	if *update {
		if err := os.WriteFile(pageFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Errorf("%s is not as the tables are now: go test -run %s -update", pageFile, t.Name())
	}
}

// pageFile is the page for users: words, then the tables.
const pageFile = "../../docs/docker.md"

var update = flag.Bool("update", false, "write the tables into "+pageFile)

func checkBlock(t *testing.T, name string, a nomadish.ConfigAttribute) {
	t.Helper()
	if (a.Type == nomadish.ConfigBlock || a.Type == nomadish.ConfigBlockList) != (a.Block != nil) {
		t.Errorf("option %s: a block needs a schema, and only a block", name)
	}
	for inner, b := range a.Block {
		if b.Doc == "" {
			t.Errorf("option %s.%s says nothing", name, inner)
		}
		checkBlock(t, name+"."+inner, b)
	}
}

// page is the part of docs/docker.md that is made of the tables.
func page() string {
	var b strings.Builder
	for _, table := range []struct {
		title   string
		options map[string]option
	}{
		{"Options of a task", options},
		{"Options of containerd-driver", containerdOptions},
		{"Options of the plugin block", pluginOptions},
	} {
		fmt.Fprintf(&b, "## %s\n\n| option | here |\n| --- | --- |\n", table.title)
		for _, name := range slices.Sorted(maps.Keys(table.options)) {
			o := table.options[name]
			here := o.Doc
			switch o.effect {
			case notice:
				here = "No effect, with a notice: " + o.why + "."
			case refused:
				here = "Refused: " + o.why + "."
			}
			if o.Default != "" && o.Default != "false" {
				here += " Default " + o.Default + "."
			}
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, here)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Each option that is refused, or has no effect, is told by its name; the others are not.
func TestEveryOptionActs(t *testing.T) {
	for name, o := range options {
		value := sample(o.ConfigAttribute)
		notices, err := checkNames(options, map[string]any{"image": "app", name: value})
		told := slices.ContainsFunc(notices, func(n string) bool { return strings.HasPrefix(n, name+": ") })
		failed := err != nil && strings.Contains(err.Error(), "option "+name+" is refused: ")
		if told != (o.effect == notice) || failed != (o.effect == refused) {
			t.Errorf("%s = %v: notices %q, error %v", name, value, notices, err)
		}
	}
}

// sample is a value that an option can have.
func sample(a nomadish.ConfigAttribute) any {
	switch a.Type {
	case nomadish.ConfigBool:
		return true
	case nomadish.ConfigNumber:
		return 1
	case nomadish.ConfigStringList:
		return []any{"x"}
	case nomadish.ConfigStringMap:
		return map[string]any{"x": "y"}
	case nomadish.ConfigBlock, nomadish.ConfigBlockList:
		inner := map[string]any{}
		for name, b := range a.Block {
			if b.Required {
				inner[name] = sample(b)
			}
		}
		if len(inner) == 0 {
			for name, b := range a.Block {
				inner[name] = sample(b)
				break
			}
		}
		return inner
	}
	return "x"
}

// The plugin block says what the node allows; what has no effect is told, and what is unknown
// or can't be is refused by name.
func TestReadPlugin(t *testing.T) {
	cfg, notices, err := ReadPlugin(map[string]any{
		"allow_privileged": true, "allow_caps": []any{"chown"}, "allow_devices": []any{}, "pids_limit": 9, "endpoint": "unix:///x",
		"volumes": []any{map[string]any{"enabled": true, "selinuxlabel": "z"}}, "extra_labels": []any{"job_*"}, "image_pull_timeout": "1m",
		"gc": []any{map[string]any{"dangling_containers": map[string]any{"enabled": false}}}, "disable_log_collection": true,
		"allow_runtimes": []any{"runc", "nvidia"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.AllowPrivileged || !cfg.HostVolumes || !cfg.DisableLogs || cfg.Disabled || cfg.PidsLimit != 9 || cfg.PullTimeout.Minutes() != 1 ||
		!slices.Equal(cfg.AllowCaps, []string{"chown"}) || cfg.AllowDevices == nil || len(cfg.AllowDevices) > 0 || len(cfg.ExtraLabels) != 1 {
		t.Errorf("config %+v", cfg)
	}
	for _, want := range []string{"endpoint: no effect", "selinuxlabel: no effect", "dangling_containers: no effect", `no "nvidia" here`} {
		if said := strings.Join(notices, "\n"); !strings.Contains(said, want) {
			t.Errorf("notices %q lack %q", said, want)
		}
	}
	none, _, err := ReadPlugin(nil)
	if none = none.withDefaults(nil); err != nil || none.AllowPrivileged || none.HostVolumes || none.Disabled || none.AllowDevices != nil {
		t.Errorf("without a block: %+v, %v", none, err)
	}
	for _, tt := range []struct {
		values map[string]any
		want   string
	}{
		{map[string]any{"allow_privilege": true}, "allow_privilege (did you mean allow_privileged?)"},
		{map[string]any{"volumes": map[string]any{"enable": true}}, "volumes: unknown option: enable (did you mean enabled?)"},
		{map[string]any{"userns_remap": "default"}, "option userns_remap is refused"},
		{map[string]any{"gc": map[string]any{"container": false}}, "gc.container: false is refused"},
		{map[string]any{"pids_limit": -1}, "pids_limit: -1 is negative"},
		{map[string]any{"allow_devices": []any{"/dev/["}}, `allow_devices: "/dev/["`},
		{map[string]any{"allow_privileged": "perhaps"}, `"allow_privileged"`},
	} {
		if _, _, err := ReadPlugin(tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v, want %q", tt.values, err, tt.want)
		}
	}
	if cfg, _, err := ReadPlugin(map[string]any{"enabled": false}); err != nil || !cfg.Disabled {
		t.Errorf("disabled: %+v, %v", cfg, err)
	}
}

// A task file of containerd-driver has its own names for some options, and no others.
func TestContainerdOptions(t *testing.T) {
	spec := &drivers.TaskSpec{Config: map[string]any{
		"image": "app", "cwd": "/srv", "host_network": true, "file_limit": 7, "devices": []any{"/dev/null:/dev/x:r", "/dev/zero"},
		"mounts": []any{map[string]any{"type": "tmpfs", "target": "/t", "options": []any{"ro"}}}, "seccomp": true,
	}}
	cfg := Config{}.withDefaults(nil)
	s, err := cfg.settingsOf("containerd", spec)
	if err != nil {
		t.Fatal(err)
	}
	if s.workDir != "/srv" || s.network != hostMode || s.rlimits[0].Hard != 7 || len(s.devices) != 2 || s.devices[0] != (device{"/dev/null", "/dev/x", "r"}) ||
		!s.volumes[0].readOnly || s.unconfined {
		t.Errorf("settings %+v", s)
	}
	if _, err := cfg.settingsOf(Name, spec); err == nil || !strings.Contains(err.Error(), "unknown option: cwd") {
		t.Errorf("as docker: error %v", err)
	}
	spec.Config["seccomp"] = false
	if _, err := cfg.settingsOf("containerd", spec); err == nil || !strings.Contains(err.Error(), "seccomp: false is refused") {
		t.Errorf("without a filter: error %v", err)
	}
}
