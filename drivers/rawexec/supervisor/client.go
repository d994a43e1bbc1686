//go:build linux

package supervisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/drivers"
)

// How long a supervisor may take until it takes calls, and how often to look.
const (
	spawnTimeout = 10 * time.Second
	spawnPause   = 10 * time.Millisecond
)

// Client talks to the supervisors of many directories, and starts them.
type Client struct {
	Command []string // runs Serve on the directory that is its last argument, and writes a byte to descriptor 3 when ready

	mu       sync.Mutex
	starting map[string]*sync.Mutex // by directory: one starts its supervisor at a time
	children []int                  // processes of supervisors that this one started
}

// Start starts a task, and first the directory's supervisor where none runs.
func (c *Client) Start(ctx context.Context, dir string, l *Launch) (*Record, error) {
	lock := c.lock(dir)
	lock.Lock()
	defer lock.Unlock()
	ans, err := ask(ctx, dir, request{Start: l})
	for until := time.Now().Add(spawnTimeout); isAbsent(err); {
		// One that an agent before this one started may be about to take calls; then ours ends.
		spawnErr := c.spawn(ctx, dir)
		if ans, err = ask(ctx, dir, request{Start: l}); !isAbsent(err) {
			break
		}
		if spawnErr != nil && time.Now().After(until) || ctx.Err() != nil {
			return nil, drivers.Recoverable(fmt.Errorf("supervisor: %w", errors.Join(spawnErr, ctx.Err())))
		}
		select {
		case <-ctx.Done():
		case <-time.After(spawnPause):
		}
	}
	if err != nil {
		return nil, err
	}
	if ans.Error != "" {
		return nil, errors.New(ans.Error)
	}
	return ans.Record, nil
}

// Wait returns a task's record when it has ended. Where the supervisor is gone and has left
// no word of the end, the error is drivers.ErrTaskLost.
func (c *Client) Wait(ctx context.Context, dir, id string) (*Record, error) {
	defer c.reap()
	ans, err := ask(ctx, dir, request{Wait: id})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err == nil && ans.Error == "" && ans.Record.Exit != nil {
		return ans.Record, nil
	}
	r, loadErr := Load(dir, id) // the supervisor is gone: what it wrote last is all there is
	if loadErr != nil {
		return nil, loadErr
	}
	if r.Exit == nil {
		return r, fmt.Errorf("task %s: %w", id, drivers.ErrTaskLost)
	}
	return r, nil
}

func (c *Client) lock(dir string) *sync.Mutex {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.starting == nil {
		c.starting = map[string]*sync.Mutex{}
	}
	if c.starting[dir] == nil {
		c.starting[dir] = &sync.Mutex{}
	}
	return c.starting[dir]
}

// spawn starts a supervisor, in a session of its own, and returns when it takes calls.
func (c *Client) spawn(ctx context.Context, dir string) error {
	c.reap()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	defer log.Close()
	cmd := exec.Command(c.Command[0], append(c.Command[1:len(c.Command):len(c.Command)], dir)...) //nolint:noctx // it outlives ctx
	cmd.Env = []string{"GOMAXPROCS=1", "GOGC=50"}
	cmd.Dir = "/"
	cmd.Stderr = log
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(cmd.Start(), theirs.Close()); err != nil {
		return err
	}
	c.mu.Lock()
	c.children = append(c.children, cmd.Process.Pid)
	c.mu.Unlock()
	// reap waits for it by its number. The handle would stay open until memory is collected.
	if err := cmd.Process.Release(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	if _, err := ready.Read(make([]byte, 1)); err != nil && ctx.Err() == nil {
		return fmt.Errorf("did not start: see %s: %w", log.Name(), err)
	}
	return ctx.Err()
}

// reap collects supervisors that have ended.
func (c *Client) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	alive := c.children[:0]
	for _, child := range c.children {
		pid, err := syscall.Wait4(child, nil, syscall.WNOHANG, nil)
		if pid == 0 && err == nil || errors.Is(err, syscall.EINTR) {
			alive = append(alive, child)
		}
	}
	c.children = alive
}

// Close forgets the lock of a directory that is no longer used.
func (c *Client) Close(dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.starting, dir)
}

// Running says whether a supervisor takes calls in the directory.
func Running(ctx context.Context, dir string) bool {
	conn, closeDir, err := dial(ctx, dir)
	if err != nil {
		return false
	}
	closeDir()
	conn.Close()
	return true
}

func isAbsent(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

func ask(ctx context.Context, dir string, req request) (*answer, error) {
	conn, closeDir, err := dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer closeDir()
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(req); err != nil {
		return nil, err
	}
	var ans answer
	if err := readLine(conn, &ans); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		} else if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return &ans, nil
}

func dial(ctx context.Context, dir string) (net.Conn, func(), error) {
	root, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket(root))
	if err != nil {
		root.Close()
		return nil, nil, err
	}
	return conn, func() { root.Close() }, nil
}

// socket names the socket in an open directory by a path that is short wherever the
// directory lies: a socket's path may have at most 107 characters.
func socket(dir *os.File) string { return fmt.Sprintf("/proc/self/fd/%d/sock", dir.Fd()) }
