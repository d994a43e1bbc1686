package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a real terminal: tests hold the end that a person would look at.
type terminal struct {
	program *os.File // what the program writes to and reads from
	person  *os.File

	mu   sync.Mutex
	seen bytes.Buffer
	done sync.WaitGroup
}

// newTerminal makes a terminal of a size.
func newTerminal(t *testing.T, width, height uint16) *terminal {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{program: program, person: person}
	term.resize(t, width, height)
	term.done.Add(1)
	go func() {
		defer term.done.Done()
		_, _ = io.Copy(writerFunc(func(b []byte) (int, error) { // a pty ends with EIO
			term.mu.Lock()
			defer term.mu.Unlock()
			return term.seen.Write(b)
		}), person)
	}()
	t.Cleanup(func() { term.end(); person.Close() })
	return term
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func (t *terminal) resize(tb testing.TB, width, height uint16) {
	tb.Helper()
	if err := unix.IoctlSetWinsize(int(t.program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width}); err != nil {
		tb.Fatal(err)
	}
}

// end ends the program's half and returns all that it wrote.
func (t *terminal) end() string {
	t.program.Close()
	t.done.Wait()
	return t.text()
}

// text is what the program has written so far.
func (t *terminal) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen.String()
}

// on runs the program on the terminal.
func (t *terminal) on(tb testing.TB, env []string, args ...string) int {
	tb.Helper()
	return Run(tb.Context(), Program{Stdin: t.program, Stdout: t.program, Stderr: t.program, Env: lookup(env)}, args)
}

// shown is what the terminal shows in the end, a row per line.
func (t *terminal) shown(tb *testing.T, width int) string {
	g := &glass{t: tb, width: width, wrap: true}
	_, _ = g.Write([]byte(t.end()))
	var rows []string
	for _, row := range g.rows {
		rows = append(rows, strings.TrimRight(string(row), " "))
	}
	return strings.Join(rows, "\n")
}

// TestLiveTable: on a terminal job run shows a table that is redrawn in place, in color, and
// leaves behind one table and how it ended.
func TestLiveTable(t *testing.T) {
	c := newCluster(t)
	for _, tt := range []struct {
		id, kind, config string
		code             int
		want             []string // parts of what is on the screen, in this order
	}{
		{"table", "service", `run_for = "1h"`, ExitOK, []string{
			"s  Job \"table\" is stored", "\nJob \"table\", version 0: 1 of 1 allocation running", "\ng[0] t  n1  running\n", "s  Job \"table\" runs: 1 of 1 allocation running.",
		}},
		{"crashes", "batch", "run_for = \"1ms\"\nexit_code = 127\nstdout_string = \"out of cheese\"", ExitFailed, []string{
			"| out of cheese", "\nJob \"crashes\", version 0: 0 of 1 allocation", "\ng[0] t  n1  failed: Exit Code: 127", "s  Job \"crashes\" has failed: ", "The command of task \"t\" is not there",
		}},
	} {
		t.Run(tt.id, func(t *testing.T) {
			term := newTerminal(t, 100, 30)
			code := term.on(t, c.env, "job", "run", c.file(t, tt.id, tt.kind, "", tt.config))
			raw := term.end()
			shown := term.shown(t, 100)
			if code != tt.code {
				t.Errorf("got code %d, want %d", code, tt.code)
			}
			rest := "\n" + shown
			for _, want := range tt.want {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Fatalf("%q is not on the screen in its place:\n%s", want, shown)
				}
				rest = after
			}
			if n := strings.Count(shown, "\nJob "); n != 1 {
				t.Errorf("%d tables are left on the screen:\n%s", n, shown)
			}
			if !strings.Contains(raw, "\x1b[") {
				t.Error("nothing was redrawn")
			}
		})
	}
	t.Run("come back", func(t *testing.T) {
		term := newTerminal(t, 100, 30)
		code := term.on(t, append(c.env, "NO_COLOR=1"), "job", "status", "-f", "table")
		if raw := term.end(); code != ExitOK || !strings.Contains(raw, "g[0] t  n1  running") || strings.Contains(raw, "\x1b[3") {
			t.Errorf("got code %d\n%s\nwant 0, the table, and no colors", code, raw)
		}
	})
	t.Run("not a terminal", func(t *testing.T) {
		if got := c.ok(t, "job", "status", "-f", "table"); strings.Contains(got, "\x1b") || !strings.Contains(got, `Job "table" runs`) {
			t.Errorf("got %q, want plain lines", got)
		}
	})
}

// TestExecOnTerminal: a command with a terminal gets what is typed, and the escape sequence ends
// the session with the terminal as it was before.
func TestExecOnTerminal(t *testing.T) {
	c := newCluster(t)
	c.ok(t, "run", c.file(t, "up", "service", "", `run_for = "1h"`))
	term := newTerminal(t, 100, 30)
	before, err := unix.IoctlGetTermios(int(term.program.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan int, 1)
	go func() { ended <- term.on(t, c.env, "exec", "up", "sh", "-c", "echo ready; cat") }()
	await := func(word string) {
		t.Helper()
		for !strings.Contains(term.text(), word) {
			if t.Context().Err() != nil {
				t.Fatalf("%q does not come:\n%s", word, term.text())
			}
			runtime.Gosched()
		}
	}
	await("ready")
	if _, err := io.WriteString(term.person, "typed\n"); err != nil {
		t.Fatal(err)
	}
	await("typed")
	if _, err := io.WriteString(term.person, "~."); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != ExitDetached {
		t.Errorf("got code %d, want %d\n%s", code, ExitDetached, term.text())
	}
	after, err := unix.IoctlGetTermios(int(term.program.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal is not as it was: %+v, %v; before %+v", after, err, before)
	}
}
