//go:build linux

package docker_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/drivertest/probe"
)

// remapping is a node that gives tasks users of their own.
func remapping(c *docker.Config) { c.Users = &container.Pool{} }

// The contract holds of tasks with users of their own as well.
func TestContractRemapped(t *testing.T) {
	drivertest.Run(t, drivertest.Harness{
		New:     func(testing.TB) drivers.Driver { return newDriver(t, remapping) }, // until the suite ends
		Exit:    func(code int) map[string]any { return run("exit", strconv.Itoa(code)) },
		Sleep:   func() map[string]any { return run("sleep") },
		Print:   func(text string) map[string]any { return run("print", text) },
		Prepare: func(_ testing.TB, spec *drivers.TaskSpec) { spec.Cgroup = containertest.Cgroup(spec) },
		Broken:  func() map[string]any { return with(run(), "entrypoint", []any{"/no/such/program"}) },
	})
}

// hostUser returns the user of the host that a process is, and the first and the number of
// those that its container has.
func hostUser(t *testing.T, pid int) (user, first, count int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	var inside int
	if _, err := fmt.Sscan(read(t, dir+"uid_map"), &inside, &first, &count); err != nil || inside != 0 {
		t.Fatalf("uid_map: %v, from %d", err, inside)
	}
	if groups := read(t, dir+"gid_map"); groups != read(t, dir+"uid_map") {
		t.Errorf("gid_map is %q", groups)
	}
	for line := range strings.Lines(read(t, dir+"status")) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			if _, err := fmt.Sscan(ids, &user); err != nil {
				t.Fatal(err)
			}
		}
	}
	return user, first, count
}

// owners returns those of a file on the host as USER:GROUP.
func owners(t *testing.T, path string) string {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
}

// A task's users are others on the host, while its files have the same owners on both sides:
// those of the image, of its directories and of all that is mounted.
func TestRemapped(t *testing.T) {
	host := t.TempDir()
	if err := os.Chmod(host, 0o777); err != nil {
		t.Fatal(err)
	}
	put(t, host+"/given", "mine")
	if err := os.Chown(host+"/given", 1000, 1001); err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, remapping, func(c *docker.Config) { c.HostVolumes = true })
	t.Run("the image", func(t *testing.T) { output(t, d, taskSpec(t, run("exit", "0"))) })
	before := shared.Calm(t)
	for _, tt := range []struct {
		user, status, files string
		uid                 int
	}{
		{"", "Uid: 0 0 0 0\n", "0:0", 0},
		{"worker", "Uid: 1000 1000 1000 1000\n", "1000:1001", 1000},
		{"7:8", "Uid: 7 7 7 7\n", "7:8", 7},
	} {
		t.Run("user "+tt.user, func(t *testing.T) {
			spec := taskSpec(t, with(run("status", "Uid", "stat", "/srv/file", "cat", "/srv/file", "stat", "/host/given",
				"write", "/alloc/a", "1", "write", "/local/b", "2", "write", "/host/c", "3", "write", "/vol/d", "4",
				"write", "/dev/stdout", "anew\n", "write", "/proc/sys/kernel/hostname", "x", "print", "ready", "sleep"),
				"volumes", []any{host + ":/host"}, "mount", []any{map[string]any{"type": "tmpfs", "target": "/vol"}}))
			spec.User = tt.user
			for _, dir := range []string{spec.Dir.Alloc, spec.Dir.Local} {
				if err := os.Chmod(dir, 0o777); err != nil {
					t.Fatal(err)
				}
			}
			h := start(t, d, spec)
			ready(t, spec)
			want := tt.status + "644 0:0\n" + testImage + "644 1000:1001\nanew\n"
			if got := drivertest.Said(t, spec.Stdout); !strings.HasPrefix(got, want) || !strings.Contains(got, "read-only file system") {
				t.Errorf("the task sees %q, want %q", got, want)
			}
			if user, first, count := hostUser(t, h.PID); user != first+tt.uid || first < 0x7000_0000 || count != 65536 {
				t.Errorf("on the host it is user %d, of %d from %d on", user, count, first)
			}
			for _, file := range []string{spec.Dir.Alloc + "/a", spec.Dir.Local + "/b", host + "/c"} {
				if got := owners(t, file); got != tt.files {
					t.Errorf("%s belongs to %s, want %s", file, got, tt.files)
				}
			}
			var out bytes.Buffer
			code, err := d.Exec(testContext(t), h, &drivers.ExecRequest{Command: []string{"/task", "status", "Uid"}, Stdout: &out})
			if err != nil || code != 0 || out.String() != tt.status {
				t.Errorf("a command in it: exit %d, %v, %q", code, err, out.String())
			}
			if u, err := d.Stats(testContext(t), h); err != nil || u.PIDs != 1 {
				t.Errorf("Stats: %+v, %v", u, err)
			}
			if err := os.Remove(host + "/c"); err != nil {
				t.Fatal(err)
			}
		})
	}
	shared.Returned(t, before)
}

// The tasks of an allocation have the same users, and no other allocation has one of them.
func TestRangePerAllocation(t *testing.T) {
	d := newDriver(t, func(c *docker.Config) { c.Users = &container.Pool{Base: 1 << 20, Size: 2 << 16} })
	firstOf := func(spec *drivers.TaskSpec) int {
		_, first, _ := hostUser(t, start(t, d, spec).PID)
		return first
	}
	one, two, three := taskSpec(t, run("sleep")), taskSpec(t, run("sleep")), taskSpec(t, run("sleep"))
	again := *one
	again.ID = one.AllocID + "/other/0"
	again.Cgroup = containertest.Cgroup(&again)
	a, b := firstOf(one), firstOf(two)
	if a == b || min(a, b) != 1<<20 || max(a, b) != 1<<20+1<<16 {
		t.Errorf("two allocations have the users from %d and from %d on", a, b)
	}
	if c := firstOf(&again); c != a {
		t.Errorf("another task of the allocation has the users from %d on, want %d", c, a)
	}
	if _, err := d.Start(testContext(t), three); err == nil || !strings.Contains(err.Error(), "all 2 ranges of users are taken") || !drivers.IsRecoverable(err) {
		t.Errorf("with no users left: %v", err)
	}
	// An agent that was restarted knows which are taken.
	if err := d.Remove(testContext(t), &drivers.Handle{ID: two.ID}); err != nil {
		t.Fatal(err)
	}
	d = newDriver(t, func(c *docker.Config) { c.Users = &container.Pool{Base: 1 << 20, Size: 2 << 16} })
	if c := firstOf(three); c != b {
		t.Errorf("the next allocation has the users from %d on, want %d", c, b)
	}
}

// In its group's network, a task sees that network's interfaces and no others, has the settings
// that its job asks for, and can listen on the low ports that the agent opens to all.
func TestRemappedNetwork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "--net="+path, "true").CombinedOutput()
	if err != nil {
		t.Fatalf("unshare: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
	d := newDriver(t, remapping)
	for range 2 { // what one has changed, the next finds
		spec := taskSpec(t, with(run("list", "/sys/class/net", "list", "/sys/fs/cgroup", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start",
			"cat", "/proc/sys/kernel/shmmni", "write", "/sys/x", "1", "list", "/sys/kernel/debug"),
			"sysctl", []any{map[string]any{"net.ipv4.ip_unprivileged_port_start": 7, "kernel.shmmni": 99}}))
		spec.Network = &drivers.Network{Namespace: path, Hostname: "pod"}
		got := output(t, d, spec)
		if !strings.HasPrefix(got, "lo ") || !strings.Contains(got, "7\n99\n") || !strings.Contains(got, "open /sys/x: ") {
			t.Errorf("the task sees %q", got)
		}
	}
	if host := read(t, "/proc/sys/net/ipv4/ip_unprivileged_port_start"); host == "7\n" {
		t.Error("the host's setting was changed")
	}
}

// What can't be had with users of their own is refused; privileged tasks, and those that may,
// are without.
func TestRemapModes(t *testing.T) {
	lenient := func(c *docker.Config) { c.AllowPrivileged, c.HostVolumes = true, true }
	for _, tt := range []struct {
		name   string
		config map[string]any
		user   string
		change []func(*docker.Config)
		want   string // of the error; empty: users of its own, "0": the host's
	}{
		{name: "asked for", config: map[string]any{"userns_mode": "private"}},
		{name: "asked for, and not there", config: map[string]any{"userns_mode": "private"}, change: []func(*docker.Config){func(c *docker.Config) { c.Users = nil }}, want: "this node gives tasks no users of their own"},
		{name: "the host's", config: map[string]any{"userns_mode": "host"}, want: "userns_mode: host is refused: this node does not allow privileged tasks"},
		{name: "the host's where allowed", config: map[string]any{"userns_mode": "host"}, change: []func(*docker.Config){lenient}, want: "0"},
		{name: "privileged", config: map[string]any{"privileged": true}, change: []func(*docker.Config){lenient}, want: "0"},
		{name: "privileged and asked for", config: map[string]any{"privileged": true, "userns_mode": "private"}, change: []func(*docker.Config){lenient}, want: "userns_mode: private is refused: the task is privileged"},
		{name: "no such mode", config: map[string]any{"userns_mode": "auto"}, want: `userns_mode: "auto" is not supported`},
		{name: "host's processes", config: map[string]any{"pid_mode": "host"}, change: []func(*docker.Config){lenient}, want: "pid_mode: host can't go with users of its own"},
		{name: "host's IPC", config: map[string]any{"ipc_mode": "host"}, change: []func(*docker.Config){lenient}, want: "ipc_mode: host can't go with users of its own"},
		{name: "host's names", config: map[string]any{"uts_mode": "host"}, change: []func(*docker.Config){lenient}},
		{name: "mount for the host", config: map[string]any{"volumes": []any{"/srv:/data:rshared"}}, change: []func(*docker.Config){lenient}, want: "mount /data: what is mounted in a user namespace"},
		{name: "devices", config: map[string]any{"devices": mount("host_path", "/dev/full", "container_path", "/dev/mine")}},
		{name: "closed device", config: map[string]any{"devices": mount("host_path", "/dev/console")}, want: "can't open /dev/console"},
		{name: "user beyond", user: "65536", want: "user or group 65536: with a user namespace there are those below 65536"},
		{name: "terminal", config: map[string]any{"tty": true}},
		{name: "read-only", config: map[string]any{"readonly_rootfs": true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDriver(t, append([]func(*docker.Config){remapping}, tt.change...)...)
			spec := taskSpec(t, run("open", "/dev/mine", "print", "ready", "sleep"))
			maps.Copy(spec.Config, tt.config)
			spec.User = tt.user
			if tt.want != "" && tt.want != "0" {
				if h, err := d.Start(testContext(t), spec); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("Start: %+v, %v; want an error with %q", h, err, tt.want)
				}
				return
			}
			h := start(t, d, spec)
			ready(t, spec)
			if user, _, _ := hostUser(t, h.PID); (user == 0) != (tt.want == "0") {
				t.Errorf("it is the host's user %d", user)
			}
			if _, devices := tt.config["devices"]; devices && !strings.HasPrefix(drivertest.Said(t, spec.Stdout), "open\n") {
				t.Errorf("the device: %s", drivertest.Said(t, spec.Stdout))
			}
		})
	}
}

// The node says whether it gives tasks users of their own, whether it could, and why not.
func TestRemapFingerprint(t *testing.T) {
	for _, tt := range []struct {
		change []func(*docker.Config)
		want   map[string]string
	}{
		{nil, map[string]string{"userns": "false", "userns.supported": "true", "userns.reason": "not enabled"}},
		{[]func(*docker.Config){remapping}, map[string]string{"userns": "true", "userns.supported": "true", "userns.reason": ""}},
	} {
		fp, err := newDriver(t, tt.change...).Fingerprint(testContext(t))
		if err != nil || fp.Health != drivers.Healthy {
			t.Fatalf("Fingerprint: %+v, %v", fp, err)
		}
		for name, want := range tt.want {
			if got := fp.Attributes["driver.docker."+name]; got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
}

// What a task with users of its own can reach beyond itself is what the list says.
func TestProbesRemapped(t *testing.T) {
	if !shared.Seccomp {
		t.Skip("this build of runc has no seccomp")
	}
	program := filepath.Join(t.TempDir(), "probe")
	if err := probe.Build(program); err != nil {
		t.Fatal(err)
	}
	spec := taskSpec(t, with(run(), "entrypoint", []any{"/local/probe"}, "network_mode", "none"))
	if err := os.Link(program, filepath.Join(spec.Dir.Local, "probe")); err != nil {
		t.Fatal(err)
	}
	probe.Compare(t, output(t, newDriver(t, remapping), spec), "testdata/probes-users.txt")
}
