//go:build linux

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/journal"
)

// labelTask holds, on a container, the ID of its task.
const labelTask = "nomadish.dev/task"

// cleanTimeout bounds clearing up after a start that failed.
const cleanTimeout = 30 * time.Second

// How long a start waits for the end of one that was interrupted, and how often it looks.
const (
	settleTimeout = 30 * time.Second
	settlePause   = 20 * time.Millisecond
)

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	set, err := d.cfg.settingsOf(spec)
	if err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	unlock, err := d.tasks.lock(ctx, spec.Key())
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, ctx, err := d.client(ctx)
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	for until := time.Now().Add(settleTimeout); ; {
		h, err := d.existing(ctx, c, spec)
		if h == nil && err == nil {
			h, err = d.startClean(ctx, c, spec, set)
		}
		if err == nil {
			return h, nil
		}
		if occupied(err) && time.Now().Before(until) && pause(ctx, settlePause) == nil {
			continue
		}
		if down(err) {
			err = drivers.Recoverable(err)
		}
		return nil, fmt.Errorf("task %s: %w", spec.Task, err)
	}
}

// startClean starts a task of which nothing is there, or leaves nothing.
func (d *Driver) startClean(ctx context.Context, c *client.Client, spec *drivers.TaskSpec, set *settings) (*drivers.Handle, error) {
	d.notify(spec, set)
	h, err := d.startNew(ctx, c, spec, set)
	if err != nil {
		d.clearUp(ctx, spec)
	}
	return h, err
}

// clearUp removes what a start that failed has made.
func (d *Driver) clearUp(ctx context.Context, spec *drivers.TaskSpec) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := d.abandon(ctx, state{Container: spec.Key(), Cgroup: d.cgroupPath(spec)}); err != nil {
		d.cfg.Logger.Warn("clear up after a failed start", "task", spec.ID, "err", err)
	}
}

// occupied says whether something of the container is there already, or on its way: a start
// that an agent before this one began and did not live to end. It is gone after clearing up,
// or when containerd has finished with it.
func occupied(err error) bool {
	return errdefs.IsAlreadyExists(err) || errdefs.IsFailedPrecondition(err) ||
		strings.Contains(err.Error(), "file exists") // of a bundle, which has no kind
}

// notify says what of the task's options has no effect.
func (d *Driver) notify(spec *drivers.TaskSpec, s *settings) {
	if len(s.withoutEffect) > 0 {
		d.cfg.Notice(spec.ID, "options without effect yet: "+strings.Join(s.withoutEffect, ", "))
	}
	if spec.Network == nil && s.network == "" {
		d.cfg.Notice(spec.ID, "the task uses the host's network: it listens on the host's ports themselves")
	}
	if !d.cfg.Seccomp && !s.privileged && !s.unconfined {
		d.cfg.Notice(spec.ID, "no system call filter: this build's runc has no seccomp")
	}
}

// existing returns the handle of a task that was started before. Of one whose start was
// interrupted before its process ran, nothing is left when it returns none.
func (d *Driver) existing(ctx context.Context, c *client.Client, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	ct, err := c.LoadContainer(ctx, spec.Key())
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	labels, err := ct.Labels(ctx)
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	if labels[labelTask] != spec.ID {
		return nil, fmt.Errorf("container %s belongs to task %s", spec.Key(), labels[labelTask])
	}
	st := state{Container: spec.Key(), Cgroup: labels[labelCgroup], StopSignal: labels[labelSignal]}
	if labels[labelAbandoned] != "" {
		return nil, stillThere(d.remove(ctx, st))
	}
	task, err := ct.Task(ctx, nil)
	if err == nil {
		var started bool
		if started, err = ensureStarted(ctx, task); started {
			return st.handle(spec.ID, int(task.Pid()))
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, drivers.Recoverable(err)
	}
	if _, ended, err := journal.Read(d.l.Exits(), st.Container); err != nil || ended {
		if err != nil {
			return nil, err
		}
		return st.handle(spec.ID, 0)
	}
	return nil, stillThere(d.abandon(ctx, st))
}

// stillThere makes an error that is occupied of one that came of removing.
func stillThere(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errdefs.ErrFailedPrecondition, err)
}

// ensureStarted starts a process that was made and not started, and says whether it was
// started, by whomever; the agent that made it may have died in the middle of that.
func ensureStarted(ctx context.Context, task client.Task) (bool, error) {
	status, err := task.Status(ctx)
	if err != nil || status.Status != client.Created {
		return err == nil, err
	}
	startErr := task.Start(ctx)
	if startErr == nil {
		return true, nil
	}
	if status, err = task.Status(ctx); err != nil || status.Status != client.Created {
		return err == nil, err
	}
	return false, nil // it does not start: a new one says why
}

// abandon removes a container whose start did not succeed. Its process is killed, and an
// agent that comes in between must not take that for the task's end.
func (d *Driver) abandon(ctx context.Context, st state) error {
	c, ctx, err := d.client(ctx)
	if err != nil {
		return err
	}
	ct, err := c.LoadContainer(ctx, st.Container)
	if err == nil {
		_, err = ct.SetLabels(ctx, map[string]string{labelAbandoned: "true"})
	}
	if err := ignoreNotFound(err); err != nil {
		return err
	}
	return d.remove(ctx, st)
}

// Labels of containers.
const (
	labelAbandoned = "nomadish.dev/abandoned"
	labelCgroup    = "nomadish.dev/cgroup"
	labelSignal    = "nomadish.dev/stop-signal"
	labelAlloc     = "nomadish.dev/alloc"
)

func (d *Driver) cgroupPath(spec *drivers.TaskSpec) string {
	if spec.Cgroup == "" {
		return "/nomadish/" + spec.Key()
	}
	return filepath.Join("/", spec.Cgroup)
}

// startNew gets the image, makes the container and runs its process.
func (d *Driver) startNew(ctx context.Context, c *client.Client, spec *drivers.TaskSpec, set *settings) (*drivers.Handle, error) {
	img, err := d.image(ctx, c, spec, set)
	if err != nil {
		return nil, err
	}
	config, err := img.Spec(ctx)
	if err != nil {
		return nil, err
	}
	name := spec.User
	if name == "" {
		name = config.Config.User
	}
	user, err := d.user(ctx, c, img, name, set.groups)
	if err != nil {
		return nil, err
	}
	parts := &container{
		task: spec, set: set, image: config.Config, user: user,
		files: filepath.Join(d.l.Files(), spec.Key()), cgroup: d.cgroupPath(spec),
	}
	if err := parts.writeFiles(); err != nil {
		return nil, err
	}
	st := state{Container: spec.Key(), Cgroup: parts.cgroup, StopSignal: config.Config.StopSignal}
	pid, err := d.run(ctx, c, img, parts, st)
	if err != nil {
		return nil, err
	}
	return st.handle(spec.ID, pid)
}

// run makes the container and starts its process.
func (d *Driver) run(ctx context.Context, c *client.Client, img client.Image, parts *container, st state) (int, error) {
	output, err := spool(parts.task, parts.set.tty)
	if err != nil {
		return 0, err
	}
	if err := journal.Remove(d.l.Exits(), st.Container); err != nil {
		return 0, err
	}
	snapshotter, err := d.pickSnapshotter(ctx, c)
	if err != nil {
		return 0, err
	}
	spec, err := d.spec(ctx, parts)
	if err != nil {
		return 0, err
	}
	ct, err := c.NewContainer(ctx, st.Container,
		client.WithImageName(img.Name()),
		client.WithSnapshotter(snapshotter),
		client.WithNewSnapshot(st.Container, img),
		client.WithSpec(spec),
		client.WithRuntime(d.l.Shim(), &runc.Options{BinaryName: d.l.Runc(), Root: d.l.RuncRoot()}),
		client.WithContainerLabels(parts.labels(st)),
	)
	if err != nil {
		return 0, fmt.Errorf("create the container: %w", err)
	}
	task, err := ct.NewTask(ctx, output)
	if err != nil {
		return 0, fmt.Errorf("create the process: %w", err)
	}
	if err := task.Start(ctx); err != nil {
		return 0, fmt.Errorf("start the process: %w", err)
	}
	return int(task.Pid()), nil
}

// labels are the user's, except for names with a meaning to containerd or us, and ours.
func (c *container) labels(st state) map[string]string {
	out := map[string]string{}
	for k, v := range c.set.labels {
		if !strings.HasPrefix(k, "containerd.io/") && !strings.HasPrefix(k, "io.containerd") &&
			!strings.HasPrefix(k, "nomadish.dev/") && len(k)+len(v) <= 4096 {
			out[k] = v
		}
	}
	out[labelTask] = c.task.ID
	out[labelAlloc] = c.task.AllocID
	out[labelCgroup] = st.Cgroup
	out[labelSignal] = st.StopSignal
	return out
}

// plainIO has the shim write a task's output to files, so that nobody has to be there to
// read it.
type plainIO struct{ files cio.Config }

// Config says which files.
func (p plainIO) Config() cio.Config { return p.files }

// Cancel has nothing to end: nothing of ours copies.
func (p plainIO) Cancel() {}

// Wait has nothing to wait for.
func (p plainIO) Wait() {}

// Close has nothing to close.
func (p plainIO) Close() error { return nil }

// spool makes sure that the task's output files are there: the shim appends to a file but
// makes a pipe of what it does not find.
func spool(spec *drivers.TaskSpec, tty bool) (cio.Creator, error) {
	files := cio.Config{
		Stdout: cmp.Or(spec.Stdout, os.DevNull), Stderr: cmp.Or(spec.Stderr, os.DevNull), Terminal: tty,
	}
	for _, path := range []string{files.Stdout, files.Stderr} {
		if path == os.DevNull {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, fmt.Errorf("output file: %w", err)
		}
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("output file %s is not a regular file", path)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
	}
	if tty {
		files.Stderr = "" // a terminal is one stream
	}
	return func(string) (cio.IO, error) { return plainIO{files}, nil }, nil
}
