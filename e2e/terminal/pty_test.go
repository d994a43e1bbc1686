//go:build linux

package terminal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/e2e/machine"
)

// session is a command that runs on a terminal, seen from a person's side.
type session struct {
	t      *testing.T
	cmd    *exec.Cmd
	person *os.File
	ended  chan struct{} // closed when the command has, and all that it wrote is seen

	mu   sync.Mutex
	seen bytes.Buffer
}

// onTerminal starts a command line on a terminal of its own.
func onTerminal(t *testing.T, n *machine.Node, width, height uint16, args ...string) *session {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	s := &session{t: t, cmd: program(t, n, args...), person: person, ended: make(chan struct{})}
	number := 0
	s.control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	s.control(func(fd int) error {
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	s.resize(width, height)
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = theirs, theirs, theirs
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, s.cmd.Start())
	must(t, theirs.Close())
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(s, person) }) // a terminal ends with EIO
	go func() {
		_ = s.cmd.Wait() // how it ended is in its state
		reading.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = person.Close() })
	return s
}

func (s *session) control(do func(fd int) error) {
	s.t.Helper()
	raw, err := s.person.SyscallConn()
	must(s.t, err)
	if rawErr := raw.Control(func(fd uintptr) { err = do(int(fd)) }); rawErr != nil {
		err = rawErr
	}
	must(s.t, err)
}

// resize changes the terminal's size, as who draws at a window's corner.
func (s *session) resize(width, height uint16) {
	s.t.Helper()
	s.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: height, Col: width})
	})
}

func (s *session) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Write(p)
}

// text is all that the terminal was sent.
func (s *session) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *session) enter(text string) {
	s.t.Helper()
	_, err := io.WriteString(s.person, text)
	must(s.t, err)
}

// sees waits for a text on the terminal.
func (s *session) sees(want string) {
	s.t.Helper()
	must(s.t, machine.Until(testContext(s.t), fmt.Sprintf("%q is on the terminal", want), func(context.Context) error {
		if text := s.text(); !strings.Contains(text, want) {
			return fmt.Errorf("it shows\n%s", text)
		}
		return nil
	}))
}

// code waits for the command's end.
func (s *session) code() int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-testContext(s.t).Done():
		s.t.Fatalf("the command does not end; the terminal shows\n%s", s.text())
	}
	return s.cmd.ProcessState.ExitCode()
}
