//go:build linux

package docker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
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

// Name is the driver's in job files.
const Name = "docker"

// namespace is the one in containerd that everything of ours is in.
const namespace = "nomadish"

// defaultCaps are what containers have, and may add again after dropping all.
var defaultCaps = []string{
	"audit_write", "chown", "dac_override", "fowner", "fsetid", "kill", "mknod",
	"net_bind_service", "setfcap", "setgid", "setpcap", "setuid", "sys_chroot",
}

// Config is what this node allows.
type Config struct {
	// AllowPrivileged permits privileged tasks and the host's namespaces; default no.
	AllowPrivileged bool
	// AllowCaps are the capabilities that tasks may have, without CAP_; "all" for every
	// one. Default: those that containers have anyway.
	AllowCaps []string
	// ImageArchives are directories of the host; load may name files in them by absolute
	// path. Default none: archives come from the task's directory.
	ImageArchives []string
	// MaxArchive bounds an image archive in bytes; default 32 GiB.
	MaxArchive int64
	// PlainHTTP are registries (host or host:port) that are asked without TLS. The host
	// itself always is.
	PlainHTTP []string
	// PidsLimit is the most processes a task may ask for, and has by default; default none.
	PidsLimit int64
	// NoNewPrivileges keeps all tasks from gaining privileges by set-uid programs; default no.
	NoNewPrivileges bool
	// Seccomp filters system calls; only where runc was built with it, else nothing starts.
	Seccomp bool
	// Snapshotter of containerd; default overlayfs, or native where the kernel has none.
	Snapshotter string
	// Notice hears, per task, of what a user should know; default: the log does.
	Notice func(taskID, message string)
	// Logger; default discard.
	Logger *slog.Logger
	// Now; default time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.AllowCaps == nil {
		c.AllowCaps = defaultCaps
	}
	c.MaxArchive = cmp.Or(c.MaxArchive, 32<<30)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Notice == nil {
		log := c.Logger
		c.Notice = func(id, message string) { log.Info("container task", "task", id, "notice", message) }
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

// Driver runs tasks in containers.
type Driver struct {
	cfg    Config
	engine Engine
	l      layout.Layout
	groups *cgroup.System
	tasks  keyed // one start or removal per container at a time
	images keyed // one download per image at a time
	users  users
	quiet  *log.Entry

	mu          sync.Mutex
	snapshotter string // once known
}

// New returns a driver that uses the engine. It starts nothing.
func New(cfg Config, e Engine) (*Driver, error) {
	cfg = cfg.withDefaults()
	groups, err := cgroup.Detect("/")
	if err != nil && !errors.Is(err, cgroup.ErrUnavailable) {
		return nil, err
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	return &Driver{
		cfg: cfg, engine: e, l: e.Layout(), groups: groups, snapshotter: cfg.Snapshotter,
		quiet: logrus.NewEntry(quiet),
	}, nil
}

// Run keeps the driver's containerd until ctx ends. Where containerd ends with it, so do all
// tasks.
func (d *Driver) Run(ctx context.Context) error {
	<-ctx.Done()
	var err error
	if d.engine.Ephemeral() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = d.Reap(clean, nil)
	}
	return errors.Join(err, d.engine.Run(ctx))
}

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return Schema() }

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationImage, NetworkModes: []string{"host", "none"}}
}

// Fingerprint starts containerd when it does not run yet, and says what it can do.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	if os.Geteuid() != 0 {
		return drivers.Fingerprint{Reason: "containers need root"}, nil
	}
	if d.groups == nil {
		return drivers.Fingerprint{Reason: "containers need control groups, and none are mounted"}, nil
	}
	attributes, err := d.attributes(ctx)
	if err != nil {
		// What is wrong with containerd is news for users, and no fault of asking.
		return drivers.Fingerprint{Health: drivers.Unhealthy, Reason: err.Error()}, nil //nolint:nilerr // told as reason
	}
	return drivers.Fingerprint{Health: drivers.Healthy, Attributes: attributes}, nil
}

// attributes asks containerd what it is, starting it when it does not run.
func (d *Driver) attributes(ctx context.Context) (map[string]string, error) {
	c, ctx, err := d.client(ctx)
	if err != nil {
		return nil, err
	}
	version, err := c.Version(ctx)
	if err != nil {
		return nil, fmt.Errorf("containerd: %w", err)
	}
	snapshotter, err := d.pickSnapshotter(ctx, c)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"driver.docker":                    "1",
		"driver.docker.version":            version.Version,
		"driver.docker.runtime":            "containerd",
		"driver.docker.runtimes":           "runc",
		"driver.docker.os_type":            "linux",
		"driver.docker.snapshotter":        snapshotter,
		"driver.docker.seccomp":            strconv.FormatBool(d.cfg.Seccomp),
		"driver.docker.privileged.enabled": strconv.FormatBool(d.cfg.AllowPrivileged),
	}, nil
}

// client returns a client, and ctx for its calls.
func (d *Driver) client(ctx context.Context) (*client.Client, context.Context, error) {
	// containerd's client logs what it returns as errors as well: once is enough.
	ctx = log.WithLogger(namespaces.WithNamespace(ctx, namespace), d.quiet)
	c, err := d.engine.Client(ctx)
	return c, ctx, err
}

// pickSnapshotter prefers overlayfs; native copies whole images and works everywhere.
func (d *Driver) pickSnapshotter(ctx context.Context, c *client.Client) (string, error) {
	d.mu.Lock()
	picked := d.snapshotter
	d.mu.Unlock()
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
			d.mu.Lock()
			d.snapshotter = name
			d.mu.Unlock()
			return name, nil
		}
	}
	return "", errors.New("containerd has no usable snapshotter (overlayfs or native)")
}

// state is the driver's part of a handle.
type state struct {
	Container  string `json:"container"`
	Cgroup     string `json:"cgroup"`
	StopSignal string `json:"stop_signal,omitempty"` // the image's
}

func (s state) handle(id string, pid int) (*drivers.Handle, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return &drivers.Handle{ID: id, Driver: Name, PID: pid, State: b}, nil
}

// stateOf reads a handle. One without state (the agent died before it was stored) still
// says which container it is.
func stateOf(h *drivers.Handle) (state, error) {
	s := state{Container: drivers.Key(h.ID)}
	if len(h.State) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(h.State, &s); err != nil {
		return s, fmt.Errorf("task %s: handle: %w", h.ID, err)
	}
	if s.Container != drivers.Key(h.ID) {
		return s, fmt.Errorf("task %s: handle is of container %s", h.ID, s.Container)
	}
	return s, nil
}

// down says whether an error means that containerd does not answer, so that a new try after
// it was started again can succeed.
func down(err error) bool {
	return errdefs.IsUnavailable(err) || errdefs.IsCanceled(err) || errors.Is(err, os.ErrClosed)
}

// keyed gives one caller at a time the turn for a key.
type keyed struct {
	mu   sync.Mutex
	held map[string]*turn
}

type turn struct {
	token   chan struct{}
	waiters int
}

// lock waits for the turn; the function that it returns gives it back.
func (k *keyed) lock(ctx context.Context, key string) (func(), error) {
	k.mu.Lock()
	if k.held == nil {
		k.held = map[string]*turn{}
	}
	t := k.held[key]
	if t == nil {
		t = &turn{token: make(chan struct{}, 1)}
		k.held[key] = t
	}
	t.waiters++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if t.waiters--; t.waiters == 0 {
			delete(k.held, key)
		}
	}
	select {
	case t.token <- struct{}{}:
		return func() { <-t.token; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
