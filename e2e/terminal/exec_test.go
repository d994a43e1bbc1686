//go:build linux

package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// agents are those that can be asked, by what they are.
func agents() map[string]*machine.Node {
	return map[string]*machine.Node{"server": server, "own node": work, "other node": ask}
}

// A command gets what is piped in, and its output and exit code come back, whichever agent is
// asked.
func TestExec(t *testing.T) {
	for _, job := range drivers {
		for where, n := range agents() {
			t.Run(job+" through "+where, func(t *testing.T) {
				r := cli(t, n, strings.NewReader("x\n"), "exec", "-i", job, "sh", "-c", "cat; echo oops >&2; exit 42")
				if want := (result{42, "x\n", "oops\n"}); r != want {
					t.Errorf("got %+v, want %+v", r, want)
				}
				if r := cli(t, n, nil, "exec", job, "sh", "-c", "sleep 3 & echo gone"); r != (result{0, "gone\n", ""}) {
					t.Errorf("with a process that stays: %+v", r)
				}
				big := strings.Repeat("0123456789abcdef", 1<<16)
				if r := cli(t, n, strings.NewReader(big), "alloc", "exec", "-job", job, "cat"); r.code != 0 || r.stdout != big {
					t.Errorf("1 MiB: code %d, %d bytes came back, %s", r.code, len(r.stdout), r.stderr)
				}
			})
		}
	}
}

// On a terminal a command sees its size, also a new one; an interrupt is the command's, and
// its exit code the session's.
func TestExecOnATerminal(t *testing.T) {
	for _, job := range drivers {
		t.Run(job, func(t *testing.T) {
			s := onTerminal(t, ask, 91, 33, "exec", job, "sh")
			s.enter("stty size\n")
			s.sees("33 91\r\n")
			s.resize(77, 22)
			s.enter("until stty size | { read r c; [ $r = 22 ]; }; do sleep 0.05; done; stty size\n")
			s.sees("22 77\r\n")
			s.enter("head -c 200000 /dev/zero | tr '\\0' x; echo; echo all of it\n")
			s.sees(strings.Repeat("x", 200_000) + "\r\nall of it")
			s.enter("sleep 1000; echo code $? is told\n")
			s.sees("sleep 1000; echo code")
			must(t, machine.Until(testContext(t), "the command sleeps", func(context.Context) error {
				return child("sleep\x001000")
			}))
			s.enter("\x03")
			s.enter("echo still here, $((40 + 2))\n")
			s.sees("still here, 42")
			s.enter("exit 42\n")
			if code := s.code(); code != 42 {
				t.Errorf("code %d, want 42\n%s", code, s.text())
			}
		})
	}
}

// All that a command writes to its terminal before it ends is shown.
func TestLastOutput(t *testing.T) {
	for _, job := range drivers {
		for range 5 {
			s := onTerminal(t, ask, 80, 24, "exec", job, "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo end")
			if code, text := s.code(), s.text(); code != 0 || len(text) < 100_000 || !strings.HasSuffix(text, "end\r\n") {
				t.Errorf("%s: code %d, %d bytes, the last %q", job, code, len(text), text[max(0, len(text)-20):])
			}
		}
	}
}

// child says whether a process with these arguments runs that is no part of the test.
func child(args string) error {
	if pids := running(args); len(pids) == 0 {
		return errors.New("no such process")
	}
	return nil
}

// running finds the processes whose arguments contain a text.
func running(args string) (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err == nil && strings.Contains(string(line), args) && !strings.Contains(string(line), "nomadish") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits until no process has such arguments.
func gone(t *testing.T, args string) {
	t.Helper()
	must(t, machine.Until(testContext(t), "no process is left", func(context.Context) error {
		if pids := running(args); len(pids) > 0 {
			return fmt.Errorf("processes %v", pids)
		}
		return nil
	}))
}

// The escape sequence ends the session and the command, and so does the terminal's end.
func TestSessionEnds(t *testing.T) {
	for i, job := range drivers {
		for name, end := range map[string]func(*session){
			"escape":   func(s *session) { s.enter("\n~.") },
			"terminal": func(s *session) { _ = s.person.Close() },
			"kill":     func(s *session) { _ = s.cmd.Process.Signal(syscall.SIGKILL) },
		} {
			t.Run(job+" "+name, func(t *testing.T) {
				nap := fmt.Sprintf("40%d%d.%d", i, len(name), os.Getpid())
				s := onTerminal(t, server, 80, 24, "exec", job, "sh", "-c", "trap '' HUP; echo go; sleep "+nap+"; echo never")
				s.sees("go\r\n")
				must(t, machine.Until(testContext(t), "the command sleeps", func(context.Context) error { return child("sleep\x00" + nap) }))
				end(s)
				if code := s.code(); code != 130 && name == "escape" {
					t.Errorf("code %d, want 130\n%s", code, s.text())
				}
				gone(t, "sleep\x00"+nap)
			})
		}
	}
}

// When the node's agent is killed in the middle, the session ends with an error that says so,
// and no process of the command stays once the agent is back; the task itself goes on.
func TestAgentKilledDuringExec(t *testing.T) {
	ctx := testContext(t)
	var sessions []*session
	for i, job := range drivers {
		s := onTerminal(t, ask, 80, 24, "exec", job, "sh", "-c", fmt.Sprintf("echo go; sleep 50%d.%d; echo never", i, os.Getpid()))
		s.sees("go\r\n")
		sessions = append(sessions, s)
	}
	must(t, work.Kill())
	for _, s := range sessions {
		if code := s.code(); code != 1 || !strings.Contains(s.text(), "exec session ended before the command") {
			t.Errorf("code %d, the terminal shows\n%s", code, s.text())
		}
	}
	gone(t, fmt.Sprintf("sleep\x00500.%d", os.Getpid())) // the supervisor sees to it
	must(t, work.Start())
	must(t, ready(ctx, 2))
	gone(t, fmt.Sprintf("sleep\x00501.%d", os.Getpid()))
	for _, job := range drivers {
		must(t, machine.Until(ctx, "commands run again", func(context.Context) error {
			if r := cli(t, ask, nil, "exec", job, "cat", "/proc/self/comm"); r.code != 0 || r.stdout != "cat\n" {
				return fmt.Errorf("%+v", r)
			}
			return nil
		}))
	}
}
