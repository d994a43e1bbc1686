//go:build linux

package qemu

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
)

// Name is the driver's in job files.
const Name = "qemu"

// Config says what this node allows.
type Config struct {
	// Chroot is what emulators see of the host; default as sandbox.Config.
	Chroot map[string]string
	// ImagePaths are directories of the host whose images tasks may name; default none.
	ImagePaths []string
	// ArgsAllowlist are the options that args may have, as "-drive"; default any: the sandbox
	// holds what they reach.
	ArgsAllowlist []string
	// Emulators are the programs that tasks may name; default qemu-system-x86_64.
	Emulators []string
}

// ReadConfig reads the plugin block of an agent's configuration file.
func ReadConfig(o drivers.Options, chroot map[string]string) Config {
	return Config{
		Chroot: chroot, ImagePaths: o.Strings("image_paths"), ArgsAllowlist: o.Strings("args_allowlist"),
		Emulators: o.Strings("emulators_allowlist"),
	}
}

// usualEmulator is the one of tasks that name none.
const usualEmulator = "qemu-system-x86_64"

// Driver runs virtual machines in containers.
type Driver struct {
	*container.Runtime
	cfg Config
	box *sandbox.Sandbox
}

// New returns a driver on a runtime, which other drivers may share. It starts nothing.
func New(cfg Config, r *container.Runtime) (*Driver, error) {
	if len(cfg.Emulators) == 0 {
		cfg.Emulators = []string{usualEmulator}
	}
	box, err := sandbox.New(sandbox.Config{Chroot: cfg.Chroot})
	errs := []error{err}
	for i, dir := range cfg.ImagePaths {
		if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
			errs = append(errs, fmt.Errorf("image_paths[%d]: %q is no absolute path of a directory", i, dir))
		}
	}
	return &Driver{Runtime: r, cfg: cfg, box: box}, errors.Join(errs...)
}

// Schema describes the options of a task's config block.
func (d *Driver) Schema() drivers.Schema { return schema() }

// Capabilities says what tasks can do.
func (d *Driver) Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationImage, NetworkModes: []string{"host", "none", "bridge", "cni/*"}}
}

// versionLine is how emulators say what they are.
var versionLine = regexp.MustCompile(`version (\d+(\.\d+)+)`)

// Fingerprint says which emulator is there, and starts containerd where there is one.
func (d *Driver) Fingerprint(ctx context.Context) (drivers.Fingerprint, error) {
	program, err := find(usualEmulator)
	if err != nil {
		return drivers.Fingerprint{Reason: usualEmulator + " is not installed"}, nil //nolint:nilerr // told as reason
	}
	out, err := versionOf(ctx, program)
	version := versionLine.FindStringSubmatch(out)
	if err != nil || version == nil {
		return drivers.Fingerprint{Health: drivers.Unhealthy, Reason: fmt.Sprintf("%s --version says %.200q, %v", program, out, err)}, nil
	}
	return d.Runtime.Fingerprint(ctx, func(container.Info) map[string]string {
		return map[string]string{"driver.qemu": "1", "driver.qemu.version": version[1]}
	}), nil
}

// Start runs a task; see drivers.Driver.
func (d *Driver) Start(ctx context.Context, spec *drivers.TaskSpec) (*drivers.Handle, error) {
	m, err := d.cfg.read(spec)
	if err != nil {
		return nil, fmt.Errorf("task %s: config: %w", spec.Task, err)
	}
	return d.Runtime.Start(ctx, Name, spec, func(context.Context, *client.Client) (*container.Plan, error) {
		return d.plan(spec, m)
	})
}

// overhead is the memory of an emulator beside the machine's, for disks' caches and devices.
const overhead = 256 << 20

// plan makes the container of a machine: root without any capability, which may use the
// directories of the task, the image, and the processor's virtualisation where it asks for it.
func (d *Driver) plan(spec *drivers.TaskSpec, m *machine) (*container.Plan, error) {
	program, err := find(m.emulator)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	boxed := *spec
	if boxed.User == "" {
		boxed.User = "root"
	}
	plan, err := d.box.Plan(&boxed, drivers.NewOptions(nil))
	if err != nil {
		return nil, err
	}
	image, mounts, err := d.image(spec, m.image)
	if err != nil {
		return nil, err
	}
	plan.Mounts = append(plan.Mounts, mounts...)
	if !d.box.Shows(program) {
		plan.Root.Mounts = append(plan.Root.Mounts, sandbox.ReadOnly(program, program))
	}
	if m.graceful {
		dir := monitorDir(d.Runtime, spec.ID)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(plan.User.UID), int(plan.User.GID)); err != nil {
			return nil, err
		}
		plan.Mounts = append(plan.Mounts, container.Bind(dir, filepath.Dir(monitorPath), false, "rprivate"))
	}
	plan.Args = append([]string{program}, m.arguments(image, spec.Key())...)
	plan.Capabilities, plan.Ambient = nil, nil
	if limit := spec.Resources.Limit(); limit > 0 {
		plan.MemoryHard = limit + overhead
	}
	if m.accelerator == "kvm" {
		plan.Edit = addDevice("/dev/kvm")
	}
	return plan, nil
}

// image returns the path of the image in the container, and what has to be mounted for it: a
// file in the task's directories is there, one of the node's is not.
func (d *Driver) image(spec *drivers.TaskSpec, image string) (string, []specs.Mount, error) {
	inside := filepath.Join("/", image)
	if d.box.Has(spec, inside) {
		return inside, nil, nil
	}
	real, err := filepath.EvalSymlinks(image)
	if filepath.IsAbs(image) && err == nil {
		for _, dir := range d.cfg.ImagePaths {
			dir, err := filepath.EvalSymlinks(dir)
			if err != nil {
				continue
			}
			if strings.HasPrefix(real, dir+"/") {
				// Images that it builds on are beside it; it may change itself only.
				return real, []specs.Mount{sandbox.ReadOnly(dir, dir), container.Bind(real, real, false, "rprivate")}, nil
			}
		}
	}
	return "", nil, fmt.Errorf("image_path: %q is no file in the task's directory or in image_paths of this node", image)
}

// addDevice lets a container use a device of the host.
func addDevice(path string) func(*specs.Spec) error {
	return func(s *specs.Spec) error {
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			return fmt.Errorf("accelerator: %s: %w", path, err)
		}
		major, minor := int64(unix.Major(stat.Rdev)), int64(unix.Minor(stat.Rdev))
		mode := os.FileMode(0o600)
		s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{
			Path: path, Type: "c", Major: major, Minor: minor, FileMode: &mode, UID: &s.Process.User.UID, GID: &s.Process.User.GID,
		})
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{
			Allow: true, Type: "c", Major: &major, Minor: &minor, Access: "rw",
		})
		return nil
	}
}

// Stop ends a machine; see drivers.Driver. One with graceful_shutdown gets its power button
// pressed first.
func (d *Driver) Stop(ctx context.Context, h *drivers.Handle, signal string, grace time.Duration) error {
	if grace > 0 && powerDown(ctx, monitorDir(d.Runtime, h.ID)) == nil {
		if ended, err := d.EndsWithin(ctx, h, grace); ended || err != nil {
			return err
		}
		grace = 0
	}
	return d.Runtime.Stop(ctx, h, signal, grace)
}
