//go:build linux

package docker_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/docker"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// volume is a list of one line.
func volume(lines ...string) []any {
	out := make([]any, len(lines))
	for i, l := range lines {
		out[i] = l
	}
	return out
}

func mount(options ...any) []any { return []any{with(map[string]any{}, options...)} }

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Mounts show the task what they name: files of its own directories, and those of the host
// where the node allows it.
func TestVolumes(t *testing.T) {
	host := t.TempDir()
	put(t, host+"/file", "host")
	d := newDriver(t, func(c *docker.Config) { c.HostVolumes = true })
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   string
	}{
		{name: "relative file", config: with(run("cat", "/etc/app.conf"), "volumes", volume("local/app.conf:/etc/app.conf")), want: "conf"},
		{name: "by the task's own path", config: with(run("cat", "/etc/app.conf"), "volumes", volume("/local/app.conf:/etc/app.conf")), want: "conf"},
		{name: "of the group", config: with(run("cat", "/shared/file"), "volumes", volume("../alloc:/shared")), want: "group"},
		{
			name:   "made when it is not there",
			config: with(run("write", "/data/new", "x", "stat", "/data", "cat", "/data/new"), "volumes", volume("store/of/app:/data")),
			want:   "755 0:0\nx",
		},
		{
			name:   "read-only",
			config: with(run("write", "/data/app.conf", "x"), "volumes", volume("local:/data:ro,z")),
			want:   "open /data/app.conf: read-only file system\n",
		},
		{name: "a socket of the allocation's own", config: with(run("stat", "/run/docker.sock"), "volumes", volume("../alloc/docker.sock:/run/docker.sock")), want: "755 0:0\n"},
		{name: "of the host", config: with(run("cat", "/data/file"), "volumes", volume(host+":/data:rslave")), want: "host"},
		{
			name:   "bind",
			config: with(run("cat", "/data/app.conf", "write", "/data/app.conf", "x"), "mount", mount("type", "bind", "source", "local", "target", "/data/", "readonly", true)),
			want:   "confopen /data/app.conf: read-only file system\n",
		},
		{
			name:   "older name, as a block",
			config: with(run("cat", "/data/app.conf"), "mounts", map[string]any{"type": "bind", "source": "local", "target": "/data", "bind_options": []any{map[string]any{"propagation": "private"}}}),
			want:   "conf",
		},
		{
			name:   "tmpfs",
			config: with(run("stat", "/scratch", "write", "/scratch/x", "y", "cat", "/scratch/x"), "readonly_rootfs", true, "mount", mount("type", "tmpfs", "target", "/scratch", "tmpfs_options", map[string]any{"size": 1 << 20, "mode": "0700"})),
			want:   "700 0:0\ny",
		},
		{
			name: "inner ones over outer ones",
			config: with(run("list", "/data", "cat", "/data/app.conf"),
				"volumes", volume("local/app.conf:/data/app.conf", "secrets:/data")),
			want: "app.conf conf",
		},
		{
			name:   "below the agent's own files",
			config: with(run("cat", "/etc/hostname", "cat", "/etc/app.conf"), "hostname", "box", "volumes", volume("local:/etc")),
			want:   "box\nconf",
		},
		{name: "over the agent's own files", config: with(run("cat", "/etc/hosts"), "volumes", volume("local/app.conf:/etc/hosts")), want: "conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, tt.config)
			put(t, spec.Dir.Local+"/app.conf", "conf")
			put(t, spec.Dir.Alloc+"/file", "group")
			if got := output(t, d, spec); got != tt.want {
				t.Errorf("the task sees %q, want %q", got, tt.want)
			}
		})
	}
	if left, err := os.ReadDir(filepath.Join(shared.Layout().Run, "stage")); err != nil || len(left) > 0 {
		t.Errorf("left on the stage: %v, %v", left, err)
	}
}

// What leads out of the allocation's directory is refused, and so is a path of the host that
// the node does not allow, and what controls the host.
func TestVolumesRefuse(t *testing.T) {
	closed := newDriver(t)
	open := newDriver(t, func(c *docker.Config) { c.HostVolumes = true })
	canary := filepath.Join(t.TempDir(), "canary")
	put(t, canary, "secret")
	socket := filepath.Join(t.TempDir(), "docker.sock")
	put(t, socket, "")
	for _, tt := range []struct {
		name   string
		d      *docker.Driver
		config map[string]any
		want   string
	}{
		{name: "host", d: closed, config: with(run(), "volumes", volume("/etc:/data")), want: "volumes[0]: the host's path /etc is refused"},
		{name: "host by mount", d: closed, config: with(run(), "mount", mount("type", "bind", "source", "/etc", "target", "/data")), want: "mount[0]: the host's path /etc is refused"},
		{name: "dots", d: closed, config: with(run(), "volumes", volume("../../../../etc:/data")), want: "leads out of the allocation's directory"},
		{name: "dots of the task's own path", d: closed, config: with(run(), "volumes", volume("/local/../etc:/data")), want: "the host's path /etc is refused"},
		{name: "link", d: closed, config: with(run(), "volumes", volume("local/link:/data")), want: "a link leads out"},
		{name: "link in the middle", d: closed, config: with(run(), "volumes", volume("local/dir/canary:/data")), want: "a link leads out"},
		{name: "link upwards", d: closed, config: with(run(), "volumes", volume("local/up/etc:/data")), want: "a link leads out"},
		{name: "link of the process", d: closed, config: with(run(), "volumes", volume("local/proc/etc:/data")), want: "a link leads out"},
		{name: "dangling link", d: closed, config: with(run(), "volumes", volume("local/dangling:/data")), want: "volumes[0]: "},
		{name: "shared with the host", d: closed, config: with(run(), "volumes", volume("local:/data:shared")), want: "propagation rshared is refused"},
		{name: "nothing there", d: closed, config: with(run(), "mount", mount("type", "bind", "source", "local/nothing", "target", "/data")), want: "no such file"},
		{name: "over the task's own", d: closed, config: with(run(), "volumes", volume("local:/secrets")), want: "/secrets is the task's own"},
		{name: "over all", d: closed, config: with(run(), "volumes", volume("local:/x/..")), want: "/ is the task's own"},
		{name: "twice", d: closed, config: with(run(), "volumes", volume("local:/a", "secrets:/a/")), want: "/a is a target twice"},
		{name: "relative target", d: closed, config: with(run(), "volumes", volume("local:a")), want: `"a" is no absolute path`},
		{name: "unknown mode", d: closed, config: with(run(), "volumes", volume("local:/a:rx")), want: `mode "rx" is not known`},
		{name: "name of a volume", d: closed, config: with(run(), "mount", mount("source", "../x", "target", "/a")), want: `"../x" is no name of a volume`},
		{name: "option as a name", d: closed, config: with(run(), "mount", mount("source", "-v", "target", "/a")), want: `"-v" is no name`},
		{name: "volume driver", d: closed, config: with(run(), "mount", mount("source", "x", "target", "/a", "volume_options", map[string]any{"driver_config": map[string]any{"name": "pxd"}})), want: `no volume driver "pxd"`},
		{name: "socket of Docker", d: open, config: with(run(), "volumes", volume("/var/run/docker.sock:/var/run/docker.sock")), want: "controls this host"},
		{name: "socket behind a link", d: open, config: with(run(), "volumes", volume(filepath.Dir(socket)+"/link:/x")), want: "controls this host"},
		{name: "the runtime's", d: open, config: with(run(), "volumes", volume(shared.Layout().Run+":/x")), want: "controls this host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, tt.config)
			for name, to := range map[string]string{
				spec.Dir.Local + "/link": canary, spec.Dir.Local + "/dir": filepath.Dir(canary), spec.Dir.Local + "/up": "../../../../../../..",
				spec.Dir.Local + "/proc": "/proc/self/root", spec.Dir.Local + "/dangling": "/nowhere/at/all", filepath.Dir(socket) + "/link": socket,
			} {
				_ = os.Remove(name)
				if err := os.Symlink(to, name); err != nil {
					t.Fatal(err)
				}
			}
			h, err := tt.d.Start(testContext(t), spec)
			if err == nil {
				_ = tt.d.Remove(testContext(t), h)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := os.Stat("/nowhere"); err == nil {
		t.Error("a link made a directory of the host")
	}
}

// Who may have the host may have its sockets.
func TestControlAllowed(t *testing.T) {
	d := newDriver(t, func(c *docker.Config) { c.HostVolumes, c.AllowPrivileged = true, true })
	socket := filepath.Join(t.TempDir(), "docker.sock")
	put(t, socket, "socket")
	if got := output(t, d, taskSpec(t, with(run("cat", "/docker.sock"), "volumes", volume(socket+":/docker.sock")))); got != "socket" {
		t.Errorf("the task sees %q", got)
	}
}

// A named volume outlives its tasks and is the same for all; one without a name, and those of
// the image, go with their container. New ones have what the image has at their targets.
func TestKeptVolumes(t *testing.T) {
	path := filepath.Join(filepath.Dir(shared.archive), "volumes.tar")
	err := shared.writeImage(path, "nomadish.dev/volumes:1", archive.Config{
		Entrypoint: []string{"/task"}, Volumes: map[string]struct{}{"/var/app": {}, "/srv": {}}, Labels: map[string]string{"a": "b"},
	}, archive.File{Path: "/var/app/seed", Mode: 0o600, Content: []byte("seed")})
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t)
	task := func(volumes any, args ...string) string {
		t.Helper()
		config := with(run(args...), "image", "nomadish.dev/volumes:1", "load", path, "readonly_rootfs", true, "mount", volumes)
		spec := taskSpec(t, config)
		h := start(t, d, spec)
		if exit := wait(t, d, h); !exit.Successful() {
			t.Errorf("exit %+v", exit)
		}
		if err := d.Remove(testContext(t), h); err != nil {
			t.Error(err)
		}
		return drivertest.Said(t, spec.Stdout)
	}
	cut := filepath.Join(shared.Layout().Data, "volumes", "named", "app-data", "new", "half") // filled by an agent that died
	put(t, cut, "x")
	seed := []string{"cat", "/var/app/seed", "stat", "/var/app/seed", "write", "/var/app/seed", "grown"}
	named := mount("source", "app-data", "target", "/var/app")
	for _, tt := range []struct {
		name, want string
		volumes    any
		args       []string
	}{
		{"of the image", "seed600 0:0\n", nil, seed},
		{"of the image, again", "seed600 0:0\n", nil, seed},
		{"the other of the image", "nomadish.dev/volumes:1", nil, []string{"cat", "/srv/file"}},
		{"named", "seed600 0:0\n", named, seed},
		{"named, again", "grown600 0:0\n", named, seed},
		{"named, elsewhere", "grown", mount("source", "app-data", "target", "/x", "readonly", true), []string{"cat", "/x/seed"}},
		{"empty", "", mount("source", "app-empty", "target", "/var/app", "volume_options", map[string]any{"no_copy": true}), []string{"list", "/var/app"}},
		{"without a name", "seed600 0:0\n", mount("target", "/var/app"), seed},
	} {
		if got := task(tt.volumes, tt.args...); got != tt.want {
			t.Errorf("%s: the task sees %q, want %q", tt.name, got, tt.want)
		}
	}
	if _, err := os.Stat(cut); err == nil {
		t.Error("what an agent left when it died is still there")
	}
	for dir, want := range map[string]int{"own": 0, "named": 2} {
		left, err := os.ReadDir(filepath.Join(shared.Layout().Data, "volumes", dir))
		if err != nil || len(left) != want {
			t.Errorf("volumes %s: %v, %v; want %d", dir, left, err, want)
		}
	}
}

// What an agent left of starts that it did not live to end is reaped, mounts before files.
func TestReapVolumes(t *testing.T) {
	d := newDriver(t)
	own := filepath.Join(shared.Layout().Data, "volumes", "own")
	kept := "a/kept/0"
	for _, key := range []string{drivers.Key("a/gone/0"), drivers.Key(kept)} {
		put(t, filepath.Join(own, key, "0", "data", "file"), "x")
	}
	if err := d.Reap(testContext(t), map[string]bool{kept: true}); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(own)
	if err != nil || len(left) != 1 || left[0].Name() != drivers.Key(kept) {
		t.Errorf("left %v, %v; want that of the kept task", left, err)
	}
	if err := os.RemoveAll(own); err != nil {
		t.Fatal(err)
	}
}

// What stands on a stage when an agent dies is taken away, and not what it was mounted from.
func TestReapStage(t *testing.T) {
	d := newDriver(t)
	source, at := t.TempDir(), filepath.Join(shared.Layout().Run, "stage", drivers.Key("a/cut/0"), "0")
	put(t, source+"/file", "mine")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, at, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Reap(testContext(t), nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Dir(at)); err == nil {
		t.Error("the stage is still there")
	}
	if got := read(t, source+"/file"); got != "mine" {
		t.Errorf("the source has %q", got)
	}
}
