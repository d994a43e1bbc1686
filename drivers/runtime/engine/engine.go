//go:build linux

// Package engine keeps one containerd running for one agent: it starts the binary's own
// when a client is first asked for, adopts one that an earlier agent left, and starts it
// again when it died. Containers do not notice: their shims outlive it.
//
//	e, err := engine.New(engine.Config{DataDir: dir})
//	go e.Run(ctx)
//	c, err := e.Client(ctx)
package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/process"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
)

// Namespace is the one in containerd that everything of ours is in.
const Namespace = "nomadish"

// Config says where the engine keeps its files.
type Config struct {
	// DataDir is the agent's data directory, an absolute path.
	DataDir string
	// Program is the binary with containerd, shim and runc inside; default: this one.
	Program string
	// Ephemeral ends containerd when Run ends, and removes what it kept below /run.
	Ephemeral bool
	// StartTimeout is how long containerd may take until it answers; default 30s.
	StartTimeout time.Duration
	// Logger; default discard.
	Logger *slog.Logger
}

// Engine is the containerd of one agent.
type Engine struct {
	cfg  Config
	l    layout.Layout
	turn chan struct{} // holds one token: who has it may use what follows
	cmd  *exec.Cmd     // the containerd that this process started, if any
	c    *client.Client
	done bool // Run has ended
}

// ErrEnded says that Run has ended, and with it the engine.
var ErrEnded = errors.New("containerd: the agent has ended")

// New checks the configuration and starts nothing.
func New(cfg Config) (*Engine, error) {
	if !filepath.IsAbs(cfg.DataDir) {
		return nil, fmt.Errorf("data_dir: %q is not an absolute path", cfg.DataDir)
	}
	if cfg.Program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		cfg.Program = self
	}
	cfg.StartTimeout = cmp.Or(cfg.StartTimeout, 30*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	e := &Engine{cfg: cfg, l: layout.For(cfg.DataDir), turn: make(chan struct{}, 1)}
	e.turn <- struct{}{}
	return e, nil
}

// Layout says where the runtime's files are.
func (e *Engine) Layout() layout.Layout { return e.l }

// Ephemeral says whether containerd ends with Run.
func (e *Engine) Ephemeral() bool { return e.cfg.Ephemeral }

// Run waits for the end of ctx, then closes the client and, when the engine is ephemeral,
// ends containerd.
func (e *Engine) Run(ctx context.Context) error {
	<-ctx.Done()
	<-e.turn
	defer func() { e.turn <- struct{}{} }()
	e.done = true
	var errs []error
	if e.c != nil {
		errs = append(errs, e.c.Close())
	}
	if e.cfg.Ephemeral {
		errs = append(errs, e.end())
	}
	return errors.Join(errs...)
}

// Client returns a client of a containerd that runs, starting one where there is none. The
// client is shared and stays usable when containerd is started again.
func (e *Engine) Client(ctx context.Context) (*client.Client, error) {
	select {
	case <-e.turn:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { e.turn <- struct{}{} }()
	if e.done {
		return nil, ErrEnded
	}
	if e.c != nil && process.Read(e.l.Process()).Alive() {
		return e.c, nil
	}
	if err := e.start(ctx); err != nil {
		return nil, fmt.Errorf("containerd: %w", err)
	}
	return e.c, nil
}

// start adopts a running containerd or starts one, and waits until it answers.
func (e *Engine) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.StartTimeout)
	defer cancel()
	if id := process.Read(e.l.Process()); id.Alive() {
		adopted, err := e.adopt(ctx, id)
		if adopted || err != nil {
			return err
		}
	}
	if err := e.reap(); err != nil {
		return err
	}
	if err := e.spawn(); err != nil {
		return err
	}
	id, _ := process.Find(e.cmd.Process.Pid)
	if err := e.connect(ctx, id.Alive); err != nil {
		// The one that an agent before this one was just starting when it died was faster.
		if other := process.Read(e.l.Process()); other != id && other.Alive() {
			if adopted, err := e.adopt(ctx, other); adopted || err != nil {
				return err
			}
		}
		return fmt.Errorf("%w%s", err, e.logTail())
	}
	e.cfg.Logger.Debug("started containerd", "pid", id.PID)
	return nil
}

// adopt takes over a running containerd. It ends one that does not answer, and one that is
// unfit: an agent before this one left it. Nothing of ours has been asked of it yet, containers
// run on under their shims, and the next one finds them.
func (e *Engine) adopt(ctx context.Context, id process.ID) (bool, error) {
	why, err := e.unfit(id)
	if err != nil {
		return false, err
	}
	if why != "" {
		e.cfg.Logger.Info("containerd is started again", "why", why, "pid", id.PID, "program", e.cfg.Program)
		if err := id.Kill(unix.SIGTERM, 10*time.Second); err == nil {
			return false, nil
		}
		return false, id.Kill(unix.SIGKILL, 5*time.Second)
	}
	if err = e.connect(ctx, id.Alive); err == nil {
		e.cfg.Logger.Debug("adopted containerd", "pid", id.PID)
		return true, nil
	}
	e.cfg.Logger.Warn("containerd does not answer and is started again", "pid", id.PID, "err", err)
	return false, id.Kill(unix.SIGKILL, 5*time.Second)
}

// unfit says why a running containerd is not to be taken over; empty: there is no reason.
func (e *Engine) unfit(id process.ID) (string, error) {
	if _, err := os.Lstat(e.l.Shim()); errors.Is(err, os.ErrNotExist) {
		return "its directory was removed", nil
	}
	same, err := sameProgram(fmt.Sprintf("/proc/%d/exe", id.PID), e.cfg.Program)
	switch {
	case err != nil && id.Alive():
		return "", fmt.Errorf("compare programs: %w", err)
	case err == nil && !same:
		return "it is of another program", nil
	}
	return "", nil
}

// sameProgram says whether two files hold the same program: one file by two names, or equal
// content.
func sameProgram(a, b string) (bool, error) {
	one, err := os.Stat(a)
	if err != nil {
		return false, err
	}
	two, err := os.Stat(b)
	if err != nil {
		return false, err
	}
	if os.SameFile(one, two) || one.Size() != two.Size() {
		return os.SameFile(one, two), nil
	}
	first, err := digest(a)
	if err != nil {
		return false, err
	}
	second, err := digest(b)
	return first == second, err
}

func digest(path string) (sum [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// reap waits for the containerd that this process started, so that no zombie stays. One that
// still runs is not the one that was found, or did not answer: it is ended.
func (e *Engine) reap() error {
	if e.cmd == nil {
		return nil
	}
	if err := e.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	err := e.cmd.Wait()
	e.cmd = nil
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		e.cfg.Logger.Warn("containerd ended", "status", exit.String())
		return nil
	}
	return err
}

// spawn starts the containerd process, in a session of its own so that no signal to the
// agent's reaches it.
func (e *Engine) spawn() error {
	for _, dir := range []string{e.l.Run, e.l.Data, filepath.Dir(e.l.Shim())} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, link := range []string{e.l.Shim(), e.l.Runc()} {
		if err := replaceLink(e.cfg.Program, link); err != nil {
			return err
		}
	}
	if err := os.Remove(e.l.Socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err // a dead one's: nobody must wait at it
	}
	out, err := os.OpenFile(e.l.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(e.cfg.Program, "containerd", e.l.Data, e.l.Run) //nolint:noctx // it outlives us
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + cmp.Or(os.Getenv("PATH"), "/usr/sbin:/usr/bin:/sbin:/bin")}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	e.cmd = cmd
	return nil
}

func replaceLink(target, link string) error {
	if have, err := os.Readlink(link); err == nil && have == target {
		return nil
	}
	if err := os.Symlink(target, link+".new"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(link+".new", link)
}

// connect waits until containerd answers, as long as its process is alive.
func (e *Engine) connect(ctx context.Context, alive func() bool) error {
	if e.c == nil {
		c, err := client.New(e.l.Socket(), client.WithDefaultNamespace(Namespace))
		if err != nil {
			return err
		}
		e.c = c
	}
	for {
		// The socket's file says when to try; a client that tried too early would back off.
		if _, err := os.Stat(e.l.Socket()); err == nil {
			if conn, ok := e.c.Conn().(*grpc.ClientConn); ok {
				conn.ResetConnectBackoff()
			}
			try, cancel := context.WithTimeout(ctx, 5*time.Second)
			_, err := e.c.Version(try)
			cancel()
			if err == nil {
				return nil
			}
		}
		if !alive() {
			return errors.New("the process ended")
		}
		timer := time.NewTimer(5 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("no answer: %w", context.Cause(ctx))
		case <-timer.C:
		}
	}
}

// logTail is what containerd said last, for an error message.
func (e *Engine) logTail() string {
	f, err := os.Open(e.l.Log())
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 1024
	if info, err := f.Stat(); err == nil && info.Size() > most {
		if _, err := f.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || len(b) == 0 {
		return ""
	}
	return ": " + strings.TrimSpace(string(b))
}

// end stops containerd and removes what it kept for this boot.
func (e *Engine) end() error {
	id := process.Read(e.l.Process())
	err := id.Kill(unix.SIGTERM, 10*time.Second)
	if err != nil {
		err = id.Kill(unix.SIGKILL, 5*time.Second)
	}
	if err := errors.Join(err, e.reap()); err != nil {
		return err
	}
	if err := removeUnmounted(e.l.Run); err != nil {
		return err
	}
	return trees.Prune(e.l.Cgroup())
}

// removeUnmounted removes a directory unless something is still mounted in it, which would
// be emptied as well.
func removeUnmounted(dir string) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			return fmt.Errorf("remove %s: %s is still mounted", dir, f[4])
		}
	}
	return os.RemoveAll(dir)
}
