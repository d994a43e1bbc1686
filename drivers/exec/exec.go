//go:build linux

package exec

import (
	"context"
	"fmt"
	"maps"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/nomadish"
)

// Name is the driver's in job files.
const Name = "exec"

// Driver runs programs of the host, or of the task's directory, in containers.
type Driver struct {
	*container.Runtime
	box   *sandbox.Sandbox
	users *container.Pool
}

// New returns a driver on a runtime, which other drivers may share. It starts nothing.
func New(cfg sandbox.Config, r *container.Runtime) (*Driver, error) {
	box, err := sandbox.New(cfg)
	return &Driver{Runtime: r, box: box, users: cfg.Users}, err
}

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return schema() }

func schema() drivers.Schema {
	s := drivers.Schema{
		"command": {Type: nomadish.ConfigString, Required: true, Doc: "The program: an absolute path, or a name to look up in the task's directory, its volumes and the usual directories."},
		"args":    {Type: nomadish.ConfigStringList, Doc: "Its arguments."},
	}
	maps.Copy(s, sandbox.Options())
	return s
}

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities { return sandbox.Capabilities() }

// Fingerprint starts containerd when it does not run yet.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	fp := d.Runtime.Fingerprint(ctx, func(container.Info) map[string]string {
		return map[string]string{"driver.exec": "1"}
	})
	return d.Remaps(ctx, Name, d.users, fp), nil
}

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	o := drivers.NewOptions(spec.Config)
	if err := sandbox.CheckNames(schema(), spec.Config); err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	return d.Runtime.Start(ctx, Name, spec, func(context.Context, *client.Client) (*container.Plan, error) {
		plan, err := d.box.Plan(spec, o)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		program, err := d.box.Find(spec, o.String("command"))
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		plan.Args = append([]string{program}, o.Strings("args")...)
		return plan, o.Err()
	})
}
