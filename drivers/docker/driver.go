//go:build linux

package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/images"
)

// Name is the driver's in job files.
const Name = "docker"

// Config is what this node allows.
type Config struct {
	// Disabled refuses all tasks, under every name of the driver; default no.
	Disabled bool
	// AllowPrivileged permits privileged tasks and the host's namespaces; default no.
	AllowPrivileged bool
	// AllowCaps are the capabilities that tasks may have, without CAP_; "all" for every
	// one. Default: those that containers have anyway.
	AllowCaps []string
	// AllowDevices are patterns of the devices that tasks may have ("/dev/dri/*"). Default:
	// all, as in Nomad; an empty list is none.
	AllowDevices []string
	// HostVolumes permits binds of any path of the host; default no: those of the
	// allocation's directory only.
	HostVolumes bool
	// Reserved are directories of the host that are the agent's own: who can write there
	// controls the host. Default: the runtime's.
	Reserved []string
	// VolumeDir holds named volumes, and those of images; default below the runtime's data.
	VolumeDir string
	// PidsLimit is the most processes a task may ask for, and has by default; default none.
	PidsLimit int64
	// PullTimeout is how long getting an image may take where the task does not say;
	// default 5m.
	PullTimeout time.Duration
	// NoNewPrivileges keeps all tasks from gaining privileges by set-uid programs; default no.
	NoNewPrivileges bool
	// Users are those of the host that the users of tasks are; default the same.
	Users *container.Pool
	// DisableLogs discards what tasks print; default no.
	DisableLogs bool
	// ExtraLabels are patterns of what of a job becomes labels of its containers: job_id,
	// job_name, task_group_name, task_name and namespace. Default none.
	ExtraLabels []string
	// Notice hears, per task, of what a user should know; default: the log does.
	Notice func(taskID, message string)
	// Logger; default discard.
	Logger *slog.Logger
}

func (c Config) withDefaults(r *container.Runtime) Config {
	if c.AllowCaps == nil {
		c.AllowCaps = container.DefaultCaps()
	}
	if r != nil {
		if c.Reserved == nil {
			c.Reserved = []string{r.Layout().Data, r.Layout().Run}
		}
		c.VolumeDir = cmp.Or(c.VolumeDir, filepath.Join(r.Layout().Data, "volumes"))
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Notice == nil {
		log := c.Logger
		c.Notice = func(id, message string) { log.Info("container task", "task", id, "notice", message) }
	}
	return c
}

// Driver runs tasks in containers. What all such drivers do alike, its Runtime does.
type Driver struct {
	*container.Runtime
	cfg     Config
	images  *images.Store
	volumes *volumeStore
	users   users
	prints  prints
}

// New returns a driver on a runtime, which other drivers may share, and its images. It
// starts nothing.
func New(cfg Config, r *container.Runtime, store *images.Store) *Driver {
	cfg = cfg.withDefaults(r)
	return &Driver{Runtime: r, cfg: cfg, images: store, volumes: newVolumeStore(cfg.VolumeDir)}
}

var errDisabled = errors.New("the driver is disabled by this node's configuration")

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return Schema() }

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationImage, NetworkModes: []string{"host", "none", "bridge", "cni/*"}}
}

// Fingerprint starts containerd when it does not run yet, and says what it can do.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	return d.prints.renew(ctx, d.fingerprint), nil
}

func (d *Driver) fingerprint(ctx context.Context) drivers.Fingerprint {
	if d.cfg.Disabled {
		return drivers.Fingerprint{Reason: errDisabled.Error()}
	}
	fp := d.Runtime.Fingerprint(ctx, func(i container.Info) map[string]string {
		return map[string]string{
			"driver.docker":                    "1",
			"driver.docker.version":            i.Version,
			"driver.docker.runtime":            "containerd",
			"driver.docker.runtimes":           "runc",
			"driver.docker.os_type":            "linux",
			"driver.docker.snapshotter":        i.Snapshotter,
			"driver.docker.seccomp":            strconv.FormatBool(d.Seccomp()),
			"driver.docker.apparmor":           strconv.FormatBool(appArmor()),
			"driver.docker.init":               strconv.FormatBool(d.canInit() == nil),
			"driver.docker.privileged.enabled": strconv.FormatBool(d.cfg.AllowPrivileged),
			"driver.docker.volumes.enabled":    strconv.FormatBool(d.cfg.HostVolumes),
		}
	})
	return d.Remaps(ctx, Name, d.cfg.Users, fp)
}

// TaskNetwork asks for a network of the task's own where it has no other; see drivers.Networker.
func (d *Driver) TaskNetwork(spec *drivers.TaskSpec) (*drivers.NetworkRequest, error) {
	return d.taskNetwork(Name, spec)
}

func (d *Driver) taskNetwork(name string, spec *drivers.TaskSpec) (*drivers.NetworkRequest, error) {
	own := *spec
	own.Network = &drivers.Network{} // options are read as of a task that has one
	set, err := d.cfg.settingsOf(name, &own)
	if err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	return set.request(), nil
}

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	return d.start(ctx, Name, spec)
}

func (d *Driver) start(ctx context.Context, name string, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	if d.cfg.Disabled {
		return nil, fmt.Errorf("task %s: %w", spec.Task, errDisabled)
	}
	set, err := d.cfg.settingsOf(name, spec)
	if err == nil && set.init {
		err = d.canInit()
	}
	if err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	own := *spec
	if set.noOutput {
		own.Stdout, own.Stderr = drivers.Output{}, drivers.Output{}
	}
	s := &starting{Driver: d, task: &own, set: set, stage: &stage{dir: filepath.Join(d.stageDir(), spec.Key())}}
	// Once the container is there, or is not to be, it has its own mounts and keeps its image.
	defer func() {
		set.letGo()
		if err := s.stage.clear(); err != nil {
			d.cfg.Logger.Warn("clear the stage of a container", "task", spec.ID, "err", err)
		}
	}()
	h, err := d.Runtime.Start(ctx, name, &own, func(ctx context.Context, c *client.Client) (*container.Plan, error) {
		s.c = c
		if err := s.stage.clear(); err != nil { // of an earlier try
			return nil, err
		}
		return s.plan(ctx)
	})
	if err != nil && s.c != nil { // there was no container before, and there is none now
		err = errors.Join(err, d.volumes.drop(spec.Key()))
	}
	return h, err
}

// stageDir holds the stages of containers that are being started.
func (d *Driver) stageDir() string { return filepath.Join(d.Layout().Run, "stage") }

// Remove frees all that Start made; see drivers.Driver.
func (d *Driver) Remove(ctx context.Context, h *drivers.Handle) error {
	if err := d.Runtime.Remove(ctx, h); err != nil {
		return err
	}
	return d.volumes.drop(drivers.Key(h.ID))
}

// Reap removes what is left of tasks that the agent does not know; see drivers.Reaper. It
// comes before the first start: all that is on a stage is of a start that was cut short.
func (d *Driver) Reap(ctx context.Context, keep map[string]bool) error {
	if err := d.Runtime.Reap(ctx, keep); err != nil {
		return err
	}
	kept := map[string]bool{}
	for id := range maps.Keys(keep) {
		kept[drivers.Key(id)] = true
	}
	return errors.Join(d.clearStages(), d.volumes.reap(kept))
}

// renamed gives attributes the name of another driver.
func renamed(attributes map[string]string, name string) map[string]string {
	out := make(map[string]string, len(attributes))
	for key, value := range attributes {
		out["driver."+name+strings.TrimPrefix(key, "driver."+Name)] = value
	}
	return out
}
