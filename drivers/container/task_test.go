//go:build linux

package container_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
)

// A task of a group with a network is in the group's namespace, and has the host name, hosts
// and resolver that come with it. What it writes into these files stays with it.
func TestNetworkOfTheGroup(t *testing.T) {
	d := newDriver(t)
	dir := t.TempDir()
	hosts, resolv := filepath.Join(dir, "hosts"), filepath.Join(dir, "resolv")
	for path, text := range map[string]string{hosts: "192.0.2.7 pod\n", resolv: "nameserver 192.0.2.53\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	namespace := newNamespace(t)
	spec := world.Spec(t, run("cat", "/proc/sys/kernel/hostname", "cat", "/etc/hostname", "cat", "/etc/hosts", "cat", "/etc/resolv.conf",
		"write", "/etc/hosts", "mine", "link", "/proc/self/ns/net"))
	spec.Network = &drivers.Network{Namespace: namespace, Hostname: "pod", Hosts: hosts, Resolv: resolv}
	want := "pod\npod\n192.0.2.7 pod\nnameserver 192.0.2.53\n" + netOf(t, namespace) + "\n"
	if got := containertest.Output(t, d, spec); got != want {
		t.Errorf("the task sees %q, want %q", got, want)
	}
	if got := containertest.Read(t, hosts); got != "192.0.2.7 pod\n" {
		t.Errorf("the task changed the group's hosts file to %q", got)
	}
}

// newNamespace makes a network namespace, kept by a mount.
func newNamespace(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "--net="+path, "true").CombinedOutput()
	if err != nil {
		t.Fatalf("unshare: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", path).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return path
}

// netOf says which network namespace a file keeps, as the kernel names it.
func netOf(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "nsenter", "--net="+path, "readlink", "/proc/self/ns/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Without a network a task can have a namespace of its own with nothing but loopback.
func TestAlone(t *testing.T) {
	d := newDriver(t)
	d.change = func(p *container.Plan) { p.Alone = true }
	spec := world.Spec(t, run("cat", "/proc/net/dev", "cat", "/etc/hosts"))
	got := containertest.Output(t, d, spec)
	if strings.Count(got, ": ") != 1 || !strings.Contains(got, "lo:") || !strings.HasSuffix(got, "127.0.0.1\tlocalhost\n::1\tlocalhost\n") {
		t.Errorf("the task sees %q, want loopback only", got)
	}
}

// The plan's mounts lie over the root's, and the task's directories between them.
func TestOrderOfMounts(t *testing.T) {
	d := newDriver(t)
	below, above := t.TempDir(), t.TempDir()
	for _, dir := range []string{below, above} {
		if err := os.WriteFile(filepath.Join(dir, "name"), []byte(filepath.Base(dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.change = func(p *container.Plan) {
		p.Root.Mounts = []specs.Mount{container.Bind(below, "/etc", true, "rprivate"), container.Bind(below, "/below", true, "rprivate")}
		p.Mounts = []specs.Mount{container.Bind(above, "/below", true, "rprivate")}
	}
	for _, file := range []string{"hosts", "resolv.conf", "hostname"} { // a read-only mount has to have them
		if err := os.WriteFile(filepath.Join(below, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spec := world.Spec(t, run("cat", "/etc/name", "cat", "/below/name", "write", "/etc/hosts", "written", "write", "/etc/name", "x"))
	want := filepath.Base(below) + filepath.Base(above) + "open /etc/name: read-only file system\n"
	if got := containertest.Output(t, d, spec); got != want {
		t.Errorf("the task sees %q, want %q", got, want)
	}
}

// A user is a name or number of the task's file system, and no number that wraps around.
func TestLookUp(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/:\nworker:x:1000:1001::/home:\n", "group": "root:x:0:\nwork:x:1001:\nextra:x:2000:worker\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		user string
		uid  int // -1: refused
		gid  int
	}{
		{"", 0, 0},
		{"worker", 1000, 1001},
		{"1000", 1000, 1001},
		{"7:8", 7, 8},
		{"worker:extra", 1000, 2000},
		{"nobody", -1, 0},
		{"4294967296", -1, 0},
		{"4294967295", -1, 0},
		{"-1", -1, 0},
		{" 0", -1, 0},
		{"0 ", -1, 0},
		{"0x0", -1, 0},
		{"+0", -1, 0},
		{"00", -1, 0},
		{"0:4294967296", -1, 0},
		{"0:-1", -1, 0},
		{"1000:+0", -1, 0},
		{"root\n", -1, 0},
		{"0:0:0", -1, 0},
	} {
		u, err := container.LookUp(dir, tt.user, nil)
		if refused := tt.uid < 0; (err != nil) != refused || !refused && (int(u.UID) != tt.uid || int(u.GID) != tt.gid) {
			t.Errorf("user %q: %+v, %v; want %d:%d", tt.user, u, err, tt.uid, tt.gid)
		}
	}
	if _, err := container.LookUp(dir, "worker", []string{"-5"}); err == nil {
		t.Error("a negative group is taken")
	}
}
