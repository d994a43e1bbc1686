//go:build linux

package docker_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// A task has the directories, environment, user, host name and limits that its specification
// and config block give it, and no privilege that they do not.
func TestTaskSeesItsWorld(t *testing.T) {
	d := newDriver(t)
	filter := "Seccomp: 0\n" // this build of runc has none
	if shared.Seccomp {
		filter = "Seccomp: 2\n"
	}
	for _, tt := range []struct {
		name   string
		config map[string]any
		change func(*drivers.TaskSpec)
		want   string
	}{
		{
			name: "environment", config: run("env", "COLOR", "env", "PATH"),
			change: func(s *drivers.TaskSpec) { s.Env = map[string]string{"COLOR": "green"} },
			want:   "COLOR=green\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
		},
		{
			name: "directories", config: run("write", "/alloc/a", "1", "write", "/local/b", "2", "write", "/secrets/c", "3", "cat", "/alloc/a", "cat", "/local/b", "cat", "/secrets/c"),
			want: "123",
		},
		{
			name: "volumes", config: run("cat", "/data/file", "write", "/data/file", "new"),
			change: func(s *drivers.TaskSpec) {
				dir := t.TempDir()
				if err := os.WriteFile(dir+"/file", []byte("old "), 0o600); err != nil {
					t.Fatal(err)
				}
				s.Mounts = []drivers.Mount{{Source: dir, Target: "/data", ReadOnly: true}}
			},
			want: "old open /data/file: read-only file system\n",
		},
		{
			name: "user of the image's passwd", config: run("status", "Uid", "status", "Groups"),
			change: func(s *drivers.TaskSpec) { s.User = "worker" },
			want:   "Uid: 1000 1000 1000 1000\nGroups: 1001 2000\n",
		},
		{
			name: "user by number", config: with(run("status", "Uid", "status", "Groups"), "group_add", []any{"extra"}),
			change: func(s *drivers.TaskSpec) { s.User = "7:8" },
			want:   "Uid: 7 7 7 7\nGroups: 8 2000\n",
		},
		{name: "no more capabilities than usual", config: run("status", "CapEff"), want: "CapEff: 00000000a80405fb\n"},
		{
			name:   "capabilities taken and given",
			config: with(with(run("status", "CapBnd"), "cap_drop", []any{"all"}), "cap_add", []any{"NET_BIND_SERVICE"}),
			want:   "CapBnd: 0000000000000400\n",
		},
		{name: "may gain privileges as in docker", config: run("status", "NoNewPrivs"), want: "NoNewPrivs: 0\n"},
		{
			name:   "may not where it says so",
			config: with(run("status", "NoNewPrivs"), "security_opt", []any{"no-new-privileges"}),
			want:   "NoNewPrivs: 1\n",
		},
		{name: "read-only image", config: with(run("write", "/file", "x"), "readonly_rootfs", true), want: "open /file: read-only file system\n"},
		{name: "system call filter", config: run("status", "Seccomp"), want: filter},
		{name: "host name", config: with(run("cat", "/proc/sys/kernel/hostname", "cat", "/etc/hostname"), "hostname", "box"), want: "box\nbox\n"},
		{name: "working directory", config: with(run("cat", "file"), "work_dir", "/srv"), want: testImage},
		{
			name:   "resolver",
			config: with(with(run("cat", "/etc/resolv.conf"), "dns_servers", []any{"192.0.2.1"}), "dns_search_domains", []any{"a.example", "b.example"}),
			want:   "nameserver 192.0.2.1\nsearch a.example b.example\n",
		},
		{
			name: "open files and processes", config: with(run("cat", "/proc/self/oom_score_adj", "limit", "nofile"), "ulimit", []any{map[string]any{"nofile": "150"}}),
			want: "0\n150 150\n",
		},
		{name: "kernel settings are read-only", config: run("write", "/proc/sys/vm/drop_caches", "1"), want: "open /proc/sys/vm/drop_caches: read-only file system\n"},
		{name: "first process of its namespace", config: run("status", "Pid"), want: "Pid: 1\n"},
		{name: "image's command replaced", config: with(run("more"), "entrypoint", []any{"/task", "print"}), want: "more"},
		{name: "its own group only", config: run("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes"), want: strconv.Itoa(64<<20) + "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name == "its own group only" {
				if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
					tt.config = run("cat", "/sys/fs/cgroup/memory.max")
				}
			}
			spec := taskSpec(t, tt.config)
			spec.Env = nil
			if tt.change != nil {
				tt.change(spec)
			}
			if got := output(t, d, spec); got != tt.want {
				t.Errorf("the task sees %q, want %q", got, tt.want)
			}
		})
	}
}

// Output goes to the two files that the specification names, apart and whole, and is in them
// when Wait returns.
func TestOutputIsWholeWhenTheTaskHasEnded(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("eprint", "said aloud", "lines", "20000", "exit", "3"))
	if exit := wait(t, d, start(t, d, spec)); exit.Code != 3 {
		t.Errorf("exit %+v, want code 3", exit)
	}
	if got := drivertest.Said(t, spec.Stderr); got != "said aloud" {
		t.Errorf("standard error has %q", got)
	}
	out := drivertest.Said(t, spec.Stdout)
	if n := strings.Count(out, "\n"); n != 20000 || !strings.HasSuffix(out, "line 19999\n") {
		t.Errorf("standard output has %d lines and ends with %q", n, out[max(0, len(out)-20):])
	}
}

// A task whose output nobody wants runs all the same.
func TestOutputNowhere(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("print", "unheard", "eprint", "unheard", "exit", "4"))
	spec.Stdout, spec.Stderr = drivers.Output{}, drivers.Output{}
	if exit := wait(t, d, start(t, d, spec)); exit.Code != 4 {
		t.Errorf("exit %+v, want code 4", exit)
	}
}

// With a terminal there is one stream, and the task knows that it is one.
func TestTerminal(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, with(run("print", "out ", "eprint", "err", "env", "TERM"), "tty", true))
	spec.Env = nil
	if got, want := output(t, d, spec), "out errTERM=xterm\r\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

// A task that uses more memory than it may is killed, and the exit says so.
func TestMemoryRunsOut(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("eat"))
	spec.Resources.MemoryBytes = 24 << 20
	exit := wait(t, d, start(t, d, spec))
	if !exit.OOMKilled || exit.Code != 137 || exit.Signal != 9 || exit.Successful() {
		t.Errorf("exit %+v, want one killed for want of memory", exit)
	}
	if exit.OOMPeak < 16<<20 || exit.OOMPeak > 25<<20 {
		t.Errorf("peak %d, want about 24 MiB", exit.OOMPeak)
	}
}

// The smallest limit is enough to start with.
func TestSmallestMemory(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("print", "runs"))
	spec.Resources.MemoryBytes = 10 << 20
	if got := output(t, d, spec); got != "runs" {
		t.Errorf("output %q", got)
	}
}

// Stop sends the signal that it is told, or the image's, and kills all of the task after
// grace; the exit says what ended it.
func TestStop(t *testing.T) {
	d := newDriver(t)
	for _, tt := range []struct {
		name   string
		args   []string
		signal string
		grace  time.Duration
		code   int
	}{
		{name: "SIGTERM by default", args: []string{"trap", "15", "40"}, grace: time.Minute, code: 40},
		{name: "a signal by name", args: []string{"trap", "10", "41"}, signal: "SIGUSR1", grace: time.Minute, code: 41},
		{name: "killed after grace", args: []string{"deaf"}, grace: 50 * time.Millisecond, code: 137},
		{name: "no grace", args: []string{"trap", "15", "40"}, code: 137},
		{name: "children too", args: []string{"children", "3", "deaf"}, grace: time.Millisecond, code: 137},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, run(tt.args...))
			h := start(t, d, spec)
			ready(t, spec)
			if err := d.Stop(testContext(t), h, tt.signal, tt.grace); err != nil {
				t.Fatal(err)
			}
			exit := wait(t, d, h)
			if exit.Code != tt.code {
				t.Errorf("exit %+v, want code %d", exit, tt.code)
			}
			if process.Running(h.PID) {
				t.Errorf("process %d is still there", h.PID)
			}
			for pid, exe := range shared.Processes() {
				if exe == "/task" {
					t.Errorf("process %s of the task is still there", pid)
				}
			}
		})
	}
	h := start(t, d, taskSpec(t, run("sleep")))
	if err := d.Stop(testContext(t), h, "SIGNONSENSE", time.Second); err == nil {
		t.Error("a signal that does not exist is accepted")
	}
}

func TestSignal(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("trap", "1", "42"))
	h := start(t, d, spec)
	ready(t, spec)
	if err := d.Signal(testContext(t), h, "SIGHUP"); err != nil {
		t.Fatal(err)
	}
	if exit := wait(t, d, h); exit.Code != 42 {
		t.Errorf("exit %+v, want code 42", exit)
	}
}

// Stats are the task's own, of all of its processes.
func TestStats(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("children", "2", "spin", "sleep"))
	h := start(t, d, spec)
	eventually(t, "the task has used the processor", func() bool { return strings.Count(drivertest.Said(t, spec.Stdout), "ready") == 2 })
	u, err := d.Stats(testContext(t), h)
	if err != nil {
		t.Fatal(err)
	}
	if u.PIDs != 3 || u.CPUNanos < uint64(10*time.Millisecond) || u.MemoryUsage == 0 || u.MemoryPeak < u.RSS || u.Time.IsZero() {
		t.Errorf("usage %+v, want 3 processes that used the processor and memory", u)
	}
}

// A command runs inside the task, with its input, output and exit code, or with a terminal
// of the asked size.
func TestExec(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, run("print", "ready", "sleep"))
	spec.Env = map[string]string{"COLOR": "green"}
	h := start(t, d, spec)
	ready(t, spec)
	t.Run("streams", func(t *testing.T) {
		var out, errs bytes.Buffer
		code, err := d.Exec(testContext(t), h, &drivers.ExecRequest{
			Command: []string{"/task", "stdin", "env", "COLOR", "eprint", "oops", "exit", "9"},
			Stdin:   strings.NewReader("typed "), Stdout: &out, Stderr: &errs,
		})
		if err != nil || code != 9 || out.String() != "typed COLOR=green\n" || errs.String() != "oops" {
			t.Errorf("exit %d, %v, output %q, errors %q", code, err, out.String(), errs.String())
		}
	})
	t.Run("terminal", func(t *testing.T) {
		var out bytes.Buffer
		sizes := make(chan drivers.Size, 1)
		sizes <- drivers.Size{Width: 123, Height: 45}
		code, err := d.Exec(testContext(t), h, &drivers.ExecRequest{
			Command: []string{"/task", "size", "123"}, TTY: true, Stdout: &out, Resize: sizes,
		})
		if err != nil || code != 0 || out.String() != "45 123\r\n" {
			t.Errorf("exit %d, %v, output %q", code, err, out.String())
		}
	})
	t.Run("no such command", func(t *testing.T) {
		if code, err := d.Exec(testContext(t), h, &drivers.ExecRequest{Command: []string{"/nothing"}}); err == nil {
			t.Errorf("exit %d, want an error", code)
		}
	})
	if exit, err := d.Exec(testContext(t), h, &drivers.ExecRequest{Command: []string{"/task", "exit", "0"}}); err != nil || exit != 0 {
		t.Errorf("without streams: exit %d, %v", exit, err)
	}
}

// Options without effect are said to the log and to the task's events, and so is that the
// host's network is used.
func TestNotices(t *testing.T) {
	d := newDriver(t)
	spec := taskSpec(t, with(run("exit", "0"), "isolation", "process", "network_aliases", []any{"web"},
		"logging", map[string]any{"type": "json-file", "config": map[string]any{"max-size": "2m"}}))
	var events []string
	spec.Notify = func(n drivers.Notice) { events = append(events, n.Message) }
	wait(t, d, start(t, d, spec))
	for _, want := range []string{"isolation: no effect", "network_aliases: no effect", "max-size: no effect", "host's network"} {
		if said := shared.notices.of(spec.ID); !strings.Contains(said, want) {
			t.Errorf("said %q, want %q in it", said, want)
		}
		if said := strings.Join(events, "\n"); !strings.Contains(said, want) {
			t.Errorf("events %q, want %q in it", said, want)
		}
	}
}
