//go:build linux

package docker

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/images"
)

// Name is the driver's in job files.
const Name = "docker"

// Config is what this node allows.
type Config struct {
	// AllowPrivileged permits privileged tasks and the host's namespaces; default no.
	AllowPrivileged bool
	// AllowCaps are the capabilities that tasks may have, without CAP_; "all" for every
	// one. Default: those that containers have anyway.
	AllowCaps []string
	// PidsLimit is the most processes a task may ask for, and has by default; default none.
	PidsLimit int64
	// NoNewPrivileges keeps all tasks from gaining privileges by set-uid programs; default no.
	NoNewPrivileges bool
	// Notice hears, per task, of what a user should know; default: the log does.
	Notice func(taskID, message string)
	// Logger; default discard.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.AllowCaps == nil {
		c.AllowCaps = container.DefaultCaps()
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
	cfg    Config
	images *images.Store
	users  users
}

// New returns a driver on a runtime, which other drivers may share, and its images. It
// starts nothing.
func New(cfg Config, r *container.Runtime, store *images.Store) *Driver {
	return &Driver{Runtime: r, cfg: cfg.withDefaults(), images: store}
}

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return Schema() }

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationImage, NetworkModes: []string{"host", "none"}}
}

// Fingerprint starts containerd when it does not run yet, and says what it can do.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	return d.Runtime.Fingerprint(ctx, func(i container.Info) map[string]string {
		return map[string]string{
			"driver.docker":                    "1",
			"driver.docker.version":            i.Version,
			"driver.docker.runtime":            "containerd",
			"driver.docker.runtimes":           "runc",
			"driver.docker.os_type":            "linux",
			"driver.docker.snapshotter":        i.Snapshotter,
			"driver.docker.seccomp":            strconv.FormatBool(d.Seccomp()),
			"driver.docker.privileged.enabled": strconv.FormatBool(d.cfg.AllowPrivileged),
		}
	}), nil
}

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	set, err := d.cfg.settingsOf(spec)
	if err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	defer func() { set.letGo() }() // the container keeps its image itself once it is there
	return d.Runtime.Start(ctx, Name, spec, func(ctx context.Context, c *client.Client) (*container.Plan, error) {
		return d.plan(ctx, c, spec, set)
	})
}
