//go:build linux

package supervisor

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// endTimeout bounds how long a command that is to end may take to be gone.
const endTimeout = 10 * time.Second

// taskEnded says why a command was ended.
const taskEnded = "the task has ended"

// maxFiles bounds the descriptors that come with a request: the standard streams.
const maxFiles = 3

// Exec is a command to run beside a task: as its user, with its environment, in its
// directory, network and cgroup.
type Exec struct {
	Task string
	Args []string
	TTY  bool // its only file is a terminal; otherwise they are standard input, output and error
}

// execution is a command that runs beside a task.
type execution struct {
	record Record
	group  cgroup.Group // zero where the task has none
	exit   *drivers.Exit
	ended  chan struct{} // closed when exit is set
}

// exec runs a command with the files that came with the request and writes two answers: that it
// runs, and how it ended. When the caller hangs up or the task ends before, the command ends too,
// with all that it has started.
func (s *server) exec(ctx context.Context, conn net.Conn, x *Exec, from *filesOf) error {
	t, e, err := s.startExec(x, from.files)
	from.close() // or the command's streams would not end with it
	out := json.NewEncoder(conn)
	if err != nil {
		return out.Encode(answer{Error: err.Error()})
	}
	why := ""
	if err = out.Encode(answer{Record: &e.record}); err == nil {
		select {
		case <-e.ended:
			select { // what killed both may have left the command a moment to say otherwise
			case <-t.ended:
				why = taskEnded
			default:
			}
		case <-t.ended:
			why = taskEnded
		case <-hangUp(conn):
			why = "ended by its caller"
		case <-ctx.Done():
			why = "the supervisor ends"
		}
	}
	e.end()
	if why != "" || err != nil {
		return errors.Join(err, out.Encode(answer{Error: why}))
	}
	r := e.record
	r.Exit = e.exit
	return out.Encode(answer{Record: &r})
}

// startExec starts a command beside a task.
func (s *server) startExec(x *Exec, files []*os.File) (*task, *execution, error) {
	if len(x.Args) == 0 || len(files) != 1 && x.TTY || len(files) != maxFiles && !x.TTY {
		return nil, nil, fmt.Errorf("a command of %d words with %d files", len(x.Args), len(files))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tasks[x.Task]
	if t == nil || t.launch == nil {
		return nil, nil, drivers.ErrTaskLost
	}
	path, err := Find(x.Args[0], t.launch.Dirs, t.launch.Search)
	if err != nil {
		return nil, nil, err
	}
	e := &execution{record: Record{ID: x.Task, Cgroup: t.record.Cgroup}, ended: make(chan struct{})}
	attr := t.launch.attributes()
	attr.Sys.Setctty = x.TTY // descriptor 0
	for i := range maxFiles {
		attr.Files = append(attr.Files, files[min(i, len(files)-1)].Fd())
	}
	if x.TTY {
		attr.Env = withTerminal(attr.Env)
	}
	var group *cgroup.Group
	if s.cgroups != nil && t.record.Cgroup != "" {
		if e.group, err = s.cgroups.Group(t.record.Cgroup).Below("exec-" + rand.Text()); err != nil {
			return nil, nil, err
		}
		group = &e.group
	}
	e.record.PID, err = spawn(path, x.Args, attr, t.launch.Network, group)
	if err != nil {
		return nil, nil, errors.Join(err, e.removeGroup())
	}
	s.execs[e.record.PID] = e
	stat, err := process.ReadStat(e.record.PID)
	if err != nil {
		return nil, nil, errors.Join(err, syscall.Kill(-e.record.PID, syscall.SIGKILL))
	}
	e.record.Ticks = stat.Start
	return t, e, nil
}

// withTerminal adds the kind of a terminal where the task's environment names none.
func withTerminal(env []string) []string {
	for _, v := range env {
		if strings.HasPrefix(v, "TERM=") {
			return env
		}
	}
	return append(env[:len(env):len(env)], "TERM=xterm")
}

// end kills a command that has not ended, and what it has started. What one that has ended
// left behind goes on with the task, and so does its group then.
func (e *execution) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	var err error
	select {
	case <-e.ended:
	default:
		if e.record.Cgroup != "" {
			err = e.group.Kill(ctx)
		} else {
			err = e.record.Process().KillSession(ctx)
		}
	}
	if err := errors.Join(err, e.removeGroup()); err != nil {
		complain(e.record.ID, fmt.Errorf("command %d: %w", e.record.PID, err))
	}
}

func (e *execution) removeGroup() error {
	if e.record.Cgroup == "" {
		return nil
	}
	return e.group.RemoveEmpty()
}

// filesOf reads from a connection and keeps the descriptors that come with the bytes.
type filesOf struct {
	conn  *net.UnixConn
	files []*os.File
}

func (f *filesOf) close() {
	for _, file := range f.files {
		file.Close()
	}
	f.files = nil
}

func (f *filesOf) Read(b []byte) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, m, _, _, err := f.conn.ReadMsgUnix(b, rights)
	if err == nil && n == 0 {
		err = io.EOF
	}
	messages, parseErr := unix.ParseSocketControlMessage(rights[:m])
	if parseErr != nil {
		return n, errors.Join(err, parseErr)
	}
	for _, message := range messages {
		fds, rightsErr := unix.ParseUnixRights(&message)
		if rightsErr != nil {
			return n, errors.Join(err, rightsErr)
		}
		for _, fd := range fds {
			f.files = append(f.files, os.NewFile(uintptr(fd), "stream"))
		}
	}
	return n, err
}

// Session is a command that runs beside a task.
type Session struct {
	conn   *net.UnixConn
	lines  *bufio.Reader
	record *Record
}

// Exec starts a command beside a task, with copies of files.
func (c *Client) Exec(ctx context.Context, dir string, x *Exec, files ...*os.File) (*Session, error) {
	conn, closeDir, err := dial(ctx, dir)
	if err != nil {
		if isAbsent(err) {
			err = fmt.Errorf("%w: no supervisor", drivers.ErrTaskLost)
		}
		return nil, err
	}
	defer closeDir()
	s := &Session{conn: conn.(*net.UnixConn), lines: bufio.NewReader(conn)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	line, err := json.Marshal(request{Exec: x})
	if err == nil {
		err = s.send(append(line, '\n'), files)
	}
	if err == nil {
		s.record, err = s.read()
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return s, nil
}

// send sends a request. The first byte takes the files along: a long line goes in pieces.
func (s *Session) send(line []byte, files []*os.File) error {
	if len(line) > maxRequest {
		return fmt.Errorf("the command's %d bytes are more than %d", len(line), maxRequest)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
		if err := unix.SetNonblock(fds[i], false); err != nil { // as programs expect it
			return err
		}
	}
	if _, _, err := s.conn.WriteMsgUnix(line[:1], unix.UnixRights(fds...), nil); err != nil {
		return err
	}
	_, err := s.conn.Write(line[1:])
	return err
}

func (s *Session) read() (*Record, error) {
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%w: its supervisor has gone", drivers.ErrTaskLost)
	}
	var ans answer
	if err := json.Unmarshal(line, &ans); err != nil {
		return nil, err
	}
	if ans.Error != "" {
		return nil, errors.New(ans.Error)
	}
	if ans.Record == nil {
		return nil, errors.New("the supervisor is of an earlier version and runs no commands")
	}
	return ans.Record, nil
}

// Wait returns how the command ended. Where the supervisor is gone, it ends the command.
func (s *Session) Wait() (*drivers.Exit, error) {
	r, err := s.read()
	if errors.Is(err, drivers.ErrTaskLost) {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		return nil, errors.Join(err, s.record.Process().KillSession(ctx))
	}
	if err != nil {
		return nil, err
	}
	return r.Exit, nil
}

// HangUp ends the command, with all that it has started. Wait returns then.
func (s *Session) HangUp() error {
	return errors.Join(s.conn.CloseWrite(), s.conn.SetReadDeadline(time.Now().Add(2*endTimeout)))
}

// Close frees the session. A command that still runs is ended soon after.
func (s *Session) Close() {
	_ = s.conn.Close() // nothing is written any more
}
