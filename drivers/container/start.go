//go:build linux

package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	runc "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/journal"
)

// cleanTimeout bounds clearing up after a start that failed.
const cleanTimeout = 30 * time.Second

// How long a start waits for the end of one that was interrupted, or tries again over the ends
// of containerd, and how often it looks.
const (
	settleTimeout  = 2 * time.Minute
	settlePause    = 20 * time.Millisecond // doubled each time
	maxSettlePause = 500 * time.Millisecond
)

// Start runs a task of a driver; see drivers.Driver. plan is asked when there is no such task
// yet, and again when something of an interrupted start had to go first.
func (r *Runtime) Start(ctx context.Context, driver string, spec *drivers.TaskSpec, plan Planner) (*drivers.Handle, error) {
	unlock, err := r.tasks.Take(ctx, spec.Key())
	if err != nil {
		return nil, err
	}
	defer unlock()
	wait := settlePause
	for until := time.Now().Add(settleTimeout); ; wait = min(2*wait, maxSettlePause) {
		h, err := r.try(ctx, driver, spec, plan)
		if err == nil {
			return h, nil
		}
		// That containerd ended is no fault of the task's, and must not use up its restarts.
		passing := occupied(err) || Down(err) || left(err) || errors.Is(err, errEngine)
		if passing && time.Now().Before(until) && pause(ctx, wait) == nil {
			continue
		}
		if Down(err) { // or it is cleared up already
			(&start{Runtime: r, task: spec}).clearUp(ctx)
		}
		if passing {
			err = drivers.Recoverable(err)
		}
		return nil, fmt.Errorf("task %s: %w", spec.Task, err)
	}
}

// errEngine says that containerd could not be started.
var errEngine = errors.New("no containerd")

// try makes one attempt at a start.
func (r *Runtime) try(ctx context.Context, driver string, spec *drivers.TaskSpec, plan Planner) (*drivers.Handle, error) {
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errEngine, err)
	}
	s := &start{Runtime: r, c: c, driver: driver, task: spec, plan: plan}
	h, err := s.existing(ctx)
	if h != nil || err != nil {
		return h, err
	}
	return s.clean(ctx)
}

// start is one task on its way.
type start struct {
	*Runtime
	c      *client.Client
	driver string
	task   *drivers.TaskSpec
	plan   Planner
}

// clean starts a task of which nothing is there, or leaves nothing. Where containerd ended meanwhile, the
// task may run: the next try finds it, and so it is not started twice.
func (s *start) clean(ctx context.Context) (*drivers.Handle, error) {
	h, err := s.anew(ctx)
	if err != nil && !Down(err) {
		s.clearUp(ctx)
	}
	return h, err
}

// clearUp removes what a start that failed has made.
func (s *start) clearUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	if err := s.abandon(ctx, s.state()); err != nil {
		s.cfg.Logger.Warn("clear up after a failed start", "task", s.task.ID, "err", err)
	}
}

// state is what is known of the task before its plan is.
func (s *start) state() state {
	group := "/nomadish/" + s.task.Key()
	if s.task.Cgroup != "" {
		group = filepath.Join("/", s.task.Cgroup)
	}
	return state{Container: s.task.Key(), Cgroup: group}
}

// occupied says whether something of the container is there already, or on its way: a start
// that an agent before this one began and did not live to end. It is gone after clearing up,
// or when containerd has finished with it.
func occupied(err error) bool {
	return errdefs.IsAlreadyExists(err) || errdefs.IsFailedPrecondition(err) ||
		strings.Contains(err.Error(), "file exists") // of a bundle, which has no kind
}

// left says whether the allocation's shim ended just as it was to make the container: with the
// task before this one, the last that it had. The next try finds none and starts one.
func left(err error) bool {
	for _, text := range []string{ // which have no kind
		"ttrpc: closed",
		"failed to create TTRPC connection: dial unix", // it was there a moment ago
		"remove pre-existing socket",                   // it did so itself
	} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// existing returns the handle of a task that was started before. Of one whose start was
// interrupted before its process ran, nothing is left when it returns none.
func (s *start) existing(ctx context.Context) (*drivers.Handle, error) {
	id := s.task.Key()
	ct, err := s.c.LoadContainer(ctx, id)
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
	if labels[labelTask] != s.task.ID {
		return nil, fmt.Errorf("container %s belongs to task %s", id, labels[labelTask])
	}
	st := state{Container: id, Cgroup: labels[labelCgroup], StopSignal: labels[labelSignal]}
	if labels[labelAbandoned] != "" {
		return nil, stillThere(s.remove(ctx, st))
	}
	task, err := ct.Task(ctx, nil)
	if err == nil {
		var started bool
		if started, err = ensureStarted(ctx, task); started {
			return st.handle(s.driver, s.task.ID, int(task.Pid()))
		}
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, drivers.Recoverable(err)
	}
	if _, ended, err := journal.Read(s.l.Exits(), st.Container); err != nil || ended {
		if err != nil {
			return nil, err
		}
		return st.handle(s.driver, s.task.ID, 0)
	}
	return nil, stillThere(s.abandon(ctx, st))
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
func (r *Runtime) abandon(ctx context.Context, st state) error {
	c, ctx, err := r.Client(ctx)
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
	return r.remove(ctx, st)
}

// anew makes the container and runs its process.
func (s *start) anew(ctx context.Context) (*drivers.Handle, error) {
	p, err := s.plan(ctx, s.c)
	if err != nil {
		return nil, err
	}
	st := s.state()
	st.StopSignal = p.StopSignal
	b := &builder{task: s.task, plan: p, files: filepath.Join(s.l.Files(), st.Container), cgroup: st.Cgroup, filter: s.cfg.Seccomp}
	if err := b.writeFiles(); err != nil {
		return nil, err
	}
	if p.Remap != nil {
		done, err := s.remap(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("userns: %w", err)
		}
		defer done()
	}
	pid, err := s.run(ctx, b, st)
	if err != nil {
		return nil, err
	}
	return st.handle(s.driver, s.task.ID, pid)
}

// run makes the container and starts its process.
func (s *start) run(ctx context.Context, b *builder, st state) (int, error) {
	stdin := ""
	if b.plan.Stdin {
		stdin = filepath.Join(b.files, "stdin")
	}
	to, err := streams(s.task, b.plan.TTY, stdin)
	if err != nil {
		return 0, err
	}
	if err := journal.Remove(s.l.Exits(), st.Container); err != nil {
		return 0, err
	}
	spec, err := b.spec(ctx)
	if err != nil {
		return 0, err
	}
	labels := st.labels(s.task, b.plan.Labels)
	if b.users != nil {
		labels[labelUsers] = strconv.FormatUint(uint64(b.users.first), 10)
	}
	opts := []client.NewContainerOpts{
		client.WithSpec(spec),
		s.runtime(b),
		client.WithContainerLabels(labels),
	}
	if root := b.plan.Root; root.Image != nil {
		snapshotter, err := s.Snapshotter(ctx, s.c)
		if err != nil {
			return 0, err
		}
		opts = append(opts, client.WithImageName(root.Image.Name()), client.WithSnapshotter(snapshotter),
			client.WithNewSnapshot(st.Container, root.Image, b.snapshot()...))
	} else if root.Dir == "" {
		return 0, errors.New("the plan has no root")
	}
	ct, err := s.c.NewContainer(ctx, st.Container, opts...)
	if err != nil {
		return 0, fmt.Errorf("create the container: %w", err)
	}
	task, err := s.create(ctx, ct, to, b.rootMounts()...)
	if err != nil {
		return 0, fmt.Errorf("create the process: %w", err)
	}
	if err := task.Start(ctx); err != nil {
		return 0, fmt.Errorf("start the process: %w", err)
	}
	return int(task.Pid()), nil
}

// create has the allocation's shim make the container's process. A shim from which the last
// container is being removed is not asked: it ends, and the next one is started.
func (s *start) create(ctx context.Context, ct client.Container, to cio.Creator, opts ...client.NewTaskOpts) (client.Task, error) {
	done, err := s.shims.Share(ctx, shimOf(s.task.AllocID, ct.ID()))
	if err != nil {
		return nil, err
	}
	defer done()
	return ct.NewTask(ctx, to, opts...)
}

// runtime says what makes the container, and how.
func (s *start) runtime(b *builder) client.NewContainerOpts {
	uid, gid := b.owner()
	return client.WithRuntime(s.l.Shim(), &runc.Options{
		BinaryName: cmp.Or(s.cfg.Runc, s.l.Runc()), Root: s.l.RuncRoot(), NoPivotRoot: b.plan.Root.NoPivot,
		IoUid: uid, IoGid: gid,
	})
}
