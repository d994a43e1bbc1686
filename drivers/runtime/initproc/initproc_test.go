//go:build linux && cgo

package initproc_test

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nomadish/nomadish/drivers/runtime/initproc"
)

// The first process passes signals on, reaps what has no parent, and ends as its command did.
func TestInit(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := func(args ...string) (*exec.Cmd, *bufio.Reader) {
		cmd := &exec.Cmd{
			Path: program, Args: append([]string{"/sbin/" + initproc.Name}, args...),
			SysProcAttr: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID},
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd, bufio.NewReader(out)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		first  string // line of output
		signal syscall.Signal
		code   int
	}{
		{name: "signals", args: []string{"--", program, "trap"}, first: "ready 2 1\n", signal: syscall.SIGUSR1, code: 41},
		{name: "killed", args: []string{"--", program, "die"}, code: 137},
		{name: "orphans", args: []string{"--", program, "orphan"}, first: "reaped\n"},
		{name: "no such command", args: []string{"--", "/nowhere/program"}, code: 127},
		{name: "no command", args: []string{"--"}, code: 2},
		{name: "options are none", args: []string{"-c", program}, code: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd, out := start(tt.args...)
			line, _ := out.ReadString('\n')
			if line != tt.first {
				t.Errorf("says %q, want %q", line, tt.first)
			}
			if tt.signal != 0 {
				if err := cmd.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait() // the code is what counts
			if got := cmd.ProcessState.ExitCode(); got != tt.code {
				t.Errorf("exit code %d, want %d", got, tt.code)
			}
		})
	}
	if out, err := exec.Command(program, "child").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "" {
		t.Errorf("by its own name it is something else: %v %s", err, out)
	}
}
