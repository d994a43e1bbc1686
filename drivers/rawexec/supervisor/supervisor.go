//go:build linux

// Package supervisor is the one helper process of an allocation whose tasks are plain
// processes. It starts them, outlives the agent, and writes down how each ended.
//
// The agent talks to it through Client, over a socket in a directory that only the agent's
// user can enter; the program that it runs calls Serve. Each start of a task has a record in
// that directory, written before the start is answered and again, synced, at its end.
package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/output"
	"github.com/nomadish/nomadish/drivers/runtime/process"
	"golang.org/x/sys/unix"
)

// idle is how long a supervisor without tasks and callers stays.
const idle = 5 * time.Second

// maxRequest bounds a request's bytes: command line and environment.
const maxRequest = 4 << 20

// Launch says what to start.
type Launch struct {
	ID       string
	Path     string // of the program, absolute
	Args     []string
	Env      []string
	Dir      string
	User     *User // nil: the supervisor's own
	Stdout   drivers.Output
	Stderr   drivers.Output
	Cgroup   string // below each tree's root; empty: none
	OOMScore int
	Network  string // path of the network namespace; empty: the supervisor's

	// Where programs are looked up that run beside the task: see Find.
	Dirs, Search []string
}

// User is whom a task runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
}

// Record is what is known of one start of a task.
type Record struct {
	ID     string
	PID    int
	Ticks  uint64 // the process's start time in clock ticks since boot: tells it from a later one with its PID
	Cgroup string
	Exit   *drivers.Exit // nil: not ended, or nobody saw it
}

// request is one line from a client; the answer is one line back.
type request struct {
	Start *Launch `json:",omitempty"`
	Wait  string  `json:",omitempty"` // a task's ID: answered at its end
	Exec  *Exec   `json:",omitempty"` // with its files: answered at its start and at its end
}

type answer struct {
	Record *Record `json:",omitempty"`
	Error  string  `json:",omitempty"`
}

// server is a running supervisor.
type server struct {
	dir     string
	cgroups *cgroup.System // nil: none here
	logs    output.Set
	pumps   sync.WaitGroup // of the pipes that somebody may still write to

	mu      sync.Mutex // held over fork, so that the reaper finds every child's task
	tasks   map[string]*task
	byPID   map[int]*task
	execs   map[int]*execution // by PID
	callers int
	open    int           // pipes that are not at their end
	changed chan struct{} // poked when a task ended or a caller came or went
}

type task struct {
	record Record
	launch *Launch // nil when it has ended
	oom    uint64  // kills counted in its cgroup before it started
	output pipes
	ended  chan struct{}
}

// Serve runs the supervisor of a directory until it has had no tasks and no callers for a
// while. Two cannot serve one directory. ready is closed when callers can connect.
func Serve(ctx context.Context, dir string, ready func()) error {
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another supervisor is here: %w", dir, err)
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the parent of orphans: %w", err)
	}
	if err := os.Remove(filepath.Join(dir, "sock")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket(root))
	if err != nil {
		return err
	}
	s := &server{dir: dir, tasks: map[string]*task{}, byPID: map[int]*task{}, execs: map[int]*execution{}, changed: make(chan struct{}, 1)}
	if s.cgroups, err = cgroup.Detect("/"); err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	debug.FreeOSMemory() // what package initialisation took is not needed again
	ready()
	return s.run(ctx, listener)
}

// run serves callers and reaps children until the supervisor is idle or ctx ends.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer s.pumps.Wait()
	defer work.Wait()
	defer cancel()
	defer listener.Close()
	children := make(chan os.Signal, 1)
	stop := notifyChildren(children)
	defer stop()
	work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // run closed it
			}
			s.count(1)
			work.Go(func() { defer s.count(-1); s.serve(ctx, conn) })
		}
	})
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		if s.busy() {
			timer.Stop()
		} else {
			timer.Reset(idle)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			return nil
		case <-s.changed:
		case <-children:
			s.reap()
		}
	}
}

func (s *server) count(n int) {
	s.mu.Lock()
	s.callers += n
	s.mu.Unlock()
	s.poke()
}

func (s *server) poke() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *server) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.callers > 0 || len(s.byPID) > 0 || s.open > 0
}

// load reads the records of tasks that ended under an earlier supervisor.
func (s *server) load() error {
	records, err := Records(s.dir)
	for _, r := range records {
		t := &task{record: r, ended: make(chan struct{})}
		close(t.ended)
		s.tasks[r.ID] = t
	}
	return err
}

func (s *server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var req request
	var ans answer
	from := &filesOf{conn: conn.(*net.UnixConn)}
	defer from.close()
	if err := readLine(from, &req); err != nil {
		return // the caller went away
	}
	switch {
	case req.Start != nil:
		r, err := s.start(ctx, req.Start)
		ans = answer{Record: r}
		if err != nil {
			ans.Error = err.Error()
		}
	case req.Wait != "":
		ans = s.wait(ctx, conn, req.Wait)
	case req.Exec != nil:
		_ = s.exec(ctx, conn, req.Exec, from) // nobody is left to tell
		return
	}
	if err := json.NewEncoder(conn).Encode(ans); err != nil {
		return // the caller went away; the record on disk tells the next one
	}
}

// wait answers when the task has ended, or when the caller hangs up.
func (s *server) wait(ctx context.Context, conn net.Conn, id string) answer {
	s.mu.Lock()
	t := s.tasks[id]
	s.mu.Unlock()
	if t == nil {
		return answer{Error: drivers.ErrTaskLost.Error()}
	}
	select {
	case <-t.ended:
		r := t.record
		return answer{Record: &r}
	case <-ctx.Done():
	case <-hangUp(conn):
	}
	return answer{Error: "gone"}
}

// hangUp returns a channel that is closed when a caller no longer waits.
func hangUp(conn net.Conn) <-chan struct{} {
	gone := make(chan struct{})
	go func() { // ends when the connection does, which serve closes
		defer close(gone)
		var b [1]byte
		_, _ = conn.Read(b[:]) // whatever comes back
	}()
	return gone
}

// start starts a task, or returns the record of one that was started before.
func (s *server) start(ctx context.Context, l *Launch) (*Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tasks[l.ID]; t != nil {
		r := t.record
		return &r, nil
	}
	t := &task{record: Record{ID: l.ID, Cgroup: l.Cgroup}, launch: l, ended: make(chan struct{})}
	if s.cgroups != nil && l.Cgroup != "" {
		var err error
		if t.oom, err = s.cgroups.Group(l.Cgroup).OOMKills(); err != nil {
			return nil, err
		}
	}
	out, err := s.pipes(l)
	if err != nil {
		return nil, err
	}
	pid, err := s.fork(l, out)
	if err != nil {
		return nil, errors.Join(err, out.close())
	}
	s.pump(ctx, l.ID, out)
	t.record.PID, t.output = pid, out
	stat, err := process.ReadStat(pid)
	if t.record.Ticks = stat.Start; err == nil {
		err = save(s.dir, &t.record)
	}
	if err != nil { // a task without a record could not be found again
		return nil, errors.Join(err, syscall.Kill(-pid, syscall.SIGKILL))
	}
	s.tasks[l.ID], s.byPID[pid] = t, t
	r := t.record
	return &r, nil
}

// reap collects every child that has ended and writes down how the tasks among them did.
func (s *server) reap() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return // no child has ended, or none is left
		}
		if t := s.byPID[pid]; t != nil {
			delete(s.byPID, pid)
			s.finish(t, status)
		}
		if e := s.execs[pid]; e != nil {
			delete(s.execs, pid)
			e.exit = exitOf(status)
			close(e.ended)
		}
	}
}

func exitOf(status syscall.WaitStatus) *drivers.Exit {
	exit := &drivers.Exit{Code: status.ExitStatus(), Time: time.Now()}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
		exit.Code = 128 + exit.Signal
	}
	return exit
}

// finish writes down how a task ended, when all that it had said until then is in its log.
func (s *server) finish(t *task, status syscall.WaitStatus) {
	exit := exitOf(status)
	t.output.drain(t.record.ID)
	t.output = pipes{}
	if s.cgroups != nil && t.record.Cgroup != "" {
		g := s.cgroups.Group(t.record.Cgroup)
		if n, err := g.OOMKills(); err == nil && n > t.oom {
			exit.OOMKilled = true
			if u, err := g.Usage(exit.Time); err == nil {
				exit.OOMPeak = int64(u.MemoryPeak)
			}
		}
	}
	t.record.Exit, t.launch = exit, nil
	if err := save(s.dir, &t.record); err != nil {
		complain(t.record.ID, fmt.Errorf("exit %d is not recorded: %w", exit.Code, err))
	}
	close(t.ended)
	s.poke()
}
