//go:build linux

package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/journal"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
)

// The journal may be a little behind: the shim writes it when all output is in its files.
const (
	journalDelay = 2 * time.Second        // behind containerd, which the shim tells at once
	lostDelay    = 500 * time.Millisecond // behind the end of a shim that nobody knows any more
)

// killTimeout is how long a killed container may take to be gone.
const killTimeout = 15 * time.Second

// Recover finds a task again; see drivers.Driver.
func (r *Runtime) Recover(ctx context.Context, h *drivers.Handle) error {
	st, err := stateOf(h)
	if err != nil {
		return err
	}
	_, ended, err := journal.Read(r.l.Exits(), st.Container)
	if err != nil || ended {
		return err
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return drivers.Recoverable(err)
	}
	task, err := r.find(ctx, c, st)
	if err == nil {
		return r.endExecs(ctx, task)
	}
	if !errors.Is(err, drivers.ErrTaskLost) {
		return err
	}
	if _, ended, err = r.journaled(ctx, st, lostDelay); err != nil || ended {
		return err
	}
	return r.lost(ctx, h, st)
}

// find returns the container's task, or ErrTaskLost.
func (r *Runtime) find(ctx context.Context, c *client.Client, st state) (client.Task, error) {
	ct, err := c.LoadContainer(ctx, st.Container)
	if err != nil {
		if errdefs.IsNotFound(err) {
			return nil, drivers.ErrTaskLost
		}
		return nil, err
	}
	task, err := ct.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, drivers.ErrTaskLost
	}
	return task, err
}

// lost makes sure that nothing of a task that nobody watches any more runs on.
func (r *Runtime) lost(ctx context.Context, h *drivers.Handle, st state) error {
	err := fmt.Errorf("task %s: %w", h.ID, drivers.ErrTaskLost)
	return errors.Join(err, r.killGroup(ctx, st))
}

func (r *Runtime) killGroup(ctx context.Context, st state) error {
	if r.groups == nil || st.Cgroup == "" {
		return nil
	}
	return r.groups.Group(st.Cgroup).Kill(ctx)
}

// Wait returns how a task ended; see drivers.Driver. It goes on over restarts of containerd.
func (r *Runtime) Wait(ctx context.Context, h *drivers.Handle) (drivers.Exit, error) {
	st, err := stateOf(h)
	if err != nil {
		return drivers.Exit{}, err
	}
	const patience = 10 // errors in a row that are not containerd's absence
	for wait, other := 20*time.Millisecond, 0; ; wait = min(2*wait, 2*time.Second) {
		exit, err := r.waitOnce(ctx, st)
		switch {
		case err == nil:
			return exit, nil
		case ctx.Err() != nil:
			return drivers.Exit{}, ctx.Err()
		case errors.Is(err, drivers.ErrTaskLost):
			return drivers.Exit{}, r.lost(ctx, h, st)
		}
		if !Down(err) {
			if other++; other == patience {
				return drivers.Exit{}, fmt.Errorf("task %s: wait: %w", h.ID, err)
			}
		}
		r.cfg.Logger.Debug("wait for a container again", "task", h.ID, "err", err)
		if err := pause(ctx, wait); err != nil {
			return drivers.Exit{}, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitOnce waits until the task ends, or something goes wrong with asking.
func (r *Runtime) waitOnce(ctx context.Context, st state) (drivers.Exit, error) {
	if end, ended, err := journal.Read(r.l.Exits(), st.Container); err != nil || ended {
		return r.exit(st, end), err
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return drivers.Exit{}, err
	}
	task, err := r.find(ctx, c, st)
	if errors.Is(err, drivers.ErrTaskLost) {
		if end, ok, _ := r.journaled(ctx, st, lostDelay); ok {
			return r.exit(st, end), nil
		}
	}
	if err != nil {
		return drivers.Exit{}, err
	}
	ended, err := task.Wait(ctx)
	if err != nil {
		return drivers.Exit{}, err
	}
	var status client.ExitStatus
	select {
	case status = <-ended:
	case <-ctx.Done():
		return drivers.Exit{}, ctx.Err()
	}
	code, at, err := status.Result()
	if err != nil {
		return drivers.Exit{}, err
	}
	end, ok, err := r.journaled(ctx, st, journalDelay)
	if err != nil || ok {
		return r.exit(st, end), err
	}
	// The shim was killed, or could not write. A task that its shim still knows has ended as
	// containerd says; otherwise containerd has made the status up.
	if _, err := r.find(ctx, c, st); err != nil {
		return drivers.Exit{}, err
	}
	return r.exit(st, journal.Ending{Code: int(code), Time: at}), nil
}

// journaled waits a moment for the shim's own word on how a task ended.
func (r *Runtime) journaled(ctx context.Context, st state, limit time.Duration) (journal.Ending, bool, error) {
	for until := time.Now().Add(limit); ; {
		end, ok, err := journal.Read(r.l.Exits(), st.Container)
		if ok || err != nil || time.Now().After(until) {
			return end, ok, err
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return end, false, err
		}
	}
}

// exit adds what the control group, which stays until Remove, knows of the task's memory.
func (r *Runtime) exit(st state, end journal.Ending) drivers.Exit {
	e := drivers.Exit{Code: end.Code, OOMKilled: end.OOM, Time: end.Time}
	if s := end.Code - 128; s > 0 && s < 65 {
		e.Signal = s
	}
	if r.groups == nil {
		return e
	}
	g := r.groups.Group(st.Cgroup)
	if kills, err := g.OOMKills(); err == nil && kills > 0 && e.Code != 0 {
		e.OOMKilled = true
	}
	if e.OOMKilled {
		if u, err := g.Usage(end.Time); err == nil {
			e.OOMPeak = int64(u.MemoryPeak)
		}
	}
	return e
}

// Stop ends a task; see drivers.Driver.
func (r *Runtime) Stop(ctx context.Context, h *drivers.Handle, signal string, grace time.Duration) error {
	st, err := stateOf(h)
	if err != nil {
		return err
	}
	if signal == "" {
		signal = st.StopSignal
	}
	n := unix.SIGTERM
	if signal != "" {
		if n, err = signalNumber(signal); err != nil {
			return err
		}
	}
	if grace > 0 {
		if err := r.kill(ctx, st, n); err != nil {
			return ignoreEnded(err)
		}
		if done, err := r.EndsWithin(ctx, h, grace); done || err != nil {
			return err
		}
	}
	if err := r.kill(ctx, st, unix.SIGKILL, client.WithKillAll); err != nil && ignoreEnded(err) != nil {
		return err
	}
	if done, err := r.EndsWithin(ctx, h, killTimeout); done || err != nil {
		return err
	}
	return fmt.Errorf("task %s: still there %s after it was killed", h.ID, killTimeout)
}

// kill sends the task a signal.
func (r *Runtime) kill(ctx context.Context, st state, n syscall.Signal, opts ...client.KillOpts) error {
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return err
	}
	task, err := r.find(ctx, c, st)
	if err != nil {
		return err
	}
	return task.Kill(ctx, n, opts...)
}

// EndsWithin says whether the task ended in time.
func (r *Runtime) EndsWithin(ctx context.Context, h *drivers.Handle, limit time.Duration) (bool, error) {
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := r.Wait(wait, h)
	switch {
	case err == nil, errors.Is(err, drivers.ErrTaskLost):
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case wait.Err() != nil:
		return false, nil
	}
	return false, err
}

// ignoreEnded drops errors that say that there is no such process any more.
func ignoreEnded(err error) error {
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) || errors.Is(err, drivers.ErrTaskLost) {
		return nil
	}
	return err
}

func signalNumber(name string) (syscall.Signal, error) {
	name = strings.ToUpper(name)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	n := unix.SignalNum(name)
	if n == 0 {
		return 0, fmt.Errorf("signal %q is not known", name)
	}
	return n, nil
}

// Signal sends a running task a signal; see drivers.Signaler.
func (r *Runtime) Signal(ctx context.Context, h *drivers.Handle, signal string) error {
	st, err := stateOf(h)
	if err != nil {
		return err
	}
	n, err := signalNumber(signal)
	if err != nil {
		return err
	}
	if err := r.kill(ctx, st, n); err != nil {
		return fmt.Errorf("task %s: signal %s: %w", h.ID, signal, err)
	}
	return nil
}

// Stats reads what a running task uses; see drivers.StatsReader.
func (r *Runtime) Stats(_ context.Context, h *drivers.Handle) (*drivers.Usage, error) {
	st, err := stateOf(h)
	if err != nil {
		return nil, err
	}
	if r.groups == nil || !r.groups.Group(st.Cgroup).Exists() {
		return nil, fmt.Errorf("task %s: its control group is gone: %w", h.ID, drivers.ErrTaskLost)
	}
	return r.groups.Group(st.Cgroup).Usage(r.cfg.Now())
}

// Remove frees all that Start made; see drivers.Driver.
func (r *Runtime) Remove(ctx context.Context, h *drivers.Handle) error {
	st, err := stateOf(h)
	if err != nil {
		return err
	}
	unlock, err := r.tasks.Take(ctx, st.Container)
	if err != nil {
		return err
	}
	defer unlock()
	if err := r.remove(ctx, st); err != nil {
		return fmt.Errorf("task %s: remove: %w", h.ID, err)
	}
	return nil
}

func (r *Runtime) remove(ctx context.Context, st state) error {
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return err
	}
	ct, err := c.LoadContainer(ctx, st.Container)
	if err == nil {
		err = r.removeContainer(ctx, ct, st)
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	snapshotter, err := r.Snapshotter(ctx, c)
	if err != nil {
		return err
	}
	// A start that was cut short may have got no further than the snapshot.
	err = ignoreNotFound(c.SnapshotService(snapshotter).Remove(ctx, st.Container))
	return errors.Join(err, r.removeFiles(ctx, st))
}

// removeContainer returns when the shim has written the process's end: written later, it
// would be taken for that of the next container of this name.
func (r *Runtime) removeContainer(ctx context.Context, ct client.Container, st state) error {
	err := r.deleteTask(ctx, ct)
	if err == nil {
		_, _, err = r.journaled(ctx, st, journalDelay)
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	return ct.Delete(ctx, client.WithSnapshotCleanup)
}

// deleteTask kills a container's process and has its shim forget it. A shim that has nothing left
// ends; it takes no new container once this returns.
func (r *Runtime) deleteTask(ctx context.Context, ct client.Container) error {
	task, err := ct.Task(ctx, nil)
	if err != nil {
		return err
	}
	// It may take a while, for which nobody else has to wait.
	if err := client.WithProcessKill(ctx, task); err != nil {
		return err
	}
	info, err := ct.Info(ctx, client.WithoutRefreshedMetadata)
	if err != nil {
		return err
	}
	done, err := r.shims.Take(ctx, shimOf(info.Labels[labelAlloc], ct.ID()))
	if err != nil {
		return err
	}
	defer done()
	_, err = task.Delete(ctx, client.WithProcessKill)
	return err
}

// removeFiles removes what is not containerd's. The journal goes last: as long as it is
// there, the task's end is known.
func (r *Runtime) removeFiles(ctx context.Context, st state) error {
	err := r.killGroup(ctx, st)
	if err == nil && r.groups != nil && st.Cgroup != "" {
		err = errors.Join(r.groups.Group(st.Cgroup).Remove(), trees.PruneBare(st.Cgroup))
	}
	files := filepath.Join(r.l.Files(), st.Container)
	if err = errors.Join(err, unmountSys(filepath.Join(files, sysName))); err == nil {
		err = os.RemoveAll(files)
	}
	if err != nil {
		return err
	}
	return journal.Remove(r.l.Exits(), st.Container)
}
