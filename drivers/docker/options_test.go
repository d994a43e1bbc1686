//go:build linux

package docker_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// Options of the container do what they say.
func TestOptions(t *testing.T) {
	privileged := newDriver(t, func(c *docker.Config) { c.AllowPrivileged = true })
	d := newDriver(t)
	for _, tt := range []struct {
		name   string
		d      *docker.Driver // default: one of a node that allows nothing
		config map[string]any
		change func(*drivers.TaskSpec)
		want   string
	}{
		{name: "device", config: with(run("open", "/dev/mine", "open", "/dev/fuse"), "devices", mount("host_path", "/dev/fuse", "container_path", "/dev/mine")), want: "open\nopen /dev/fuse: no such file or directory\n"},
		{name: "device that may not be read", config: with(run("open", "/dev/fuse"), "devices", mount("host_path", "/dev/fuse", "cgroup_permissions", "w")), want: "open /dev/fuse: operation not permitted\n"},
		{name: "directory of devices", config: with(run("list", "/dev/x"), "devices", mount("host_path", "/dev/net", "container_path", "/dev/x")), want: "tun "},
		{name: "shared memory", config: with(run("cat", "/proc/self/mountinfo"), "shm_size", 8<<20), want: "size=8192k"},
		{name: "no shared memory", config: with(run("list", "/dev/shm"), "ipc_mode", "none"), want: "open /dev/shm: no such file or directory\n"},
		{name: "own control groups", config: with(run("cat", "/proc/self/cgroup"), "cgroupns", "private"), want: ":memory:/\n"},
		{name: "the host's control groups", config: with(run("cat", "/proc/self/cgroup"), "cgroupns", "host"), want: "nmd-"},
		{name: "own network", config: with(run("list", "/sys/class/net"), "network_mode", "none"), want: "lo "},
		{name: "kernel settings", config: with(run("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start"), "network_mode", "none", "sysctl", []any{map[string]any{"net.ipv4.ip_unprivileged_port_start": 7}}), want: "7\n"},
		{name: "limits", config: with(run("limit", "nofile"), "ulimit", map[string]any{"nofile": "200:200"}), want: "200 200\n"},
		{name: "entrypoint as text", config: with(run("more"), "entrypoint", "/task", "command", "print"), want: "more"},
		{name: "signs stay in their argument", config: run("print", "-x;$(id)\n`id`"), want: "-x;$(id)\n`id`"},
		{name: "host name in the environment", config: with(run("env", "HOSTNAME"), "hostname", "box"), want: "HOSTNAME=box\n"},
		{name: "names of hosts", config: with(run("cat", "/etc/hosts"), "network_mode", "none", "extra_hosts", []any{"db:192.0.2.7", "six:[2001:db8::1]"}), want: "192.0.2.7\tdb\n2001:db8::1\tsix\n"},
		{name: "no output", config: with(run("print", "unheard"), "logging", map[string]any{"type": "none"}), want: ""},
		{name: "work_dir", config: with(run("cat", "file"), "work_dir", "/srv"), want: testImage},
		{name: "privileged", d: privileged, config: with(run("status", "CapBnd", "status", "Seccomp", "open", "/dev/fuse", "write", "/proc/sys/kernel/domainname", "(none)"), "privileged", true), want: "Seccomp: 0\nopen\n"},
		{name: "all paths", d: privileged, config: with(run("open", "/proc/kcore"), "security_opt", []any{"systempaths=unconfined"}), want: "open"},
		{name: "processes of the host", d: privileged, config: with(run("first"), "pid_mode", "host"), want: "false\n"},
		{name: "host name of the host", d: privileged, config: with(run("cat", "/proc/sys/kernel/hostname"), "uts_mode", "host"), want: hostname(t)},
		{
			name: "filter in a file", d: privileged,
			config: with(run("mkdir", "/x", "write", "/y", "1", "cat", "/y"), "security_opt", []any{"seccomp=local/filter.json"}),
			change: func(s *drivers.TaskSpec) {
				put(t, s.Dir.Local+"/filter.json", `{"defaultAction":"SCMP_ACT_ALLOW","archMap":[{"architecture":"SCMP_ARCH_X86_64"},{"architecture":"SCMP_ARCH_AARCH64"}],
					"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":95,"excludes":{"caps":["CAP_SYS_ADMIN"]}},
					{"names":["openat"],"action":"SCMP_ACT_ERRNO","includes":{"caps":["CAP_SYS_ADMIN"]}}]}`)
			},
			want: "mkdir /x: operation not supported\n1",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "filter") && !shared.Seccomp {
				t.Skip("this build of runc has no seccomp")
			}
			if tt.d == nil {
				tt.d = d
			}
			spec := taskSpec(t, tt.config)
			if tt.change != nil {
				tt.change(spec)
			}
			got := output(t, tt.d, spec)
			if !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("the task sees %q, want %q in it", got, tt.want)
			}
		})
	}
}

func hostname(t *testing.T) string {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name + "\n"
}

// The first process of a container with init is small, passes signals on, and ends with the
// task's code.
func TestInit(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, with(run("first", "trap", "15", "41"), "init", true))
	h := start(t, d, spec)
	ready(t, spec)
	status := read(t, filepath.Join("/proc", strconv.Itoa(h.PID), "status"))
	if !strings.Contains(status, "Name:\tnomadish-init") || !strings.Contains(status, "Threads:\t1\n") {
		t.Errorf("the first process: %s", status)
	}
	if err := d.Stop(testContext(t), h, "", time.Minute); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, d, h); exit.Code != 41 {
		t.Errorf("exit %+v, want code 41", exit)
	}
	if got := drivertest.Said(t, spec.Stdout); got != "false\nready\n" {
		t.Errorf("output %q", got)
	}
}

// Standard input ends at once, or is open where the task says so.
func TestStdin(t *testing.T) {
	d := newDriver(t)
	if got := output(t, d, taskSpec(t, run("stdin", "print", "ended"))); got != "ended" {
		t.Errorf("output %q", got)
	}
	spec := taskSpec(t, with(run("print", "ready", "stdin", "print", "ended"), "interactive", true))
	h := start(t, d, spec)
	ready(t, spec)
	if err := d.Stop(testContext(t), h, "SIGKILL", time.Minute); err != nil {
		t.Fatal(err)
	}
	if got := drivertest.Said(t, spec.Stdout); got != "ready" {
		t.Errorf("output %q: its input has ended", got)
	}
}

// A task can join the network of another of its allocation, by the name of the task or of its
// container, and of no other.
func TestNetworkOfPeer(t *testing.T) {
	d := newDriver(t)
	first := taskSpec(t, with(run("link", "/proc/self/ns/net", "print", "ready", "sleep"), "network_mode", "none", "hostname", "first"))
	h := start(t, d, first)
	ready(t, first)
	join := func(allocID, name string) *drivers.TaskSpec {
		spec := taskSpec(t, with(run("link", "/proc/self/ns/net", "print", "ready"), "network_mode", "container:"+name))
		spec.AllocID, spec.Task = allocID, "second"
		spec.ID = allocID + "/second" + strings.ReplaceAll(name, "/", "-") + "/0"
		return spec
	}
	for _, name := range []string{"task", "task-" + first.AllocID} {
		if got, want := output(t, d, join(first.AllocID, name)), drivertest.Said(t, first.Stdout); got != want {
			t.Errorf("by %s: network %q, want %q", name, got, want)
		}
	}
	if _, err := d.Start(testContext(t), join("other", "task")); err == nil || !strings.Contains(err.Error(), `no task "task"`) {
		t.Errorf("of another allocation: %v", err)
	}
	if err := d.Stop(testContext(t), h, "", 0); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(testContext(t), join(first.AllocID, "/task")); !drivers.IsRecoverable(err) {
		t.Errorf("of an ended one: %v, want an error that may go away", err)
	}
}

// The agent is told which network a task wants, with the ports by their labels.
func TestTaskNetwork(t *testing.T) {
	d := newDriver(t)
	ports := []drivers.Port{{Label: "http", Host: 20001, To: 80}, {Label: "db", Host: 20002}}
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   string // mode and ports, or
		fails  string
	}{
		{name: "default", config: run(), want: "bridge"},
		{name: "ports", config: with(run(), "ports", []any{"http", "db"}), want: "bridge http:20001>80 db:20002>20002"},
		{name: "older form", config: with(run(), "port_map", []any{map[string]any{"db": 5432}}), want: "bridge db:20002>5432"},
		{name: "both forms", config: with(run(), "ports", []any{"http"}, "port_map", map[string]any{"db": 5432}), fails: "only one of them"},
		{name: "no such port", config: with(run(), "ports", []any{"nope"}), fails: `no network block has a port "nope"`},
		{name: "host", config: with(run(), "network_mode", "host", "ports", []any{"http"}), want: ""},
		{name: "none", config: with(run(), "network_mode", "none"), want: ""},
		{name: "peer", config: with(run(), "network_mode", "container:other"), want: ""},
		{name: "itself", config: with(run(), "network_mode", "container:task"), fails: "own network"},
		{name: "a network of Docker's", config: with(run(), "network_mode", "backend"), fails: `no network "backend"`},
		{name: "settings of its own network", config: with(run(), "sysctl", map[string]any{"net.core.somaxconn": 1}), want: "bridge"},
	} {
		spec := taskSpec(t, tt.config)
		spec.Ports = ports
		request, err := d.TaskNetwork(spec)
		if tt.fails != "" {
			if err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("%s: error %v, want %q", tt.name, err, tt.fails)
			}
			continue
		}
		got := ""
		if request != nil {
			got = request.Mode
			for _, p := range request.Ports {
				got += " " + p.Label + ":" + strconv.Itoa(p.Host) + ">" + strconv.Itoa(p.To)
			}
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// No label of an image or a task is one of the runtime's or the agent's.
func TestLabels(t *testing.T) {
	path := filepath.Join(filepath.Dir(shared.archive), "labels.tar")
	bad := map[string]string{
		"nomadish.dev/task": "other/task/0", "nomadish.dev/abandoned": "true", "containerd.io/restart.status": "running",
		"io.containerd.runc.v2.group": "other", "fine": "yes",
	}
	if err := shared.writeImage(path, "nomadish.dev/labels:1", archive.Config{Entrypoint: []string{"/task"}, Labels: bad}); err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, func(c *docker.Config) { c.ExtraLabels = []string{"task_*"} })
	labels := map[string]any{}
	for name, value := range bad {
		labels[name] = value
	}
	config := with(run("sleep"), "image", "nomadish.dev/labels:1", "load", path, "labels", labels)
	spec := taskSpec(t, config)
	start(t, d, spec)
	c, ctx, err := d.Client(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	ct, err := c.LoadContainer(ctx, spec.Key())
	if err != nil {
		t.Fatal(err)
	}
	info, err := ct.Labels(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"fine": "yes", "nomadish.dev/task": spec.ID, "nomadish.dev/abandoned": "", "containerd.io/restart.status": "",
		"io.containerd.runc.v2.group": "", "com.hashicorp.nomad.task_name": "task", "com.hashicorp.nomad.job_id": "",
		"com.hashicorp.nomad.alloc_id": spec.AllocID,
	} {
		if got := info[name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}
}
