//go:build linux

package java

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/nomadish"
)

// Name is the driver's in job files.
const Name = "java"

// Config says what tasks may do, and where Java is.
type Config struct {
	sandbox.Config
	Program string // path of java; default the one in PATH
}

// Driver runs Java programs in containers.
type Driver struct {
	*container.Runtime
	box     *sandbox.Sandbox
	program string
	users   *container.Pool

	mu    sync.Mutex
	known installed // what was found when java was last asked
}

// New returns a driver on a runtime, which other drivers may share. It starts nothing.
func New(cfg Config, r *container.Runtime) (*Driver, error) {
	box, err := sandbox.New(cfg.Config)
	return &Driver{Runtime: r, box: box, program: cfg.Program, users: cfg.Users}, err
}

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return schema() }

func schema() drivers.Schema {
	s := drivers.Schema{
		"jar_path":    {Type: nomadish.ConfigString, Doc: "The jar to run, relative to the task's directory."},
		"class":       {Type: nomadish.ConfigString, Doc: "The class to run, of class_path or of a jar without a main class."},
		"class_path":  {Type: nomadish.ConfigString, Doc: "Where Java looks for classes and jars."},
		"jvm_options": {Type: nomadish.ConfigStringList, Doc: "Options of the virtual machine."},
		"args":        {Type: nomadish.ConfigStringList, Doc: "Arguments of the program."},
	}
	maps.Copy(s, sandbox.Options())
	return s
}

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities { return sandbox.Capabilities() }

// Fingerprint says which Java is there, and starts containerd where there is one.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	java, err := d.find(ctx)
	if errors.Is(err, errMissing) {
		return drivers.Fingerprint{Reason: err.Error()}, nil
	}
	if err != nil { // what is wrong with Java is news for users, and no fault of asking
		return drivers.Fingerprint{Health: drivers.Unhealthy, Reason: err.Error()}, nil //nolint:nilerr // told as reason
	}
	fp := d.Runtime.Fingerprint(ctx, func(container.Info) map[string]string {
		return map[string]string{
			"driver.java": "1", "driver.java.version": java.version,
			"driver.java.runtime": java.runtime, "driver.java.vm": java.vm,
		}
	})
	return d.Remaps(ctx, Name, d.users, fp), nil
}

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	o := drivers.NewOptions(spec.Config)
	args, err := arguments(o)
	if err := errors.Join(sandbox.CheckNames(schema(), spec.Config), err); err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	return d.Runtime.Start(ctx, Name, spec, func(ctx context.Context, _ *client.Client) (*container.Plan, error) {
		java, err := d.find(ctx)
		if err != nil {
			return nil, err
		}
		plan, err := d.box.Plan(spec, o)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		plan.Args = append([]string{java.program}, args...)
		if !d.box.Shows(java.home) {
			plan.Root.Mounts = append(plan.Root.Mounts, sandbox.ReadOnly(java.home, java.home))
		}
		return plan, nil
	})
}

// arguments makes java's command line of a task's options.
func arguments(o drivers.Options) ([]string, error) {
	jar, class, classPath := o.String("jar_path"), o.String("class"), o.String("class_path")
	var errs []error
	if jar == "" && class == "" {
		errs = append(errs, errors.New("missing option: jar_path or class"))
	}
	for _, named := range [][2]string{{"jar_path", jar}, {"class", class}} {
		// Java would take it for an option, or for a file of options.
		if strings.HasPrefix(named[1], "-") || strings.HasPrefix(named[1], "@") {
			errs = append(errs, fmt.Errorf("%s: %q begins with %q", named[0], named[1], named[1][:1]))
		}
	}
	if jar != "" {
		jar = path.Join("/", jar) // whatever the working directory
	}
	args := append([]string(nil), o.Strings("jvm_options")...)
	switch {
	case jar != "" && class != "": // the class decides; java ignores -cp beside -jar
		if classPath != "" {
			jar = classPath + ":" + jar
		}
		args = append(args, "-cp", jar, class)
	case jar != "":
		if classPath != "" {
			args = append(args, "-cp", classPath)
		}
		args = append(args, "-jar", jar)
	default:
		if classPath != "" {
			args = append(args, "-cp", classPath)
		}
		args = append(args, class)
	}
	args = append(args, o.Strings("args")...)
	return args, errors.Join(append(errs, o.Err())...)
}
