//go:build linux

package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/cgroup"
	"github.com/nomadish/nomadish/drivers/runtime/layout"
)

// Namespace is the one in containerd that everything of ours is in.
const Namespace = "nomadish"

// Config is what holds for all containers of a node.
type Config struct {
	// Seccomp filters system calls; only where runc was built with it, else nothing starts.
	Seccomp bool
	// Runc is the program that makes containers; default the one in this program. See ProbeRunc.
	Runc string
	// Snapshotter of containerd; default overlayfs, or native where the kernel has none.
	Snapshotter string
	// Logger; default discard.
	Logger *slog.Logger
	// Now; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Engine is a containerd to talk to. Package engine has the usual one.
type Engine interface {
	// Client returns a client of a containerd that runs.
	Client(ctx context.Context) (*client.Client, error)
	// Layout says where the runtime keeps its files.
	Layout() layout.Layout
	// Run keeps the engine until ctx ends.
	Run(ctx context.Context) error
	// Ephemeral says whether containerd ends with Run, so that no task can stay.
	Ephemeral() bool
}

// Runtime runs containers, for all drivers of an agent.
type Runtime struct {
	cfg    Config
	engine Engine
	l      layout.Layout
	began  time.Time // by the machine's clock, as files have it
	groups *cgroup.System
	tasks  Turns // one start or removal per container at a time
	shims  Turns // shared by those who give a shim a container, taken by who may take its last one
	reaps  reaps
	ranges ranges
	quiet  *log.Entry
	frees  sync.WaitGroup // of commands that have ended

	mu          sync.Mutex
	snapshotter string // once known
	remaps      bool   // known that containers can have users of their own
}

// New returns a runtime that uses the engine. It starts nothing.
func New(cfg Config, e Engine) (*Runtime, error) {
	cfg = cfg.withDefaults()
	groups, err := cgroup.Detect("/")
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return nil, err
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	return &Runtime{
		cfg: cfg, engine: e, l: e.Layout(), began: time.Now(), groups: groups, snapshotter: cfg.Snapshotter,
		quiet: logrus.NewEntry(quiet),
	}, nil
}

// Run keeps containerd until ctx ends. Where containerd ends with it, so do all tasks.
func (r *Runtime) Run(ctx context.Context) error {
	<-ctx.Done()
	r.frees.Wait()
	var err error
	if r.engine.Ephemeral() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = r.Reap(clean, nil)
	}
	return errors.Join(err, r.engine.Run(ctx))
}

// Layout says where the runtime's files are.
func (r *Runtime) Layout() layout.Layout { return r.l }

// Files is the directory of what is made for a task beside its container, and removed with it.
func (r *Runtime) Files(taskID string) string { return filepath.Join(r.l.Files(), drivers.Key(taskID)) }

// Seccomp says whether system calls are filtered.
func (r *Runtime) Seccomp() bool { return r.cfg.Seccomp }

// Info is what is known of the runtime.
type Info struct {
	Version     string // containerd's
	Snapshotter string
}

// Info asks containerd what it is, starting it when it does not run. Where containers cannot
// run at all, the error is an ErrUnavailable.
func (r *Runtime) Info(ctx context.Context) (Info, error) {
	if os.Geteuid() != 0 {
		return Info{}, fmt.Errorf("%w: containers need root", ErrUnavailable)
	}
	if r.groups == nil {
		return Info{}, fmt.Errorf("%w: containers need control groups, and none are mounted", ErrUnavailable)
	}
	c, ctx, err := r.Client(ctx)
	if err != nil {
		return Info{}, err
	}
	version, err := c.Version(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("containerd: %w", err)
	}
	snapshotter, err := r.Snapshotter(ctx, c)
	return Info{Version: version.Version, Snapshotter: snapshotter}, err
}

// ErrUnavailable says that this machine, or this user, cannot run containers.
var ErrUnavailable = errors.New("containers are not available")

// Fingerprint is that of a driver whose tasks need nothing but the runtime: attributes says
// more of it where the runtime works.
func (r *Runtime) Fingerprint(ctx context.Context, attributes func(Info) map[string]string) drivers.Fingerprint {
	info, err := r.Info(ctx)
	switch {
	case errors.Is(err, ErrUnavailable):
		return drivers.Fingerprint{Reason: err.Error()}
	case err != nil: // what is wrong with containerd is news for users, and no fault of asking
		return drivers.Fingerprint{Health: drivers.Unhealthy, Reason: err.Error()}
	}
	return drivers.Fingerprint{Health: drivers.Healthy, Attributes: attributes(info)}
}

// Client returns a client of the running containerd, and ctx for its calls.
func (r *Runtime) Client(ctx context.Context) (*client.Client, context.Context, error) {
	// containerd's client logs what it returns as errors as well: once is enough.
	ctx = log.WithLogger(namespaces.WithNamespace(ctx, Namespace), r.quiet)
	c, err := r.engine.Client(ctx)
	return c, ctx, err
}

// Snapshotter is the one in use. It prefers overlayfs; native copies whole images and works
// everywhere.
func (r *Runtime) Snapshotter(ctx context.Context, c *client.Client) (string, error) {
	r.mu.Lock()
	picked := r.snapshotter
	r.mu.Unlock()
	if picked != "" {
		return picked, nil
	}
	plugins, err := c.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1")
	if err != nil {
		return "", fmt.Errorf("snapshotters: %w", err)
	}
	var usable []string
	for _, p := range plugins.Plugins {
		if p.InitErr == nil {
			usable = append(usable, p.ID)
		}
	}
	for _, name := range []string{"overlayfs", "native"} {
		if slices.Contains(usable, name) {
			r.mu.Lock()
			r.snapshotter = name
			r.mu.Unlock()
			return name, nil
		}
	}
	return "", errors.New("containerd has no usable snapshotter (overlayfs or native)")
}

// Down says whether an error means that containerd does not answer, so that a new try after
// it was started again can succeed.
func Down(err error) bool {
	return errdefs.IsUnavailable(err) || errdefs.IsCanceled(err) || errors.Is(err, os.ErrClosed)
}
