//go:build linux

package exec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
)

// A task sees the host's programs and its own directories, may do what its user and its
// options say, and nothing else.
func TestTaskSeesItsWorld(t *testing.T) {
	filter := "Seccomp: 0\n" // this build of runc has none
	if world.Seccomp {
		filter = "Seccomp: 2\n"
	}
	for _, tt := range []struct {
		name   string
		config map[string]any
		node   func(*sandbox.Config)
		change func(*drivers.TaskSpec)
		want   string
	}{
		{name: "nobody by default", config: run("status", "Uid", "status", "Groups"), want: "Uid: 65534 65534 65534 65534\nGroups: 65534\n"},
		{name: "the user that it says", config: run("status", "Uid"), change: user("root"), want: "Uid: 0 0 0 0\n"},
		{name: "a number", config: run("status", "Uid", "status", "Gid"), change: user("7:8"), want: "Uid: 7 7 7 7\nGid: 8 8 8 8\n"},
		{
			name: "its account's variables", config: run("env", "HOME", "env", "USER", "env", "NOMAD_X"),
			change: func(s *drivers.TaskSpec) { s.User, s.Env = "root", map[string]string{"NOMAD_X": "1"} },
			want:   "HOME=/root\nUSER=root\nNOMAD_X=1\n",
		},
		{
			name: "variables that are denied", config: with(run("env", "A_KEY", "env", "B_KEY", "env", "C"), "denied_envvars", []any{"A_*"}),
			node:   func(c *sandbox.Config) { c.DeniedEnv = []string{"B_KEY"} },
			change: func(s *drivers.TaskSpec) { s.Env = map[string]string{"A_KEY": "1", "B_KEY": "2", "C": "3"} },
			want:   "A_KEY=\nB_KEY=\nC=3\n",
		},
		{name: "no capabilities", config: run("status", "CapEff", "status", "CapPrm", "status", "CapInh", "status", "CapAmb"), want: "CapEff: 0000000000000000\nCapPrm: 0000000000000000\nCapInh: 0000000000000000\nCapAmb: 0000000000000000\n"},
		{name: "few as root", config: run("status", "CapEff", "status", "CapAmb"), change: user("root"), want: "CapEff: 00000000800004fb\nCapAmb: 0000000000000000\n"},
		{name: "those that it asks for", config: with(run("status", "CapEff", "status", "CapBnd"), "cap_add", []any{"net_bind_service"}), want: "CapEff: 0000000000000400\nCapBnd: 00000000800004fb\n"},
		{name: "not those that it gives up", config: with(run("status", "CapBnd"), "cap_drop", []any{"all"}), change: user("root"), want: "CapBnd: 0000000000000000\n"},
		{name: "no new privileges", config: run("status", "NoNewPrivs"), want: "NoNewPrivs: 1\n"},
		{name: "system call filter", config: run("status", "Seccomp"), want: filter},
		{name: "first process of its namespace", config: run("status", "Pid"), want: "Pid: 1\n"},
		{
			name: "directories", config: run("write", "/alloc/a", "1", "write", "/local/b", "2", "write", "/secrets/c", "3", "write", "/d", "4", "cat", "/alloc/a", "cat", "/local/b", "cat", "/secrets/c", "cat", "d"),
			want: "1234",
		},
		{name: "programs are read-only", config: run("write", "/usr/bin/x", "1", "write", "/etc/passwd", "1"), change: user("root"), want: "open /usr/bin/x: read-only file system\nopen /etc/passwd: read-only file system\n"},
		{name: "nothing secret of the host", config: run("cat", "/etc/shadow", "cat", "/etc/ssl/private", "cat", "/root", "cat", "/var/lib"), change: user("root"), want: "open /etc/shadow: no such file or directory\nopen /etc/ssl/private: no such file or directory\nopen /root: no such file or directory\nopen /var/lib: no such file or directory\n"},
		{name: "kernel settings are read-only", config: run("write", "/proc/sys/vm/drop_caches", "1"), change: user("root"), want: "open /proc/sys/vm/drop_caches: read-only file system\n"},
		{name: "working directory", config: with(run("link", "/proc/self/cwd"), "work_dir", "/local"), want: "/local\n"},
		{name: "task's directory without", config: run("link", "/proc/self/cwd"), want: "/\n"},
		{
			name: "volumes", config: run("cat", "/data/file", "write", "/data/file", "new"),
			change: func(s *drivers.TaskSpec) {
				s.Mounts = []drivers.Mount{{Source: directory(t, "file", "old "), Target: "/data", ReadOnly: true}}
			},
			want: "old open /data/file: read-only file system\n",
		},
		{
			name: "chosen directories", config: run("cat", "/opt/lib/file", "cat", "/usr/bin"),
			node: func(c *sandbox.Config) { c.Chroot = map[string]string{directory(t, "file", "chosen "): "/opt/lib"} },
			want: "chosen open /usr/bin: no such file or directory\n",
		},
		{name: "chroot alone", config: run("status", "Pid", "cat", "/etc/shadow"), node: func(c *sandbox.Config) { c.NoPivotRoot = true }, want: "Pid: 1\nopen /etc/shadow: no such file or directory\n"},
		{
			name: "host's processes where the node says so", config: with(run("first"), "pid_mode", "host"),
			node: func(c *sandbox.Config) { c.AllowHostModes = true }, want: "false\n",
		},
		{name: "program of the host", config: map[string]any{"command": "/bin/echo", "args": []any{"hi"}}, want: "hi\n"},
		{name: "program of the host by name", config: map[string]any{"command": "echo", "args": []any{"hi"}}, want: "hi\n"},
		{name: "program in a directory of the task", config: map[string]any{"command": "local/task", "args": []any{"print", "hi"}}, want: "hi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, tt.config)
			spec.Env = nil
			if tt.change != nil {
				tt.change(spec)
			}
			own(t, spec)
			var node []func(*sandbox.Config)
			if tt.node != nil {
				node = append(node, tt.node)
			}
			if got := containertest.Output(t, newDriver(t, node...), spec); got != tt.want {
				t.Errorf("the task sees %q, want %q", got, tt.want)
			}
		})
	}
}

func user(name string) func(*drivers.TaskSpec) { return func(s *drivers.TaskSpec) { s.User = name } }

// own gives the task the directories that the agent gives it.
func own(t *testing.T, spec *drivers.TaskSpec) {
	t.Helper()
	if spec.User != "" {
		return
	}
	for _, dir := range []string{spec.Dir.Task, spec.Dir.Alloc, spec.Dir.Local, spec.Dir.Secrets} {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
}

// directory makes a directory with one file.
func directory(t *testing.T, name, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a config block may not say is refused, by name, and leaves nothing behind.
func TestRefusals(t *testing.T) {
	d := newDriver(t)
	for _, tt := range []struct {
		name   string
		config map[string]any
		change func(*drivers.TaskSpec)
		want   string
	}{
		{name: "no command", config: map[string]any{}, want: "missing option: command"},
		{name: "unknown option", config: with(run(), "color", "red"), want: "unknown option: color"},
		{name: "host's processes", config: with(run(), "pid_mode", "host"), want: "pid_mode: host is refused"},
		{name: "host's IPC", config: with(run(), "ipc_mode", "host"), want: "ipc_mode: host is refused"},
		{name: "no such mode", config: with(run(), "pid_mode", "container:x"), want: `pid_mode: "container:x" is neither`},
		{name: "capability", config: with(run(), "cap_add", []any{"sys_admin", "net_raw"}), want: "this node does not allow net_raw, sys_admin"},
		{name: "relative directory", config: with(run(), "work_dir", "local"), want: `work_dir: "local" is not an absolute path`},
		{name: "no such program", config: map[string]any{"command": "no-such-program"}, want: `"no-such-program" is not in local`},
		{name: "program outside", config: map[string]any{"command": "../../../../bin/no-such"}, want: "is not in local"},
		{name: "link to outside", config: map[string]any{"command": "evil"}, change: func(s *drivers.TaskSpec) {
			if err := os.Symlink("/proc/self/exe", filepath.Join(s.Dir.Local, "evil")); err != nil {
				t.Fatal(err)
			}
		}, want: `"evil" is not in local`},
		{name: "little memory", config: run(), change: func(s *drivers.TaskSpec) { s.Resources.MemoryBytes = 4 << 20 }, want: "below the minimum of 10 MiB"},
		{name: "user that wraps around", config: run(), change: user("4294967296"), want: "not a number from 0"},
		{name: "negative user", config: run(), change: user("-1"), want: "not a number from 0"},
		{name: "user with a space", config: run(), change: user(" 0"), want: "not a name"},
		{name: "hexadecimal user", config: run(), change: user("0x0"), want: "not a number from 0"},
		{name: "no such user", config: run(), change: user("no-such-user"), want: "no-such-user"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, tt.config)
			if tt.change != nil {
				tt.change(spec)
			}
			if h, err := d.Start(containertest.Context(t), spec); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Start: %+v, %v; want an error with %q", h, err, tt.want)
			}
		})
	}
}

// A program in the task's directory is made executable, one that a link there leads to on the
// host is not.
func TestProgramsAreMadeExecutable(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("print", "ran"))
	task := filepath.Join(spec.Dir.Local, "task")
	content, err := os.ReadFile(task)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(task); err != nil { // it is a link to the one that all tests share
		t.Fatal(err)
	}
	if err := os.WriteFile(task, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := containertest.Output(t, d, spec); got != "ran" {
		t.Errorf("output %q", got)
	}
	canary := filepath.Join(directory(t, "canary", "x"), "canary")
	spec = taskSpec(t, map[string]any{"command": "/local/link"})
	if err := os.Symlink(canary, filepath.Join(spec.Dir.Local, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Start(containertest.Context(t), spec); err == nil {
		t.Error("a program outside runs")
	}
	if info, err := os.Stat(canary); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file outside has mode %v, %v", info.Mode(), err)
	}
}

// A node's configuration is checked before any task starts.
func TestConfig(t *testing.T) {
	for want, cfg := range map[string]sandbox.Config{
		`default_pid_mode: "none"`:  {DefaultPIDMode: "none"},
		`default_ipc_mode: "x"`:     {DefaultIPCMode: "x"},
		`chroot_env: "etc" = "/x"`:  {Chroot: map[string]string{"etc": "/x"}},
		`chroot_env: "/etc" = "/."`: {Chroot: map[string]string{"/etc": "/."}},
		`denied_envvars: "["`:       {DeniedEnv: []string{"["}},
	} {
		if _, err := sandbox.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// BenchmarkStart says how long a task takes to start, alone and as a further one of its
// allocation, with users of its own and without, and what processor time its whole life costs
// the agent and the runtime.
func BenchmarkStart(b *testing.B) {
	for _, bb := range []struct {
		name    string
		further bool
		node    []func(*sandbox.Config)
	}{
		{"further=false", false, nil},
		{"further=true", true, nil},
		{"further=false/remapped", false, []func(*sandbox.Config){remapping}},
		{"further=true/remapped", true, []func(*sandbox.Config){remapping}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			d := newDriver(b, bb.node...)
			first := taskSpec(b, run("sleep"))
			containertest.Start(b, d, first)
			before := world.CPU(b)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				spec := taskSpec(b, run("sleep"))
				if bb.further {
					spec.AllocID, spec.ID = first.AllocID, fmt.Sprintf("%s/further/%d", first.AllocID, i)
				}
				b.StartTimer()
				h, err := d.Start(containertest.Context(b), spec)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := d.Remove(containertest.Context(b), h); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric((world.CPU(b)-before).Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}
