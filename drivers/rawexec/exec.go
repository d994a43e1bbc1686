//go:build linux

package rawexec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/rawexec/supervisor"
)

// quiet is how long no output after a command's end counts as the output's: what the command
// left running may hold it open.
const quiet = 250 * time.Millisecond

// Exec runs a command beside a task, as the task's user, with its environment, in its
// directory, network and cgroup; see drivers.Execer. When ctx ends, so does the command, with
// all that it has started. The caller ends a blocked req.Stdin once Exec has returned.
func (d *Driver) Exec(ctx context.Context, h *drivers.Handle, req *drivers.ExecRequest) (int, error) {
	if len(req.Command) == 0 {
		return 0, errors.New("exec: no command")
	}
	var s *streams
	var err error
	if req.TTY {
		s, err = d.terminal(h)
	} else {
		s, err = pipes(req)
	}
	if err != nil {
		return 0, fmt.Errorf("task %s: exec: %w", h.ID, err)
	}
	defer s.close()
	code, err := d.exec(ctx, h, req, s)
	if err != nil {
		return 0, fmt.Errorf("task %s: exec: %w", h.ID, err)
	}
	return code, nil
}

func (d *Driver) exec(ctx context.Context, h *drivers.Handle, req *drivers.ExecRequest, s *streams) (int, error) {
	if size, ok := drivers.FirstSize(ctx, req); ok {
		s.resize(size)
	}
	c := d.commands.begin(h.ID)
	defer d.commands.end(c)
	x := &supervisor.Exec{Task: h.ID, Args: req.Command, TTY: req.TTY}
	session, err := d.supervisors.Exec(ctx, d.allocDir(h.ID), x, s.theirs...)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	s.closeTheirs()
	var copying sync.WaitGroup
	defer func() { s.finish(); copying.Wait() }()
	s.pass(&copying, req)
	type result struct {
		exit *drivers.Exit
		err  error
	}
	ended := make(chan result, 1)
	copying.Go(func() {
		exit, err := session.Wait()
		ended <- result{exit, err}
	})
	done := ctx.Done()
	for {
		select {
		case r := <-ended:
			if ctx.Err() != nil {
				return 0, ctx.Err()
			}
			if r.err != nil {
				return 0, r.err
			}
			if d.commands.killed(c) {
				return 0, errKilled
			}
			return r.exit.Code, nil
		case size, open := <-req.Resize:
			if !open {
				req.Resize = nil
			} else {
				s.resize(size)
			}
		case <-done:
			done = nil
			if err := session.HangUp(); err != nil {
				session.Close() // Wait has to return
				return 0, errors.Join(ctx.Err(), err)
			}
		}
	}
}

// streams are the two halves of a command's standard streams.
type streams struct {
	theirs  []*os.File // the command's half
	input   *os.File   // nil: the command has none
	outputs []output
	onTTY   bool
	ended   atomic.Bool // the command has
}

// output is where a command's output is read from, and whom it is for.
type output struct {
	from *os.File
	to   func(*drivers.ExecRequest) io.Writer
}

func stdout(req *drivers.ExecRequest) io.Writer { return req.Stdout }
func stderr(req *drivers.ExecRequest) io.Writer { return req.Stderr }

// pipes makes streams of a command without a terminal.
func pipes(req *drivers.ExecRequest) (*streams, error) {
	s := &streams{}
	var in *os.File
	var err error
	if req.Stdin == nil {
		in, err = os.Open(os.DevNull)
	} else {
		in, s.input, err = os.Pipe()
	}
	if err != nil {
		return nil, err
	}
	s.theirs = append(s.theirs, in)
	for _, to := range []func(*drivers.ExecRequest) io.Writer{stdout, stderr} {
		ours, theirs, err := os.Pipe()
		if err != nil {
			s.close()
			return nil, err
		}
		s.theirs, s.outputs = append(s.theirs, theirs), append(s.outputs, output{ours, to})
	}
	return s, nil
}

// terminal makes streams of a command with a terminal, which is the task's user's.
func (d *Driver) terminal(h *drivers.Handle) (*streams, error) {
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	s := &streams{input: ours, outputs: []output{{ours, stdout}}, onTTY: true}
	number := 0
	err = control(ours, func(fd int) error {
		err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
		if err == nil {
			number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		}
		return err
	})
	if err == nil {
		var theirs *os.File
		if theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err == nil {
			s.theirs = []*os.File{theirs}
			err = d.own(theirs, h)
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("terminal: %w", err)
	}
	return s, nil
}

// own gives a terminal to whom a task's first process runs as.
func (d *Driver) own(terminal *os.File, h *drivers.Handle) error {
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d", h.PID), &st); err != nil {
		return fmt.Errorf("%w: %w", drivers.ErrTaskLost, err)
	}
	if int(st.Uid) == os.Geteuid() {
		return nil
	}
	return terminal.Chown(int(st.Uid), -1)
}

func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn() // Fd would make reads of it block beyond its end
	if err != nil {
		return err
	}
	if rawErr := raw.Control(func(fd uintptr) { err = do(int(fd)) }); rawErr != nil {
		return rawErr
	}
	return err
}

// resize tells the terminal its size. A command that has ended needs none.
func (s *streams) resize(size drivers.Size) {
	if s.onTTY {
		_ = control(s.input, func(fd int) error {
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
		})
	}
}

// pass begins to copy the caller's input and the command's output. Output is waited for.
func (s *streams) pass(copying *sync.WaitGroup, req *drivers.ExecRequest) {
	if s.input != nil && req.Stdin != nil {
		go s.passInput(req.Stdin) // ends with the caller's input
	}
	for _, o := range s.outputs {
		copying.Go(func() { s.passOutput(o.from, o.to(req)) })
	}
}

// endOfInput is what ends the input of a terminal, where it begins a line.
const endOfInput = 4

func (s *streams) passInput(from io.Reader) {
	_, err := io.Copy(s.input, from)
	if !s.onTTY {
		s.input.Close()
	} else if err == nil {
		_, _ = s.input.Write([]byte{endOfInput}) // the command may have ended meanwhile
	}
}

// passOutput copies until the output's end, or until it is quiet once the command has ended.
// A caller that takes no more lets the command write on.
func (s *streams) passOutput(from *os.File, to io.Writer) {
	if to == nil {
		to = io.Discard
	}
	buf := make([]byte, 32<<10)
	for {
		if s.ended.Load() {
			_ = from.SetReadDeadline(time.Now().Add(quiet)) // it is a pipe or a terminal, which can
		}
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				to = io.Discard
			}
		}
		if err != nil { // EOF, of a terminal EIO, or quiet
			return
		}
	}
}

// finish says that the command has ended.
func (s *streams) finish() {
	s.ended.Store(true)
	for _, o := range s.outputs {
		_ = o.from.SetReadDeadline(time.Now().Add(quiet))
	}
}

func (s *streams) closeTheirs() {
	for _, f := range s.theirs {
		f.Close()
	}
	s.theirs = nil
}

func (s *streams) close() {
	s.closeTheirs()
	if s.input != nil {
		s.input.Close()
	}
	for _, o := range s.outputs {
		o.from.Close()
	}
}
