//go:build linux

package rawexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/rawexec"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// sleeper is a task to run commands beside.
func sleeper(t *testing.T, change func(*drivers.TaskSpec)) (*rawexec.Driver, *drivers.Handle, *drivers.TaskSpec) {
	t.Helper()
	d := newDriver(t, t.TempDir())
	spec := drivertest.Spec(t, sh("while :; do sleep 1000; done"))
	spec.Env["COLOR"] = "green"
	if change != nil {
		change(spec)
	}
	return d, start(t, d, spec), spec
}

// noise is a buffer that may be read while it is written to.
type noise struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *noise) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(p)
}

func (n *noise) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

// A command has its streams, its exit code, and what the task has: environment, directory,
// programs, control group. What is not found is an error.
func TestExec(t *testing.T) {
	d, h, spec := sleeper(t, func(spec *drivers.TaskSpec) { withCgroup(t, spec) })
	if err := os.WriteFile(filepath.Join(spec.Dir.Local, "mine"), []byte("#!/bin/sh\necho mine\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	group, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", h.PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, script, stdin, stdout, stderr string
		code                                int
	}{
		{name: "streams", script: "cat; echo oops >&2; exit 42", stdin: "typed", stdout: "typed", stderr: "oops\n", code: 42},
		{name: "much input", script: "wc -c", stdin: strings.Repeat("x", 1<<20), stdout: "1048576\n"},
		{name: "much output", script: "head -c 1000000 /dev/zero | tr '\\0' x", stdout: strings.Repeat("x", 1_000_000)},
		{name: "environment", script: "echo $COLOR", stdout: "green\n"},
		{name: "directory", script: "pwd", stdout: spec.Dir.Task + "\n"},
		{name: "program of the task", script: "exec ./local/mine", stdout: "mine\n"},
		{name: "signal", script: "kill -9 $$", code: 137},
		{name: "what stays does not hold it up", script: "sleep 1000 & echo gone", stdout: "gone\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{
				Command: []string{"sh", "-c", tt.script}, Stdin: strings.NewReader(tt.stdin), Stdout: &out, Stderr: &errs,
			})
			if err != nil || code != tt.code || out.String() != tt.stdout || errs.String() != tt.stderr {
				t.Errorf("exit %d, %v, output %.100q, errors %q", code, err, out.String(), errs.String())
			}
		})
	}
	var out bytes.Buffer
	if code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{Command: []string{"cat", "/proc/self/cgroup"}, Stdout: &out}); err != nil || code != 0 {
		t.Errorf("without input: exit %d, %v", code, err)
	}
	for line := range strings.Lines(string(group)) {
		if !strings.Contains(line, spec.Cgroup) {
			continue // a tree in which tasks have no groups
		}
		if !strings.Contains(out.String(), strings.TrimSpace(line)+"/exec-") {
			t.Errorf("the command's groups are\n%s\nwant one below %s", out.String(), line)
		}
	}
	if code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{Command: []string{"mine"}}); err != nil || code != 0 {
		t.Errorf("a program in the task's directory: exit %d, %v", code, err)
	}
	for _, command := range [][]string{nil, {"nothing"}, {"/nothing"}, {"./nothing"}} {
		if code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{Command: command}); err == nil {
			t.Errorf("%q: exit %d, want an error", command, code)
		}
	}
}

// A command on a terminal sees its size, also when it changes, is interrupted from it, and
// reads its end.
func TestExecOnATerminal(t *testing.T) {
	d, h, _ := sleeper(t, nil)
	sizes := make(chan drivers.Size, 1)
	sizes <- drivers.Size{Width: 123, Height: 45}
	stdin, typed := io.Pipe()
	defer func() { _ = stdin.Close() }() // never fails
	var out noise
	ended := make(chan error, 1)
	go func() {
		code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{
			Command: []string{"sh", "-c", `stty size; echo "$TERM"; tty; trap 'echo interrupted' INT; echo ready; while read line; do stty size; done; trap 'stty size; exit 3' WINCH; echo last; while :; do sleep 0.01; done`},
			TTY:     true, Stdin: stdin, Stdout: &out, Resize: sizes,
		})
		if err == nil && code != 3 {
			err = fmt.Errorf("exit %d", code)
		}
		ended <- err
	}()
	says := func(want string) {
		t.Helper()
		eventually(t, want, func() bool { return strings.Contains(out.String(), want) })
	}
	says("45 123\r\n")
	says("/dev/pts/")
	says("ready") // to be interrupted
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(typed, text); err != nil {
			t.Fatal(err)
		}
	}
	write("\x03")
	says("interrupted")
	if err := typed.Close(); err != nil {
		t.Fatal(err)
	}
	says("last")
	sizes <- drivers.Size{Width: 70, Height: 20}
	if err := <-ended; err != nil {
		t.Errorf("%v, output %q", err, out.String())
	}
	if !strings.HasSuffix(out.String(), "20 70\r\n") {
		t.Errorf("output %q, want the new size in the end", out.String())
	}
}

// A command runs as the task's user, whose the terminal is.
func TestExecAsTheTasksUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user needs root")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	d, h, _ := sleeper(t, func(spec *drivers.TaskSpec) {
		spec.User = "nobody"
		spec.Config["work_dir"] = "/"
	})
	var out bytes.Buffer
	code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{
		Command: []string{"sh", "-c", `id -u; stat -c %u $(tty); : </dev/tty`}, TTY: true, Stdin: strings.NewReader(""), Stdout: &out,
	})
	if want := nobody.Uid + "\r\n" + nobody.Uid + "\r\n"; err != nil || code != 0 || out.String() != want {
		t.Errorf("exit %d, %v, output %q, want %q", code, err, out.String(), want)
	}
}

// When the caller goes, the task ends, or the agent is killed, a command ends with all that it
// has started; where there is a control group, also what has left the command's session.
func TestExecEndsWithItsCaller(t *testing.T) {
	for _, grouped := range []bool{false, true} {
		for name, end := range map[string]func(context.CancelFunc, *rawexec.Driver, *drivers.Handle) error{
			"caller": func(cancel context.CancelFunc, _ *rawexec.Driver, _ *drivers.Handle) error { cancel(); return nil },
			"task": func(_ context.CancelFunc, _ *rawexec.Driver, h *drivers.Handle) error {
				return syscall.Kill(h.PID, syscall.SIGKILL)
			},
			"stop": func(_ context.CancelFunc, d *rawexec.Driver, h *drivers.Handle) error {
				return d.Stop(context.Background(), h, "", 0)
			},
			"supervisor": func(_ context.CancelFunc, _ *rawexec.Driver, h *drivers.Handle) error {
				return syscall.Kill(parent(t, h.PID), syscall.SIGKILL)
			},
		} {
			t.Run(fmt.Sprintf("%s, grouped=%t", name, grouped), func(t *testing.T) {
				d, h, spec := sleeper(t, func(spec *drivers.TaskSpec) {
					if grouped {
						withCgroup(t, spec)
					}
				})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var out noise
				ended := make(chan error, 1)
				script := "trap '' HUP TERM; sleep 1000 & echo $!; echo $$; wait"
				if grouped {
					script = "setsid sleep 1000 & echo $!; " + script
				}
				go func() {
					code, err := d.Exec(ctx, h, &drivers.ExecRequest{Command: []string{"sh", "-c", script}, Stdout: &out})
					if err == nil && code == 128+int(syscall.SIGKILL) {
						err = errors.New("killed before the task had ended")
					}
					ended <- err
				}()
				want := 2
				if grouped {
					want = 3
				}
				eventually(t, "the command runs", func() bool { return strings.Count(out.String(), "\n") == want })
				if err := end(cancel, d, h); err != nil {
					t.Fatal(err)
				}
				if err := <-ended; err == nil || name == "caller" && !errors.Is(err, context.Canceled) {
					t.Errorf("Exec: %v, want an error", err)
				}
				if name == "supervisor" {
					if _, err := d.Wait(t.Context(), h); !errors.Is(err, drivers.ErrTaskLost) {
						t.Errorf("Wait: %v", err) // the agent waits always, and ends what is left
					}
				}
				for _, text := range strings.Fields(out.String()) {
					pid, err := strconv.Atoi(text)
					if err != nil {
						t.Fatal(err)
					}
					if process.Running(pid) {
						t.Errorf("process %d is still there", pid)
					}
				}
				if dirs, err := filepath.Glob("/sys/fs/cgroup/*/" + spec.Cgroup + "/exec-*"); grouped && name == "caller" && (err != nil || len(dirs) > 0) {
					t.Errorf("control groups %v, %v are left", dirs, err)
				}
			})
		}
	}
}

// A task that has ended, or was never there, takes no commands.
func TestExecWithoutATask(t *testing.T) {
	d, h, spec := sleeper(t, nil)
	if err := d.Stop(t.Context(), h, "", 0); err != nil {
		t.Fatal(err)
	}
	for _, tty := range []bool{false, true} {
		for _, h := range []*drivers.Handle{h, {ID: spec.AllocID + "/other/0", PID: h.PID}, {ID: "x/y/0", PID: 1}} {
			if code, err := d.Exec(t.Context(), h, &drivers.ExecRequest{Command: []string{"true"}, TTY: tty}); !errors.Is(err, drivers.ErrTaskLost) && err == nil {
				t.Errorf("%s: exit %d, %v, want an error", h.ID, code, err)
			}
		}
	}
}
