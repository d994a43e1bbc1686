//go:build linux

// Package rawexec is the driver that runs tasks as plain processes of the host, without
// isolation. One small supervisor per allocation starts them and outlives the agent.
//
// The program that runs the supervisor is the caller's: main packages pass their
// arguments to Supervise when the first of them is Subcommand.
package rawexec

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/rawexec/supervisor"
	"github.com/nomadish/nomadish/drivers/runtime/process"
	"github.com/nomadish/nomadish/drivers/runtime/trees"
	"github.com/nomadish/nomadish/nomadish"
	"golang.org/x/sys/unix"
)

// Name is the name that jobs use.
const Name = "raw_exec"

// Subcommand is the first argument of a process that is to be a supervisor.
const Subcommand = "supervise"

// Config of the driver.
type Config struct {
	Dir     string   // where records and sockets of supervisors are kept; required
	Command []string // starts a supervisor; default: this program with Subcommand
}

// Driver is the raw_exec driver.
type Driver struct {
	dir         string
	supervisors supervisor.Client
	cgroups     *cgroup.System // nil: none that can be written
	commands    commands
}

// New returns a driver.
func New(cfg Config) (*Driver, error) {
	if cfg.Dir == "" {
		return nil, errors.New("raw_exec: Dir is missing")
	}
	if len(cfg.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("raw_exec: %w", err)
		}
		cfg.Command = []string{self, Subcommand}
	}
	d := &Driver{dir: cfg.Dir, supervisors: supervisor.Client{Command: cfg.Command}}
	sys, err := cgroup.Detect("/")
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return nil, fmt.Errorf("raw_exec: %w", err)
	}
	if err == nil {
		d.cgroups = sys
	}
	return d, nil
}

// Supervise runs a supervisor for the arguments that follow Subcommand.
func Supervise(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s wants one directory", Subcommand)
	}
	if err := trees.Join(group); err == nil {
		defer func() { complain(trees.Leave(group)) }()
	} else {
		complain(err)
	}
	ready := os.NewFile(3, "ready")
	return supervisor.Serve(ctx, args[0], func() {
		if _, err := ready.Write([]byte{1}); err == nil {
			ready.Close()
		}
	})
}

// group is the control group of all supervisors: outside the agent's, so that what stops the
// agent's service leaves them alone.
const group = "nomadish-runtime/supervisors"

// complain writes an error to the supervisor's log. Who may not make control groups stays in
// those it has, and there is nothing to say.
func complain(err error) {
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		fmt.Fprintln(os.Stderr, "control group:", err)
	}
}

// Schema describes the options of raw_exec.
func (d *Driver) Schema() drivers.Schema {
	return drivers.Schema{
		"command":            {Type: nomadish.ConfigString, Required: true, Doc: "The program: a path, or a name to look up in the task's directory and in PATH."},
		"args":               {Type: nomadish.ConfigStringList, Doc: "Its arguments."},
		"work_dir":           {Type: nomadish.ConfigString, Doc: "The directory it starts in. Default: the task's."},
		"oom_score_adj":      {Type: nomadish.ConfigNumber, Default: "0", Doc: "How eagerly the kernel kills it for want of memory, 0 to 1000."},
		"cgroup_v1_override": {Type: nomadish.ConfigStringMap, Doc: "Has no effect yet."},
		"cgroup_v2_override": {Type: nomadish.ConfigString, Doc: "Has no effect yet."},
		"denied_envvars":     {Type: nomadish.ConfigStringList, Doc: "Names of environment variables, with *, that it does not get."},
	}
}

// Fingerprint reports the driver as healthy.
func (d *Driver) Fingerprint(context.Context) (drivers.Fingerprint, error) {
	return drivers.Fingerprint{Health: drivers.Healthy, Attributes: map[string]string{"driver." + Name: "1"}}, nil
}

// Capabilities says that tasks see the node's files, and can be in their group's network.
func (d *Driver) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationNone, NetworkModes: []string{"host", "bridge", "none", "cni/*"}}
}

// allocDir is the supervisor's directory of a task's allocation.
func (d *Driver) allocDir(taskID string) string {
	alloc, _, _ := strings.Cut(taskID, "/")
	return filepath.Join(d.dir, drivers.Key(alloc))
}

// Start starts the task's process under the supervisor of its allocation.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	launch, err := d.launch(spec)
	if err != nil {
		return nil, err
	}
	dir := d.allocDir(spec.ID)
	record, err := d.supervisors.Start(ctx, dir, launch)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", spec.Task, err)
	}
	state, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", spec.Task, err)
	}
	return &drivers.Handle{ID: spec.ID, Driver: Name, PID: record.PID, State: state}, nil
}

// launch reads the config block.
func (d *Driver) launch(spec *drivers.TaskSpec) (*supervisor.Launch, error) {
	o := drivers.NewOptions(spec.Config)
	command, args := o.String("command"), o.Strings("args")
	l := &supervisor.Launch{
		ID: spec.ID, Dir: o.String("work_dir"), Stdout: spec.Stdout, Stderr: spec.Stderr,
		OOMScore: int(o.Int("oom_score_adj")),
	}
	if spec.Network != nil {
		l.Network = spec.Network.Namespace
	}
	denied := o.Strings("denied_envvars")
	if command == "" {
		return nil, errors.Join(o.Err(), errors.New(`option "command" is missing`))
	}
	if l.OOMScore < 0 || l.OOMScore > 1000 {
		return nil, errors.Join(o.Err(), fmt.Errorf(`option "oom_score_adj": want 0 to 1000, got %d`, l.OOMScore))
	}
	if err := o.Err(); err != nil {
		return nil, err
	}
	if d.cgroups != nil && spec.Cgroup != "" && d.cgroups.Group(spec.Cgroup).Exists() {
		l.Cgroup = spec.Cgroup
	}
	if l.Dir == "" {
		l.Dir = spec.Dir.Task
	} else if !filepath.IsAbs(l.Dir) {
		return nil, fmt.Errorf(`option "work_dir": want an absolute path, got %q`, l.Dir)
	}
	for name, value := range spec.Env {
		if !slices.ContainsFunc(denied, func(p string) bool { ok, err := filepath.Match(p, name); return ok && err == nil }) {
			l.Env = append(l.Env, name+"="+value)
		}
	}
	slices.Sort(l.Env)
	var err error
	l.Dirs = []string{spec.Dir.Local, spec.Dir.Task}
	l.Search = filepath.SplitList(cmp.Or(spec.Env["PATH"], os.Getenv("PATH")))
	if l.Path, err = supervisor.Find(command, l.Dirs, l.Search); err != nil {
		return nil, err
	}
	l.Args = append([]string{command}, args...)
	l.User, err = account(spec.User)
	return l, err
}

// account finds the user that a task runs as; nil means the agent's own.
func account(name string) (*supervisor.User, error) {
	if name == "" {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", name, err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("user %q: groups: %w", name, err)
	}
	out := &supervisor.User{}
	for i, text := range append([]string{u.Uid, u.Gid}, ids...) {
		id, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		switch i {
		case 0:
			out.UID = uint32(id)
		case 1:
			out.GID = uint32(id)
		default:
			out.Groups = append(out.Groups, uint32(id))
		}
	}
	if int(out.UID) == os.Getuid() {
		return nil, nil
	}
	return out, nil
}

// Recover finds the task's record again.
func (d *Driver) Recover(_ context.Context, h *drivers.Handle) error {
	_, err := supervisor.Load(d.allocDir(h.ID), h.ID)
	return err
}

// Wait returns when the task's first process has ended. What is left of a task whose
// supervisor is gone is killed, since nobody would see its end.
func (d *Driver) Wait(ctx context.Context, h *drivers.Handle) (drivers.Exit, error) {
	r, err := d.supervisors.Wait(ctx, d.allocDir(h.ID), h.ID)
	if errors.Is(err, drivers.ErrTaskLost) && r != nil {
		return drivers.Exit{}, errors.Join(err, d.kill(ctx, r))
	}
	if err != nil {
		return drivers.Exit{}, err
	}
	return *r.Exit, nil
}

// Stop signals the task's session and kills what is left of the task after grace.
func (d *Driver) Stop(ctx context.Context, h *drivers.Handle, signal string, grace time.Duration) error {
	r, err := supervisor.Load(d.allocDir(h.ID), h.ID)
	if errors.Is(err, drivers.ErrTaskLost) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Exit == nil {
		if err := d.end(ctx, r, signal, grace); err != nil {
			return err
		}
	}
	return d.kill(ctx, r)
}

// end asks the task to end and returns when its first process has, or when grace is over.
func (d *Driver) end(ctx context.Context, r *supervisor.Record, signal string, grace time.Duration) error {
	if signal == "" {
		signal = "SIGINT" // what Nomad's raw_exec sends where the job names none
	}
	if err := d.signal(r, signal); err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	_, err := d.supervisors.Wait(wait, d.allocDir(r.ID), r.ID)
	if err != nil && wait.Err() == nil && !errors.Is(err, drivers.ErrTaskLost) {
		return err
	}
	return ctx.Err()
}

// Signal sends a signal to the task's first process.
func (d *Driver) Signal(_ context.Context, h *drivers.Handle, signal string) error {
	r, err := supervisor.Load(d.allocDir(h.ID), h.ID)
	if err != nil {
		return err
	}
	return d.signal(r, signal)
}

func (d *Driver) signal(r *supervisor.Record, name string) error {
	sig := unix.SignalNum(name)
	if sig == 0 {
		return fmt.Errorf("unknown signal %q", name)
	}
	if !alive(r) {
		return nil
	}
	if err := syscall.Kill(r.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s to %d: %w", name, r.PID, err)
	}
	return nil
}

// alive says that the record's process is there, and is not a later one with its PID.
func alive(r *supervisor.Record) bool {
	stat, err := process.ReadStat(r.PID)
	return err == nil && stat.Start == r.Ticks
}

// kill ends every process of the task and returns when none is left.
func (d *Driver) kill(ctx context.Context, r *supervisor.Record) error {
	d.commands.kill(r.ID)
	if r.Cgroup != "" && d.cgroups != nil {
		return d.cgroups.Group(r.Cgroup).Kill(ctx)
	}
	return r.Process().KillSession(ctx)
}

// Remove kills what is left of the task and deletes its record.
func (d *Driver) Remove(ctx context.Context, h *drivers.Handle) error {
	dir := d.allocDir(h.ID)
	r, err := supervisor.Load(dir, h.ID)
	if errors.Is(err, drivers.ErrTaskLost) {
		return nil
	}
	if err == nil {
		err = d.kill(ctx, r)
	}
	if err != nil {
		return err
	}
	if r.Exit == nil { // wait for the record of the end, or it would be written after we delete
		if _, err := d.supervisors.Wait(ctx, dir, h.ID); err != nil && !errors.Is(err, drivers.ErrTaskLost) {
			return err
		}
	}
	if err := supervisor.Forget(dir, h.ID); err != nil {
		return err
	}
	return d.tidy(dir)
}

// tidy removes the directory of an allocation that has no tasks left.
func (d *Driver) tidy(dir string) error {
	records, err := supervisor.Records(dir)
	if err != nil || len(records) > 0 {
		return err
	}
	d.supervisors.Close(dir)
	return os.RemoveAll(dir)
}

// Stats reads what the task uses from its cgroup.
func (d *Driver) Stats(_ context.Context, h *drivers.Handle) (*drivers.Usage, error) {
	r, err := supervisor.Load(d.allocDir(h.ID), h.ID)
	if err != nil {
		return nil, err
	}
	if r.Cgroup == "" || d.cgroups == nil {
		return nil, cgroup.ErrUnavailable
	}
	return d.cgroups.Group(r.Cgroup).Usage(time.Now())
}

// Reap kills and forgets the tasks that are not to be kept.
func (d *Driver) Reap(ctx context.Context, keep map[string]bool) error {
	dirs, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	used := map[string]bool{} // a start that was interrupted may have left a supervisor and no record yet
	for id := range keep {
		used[d.allocDir(id)] = true
	}
	var errs []error
	for _, e := range dirs {
		dir := filepath.Join(d.dir, e.Name())
		records, err := supervisor.Records(dir)
		errs = append(errs, err)
		for _, r := range records {
			if !keep[r.ID] {
				errs = append(errs, d.Remove(ctx, &drivers.Handle{ID: r.ID}))
			}
		}
		if err == nil && len(records) == 0 && !used[dir] {
			errs = append(errs, d.tidy(dir))
		}
	}
	return errors.Join(errs...)
}
