//go:build linux

package docker

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
)

// plan gets the image and says what container the task's settings make of it.
func (d *Driver) plan(ctx context.Context, c *client.Client, spec *drivers.TaskSpec, set *settings) (*container.Plan, error) {
	d.notify(spec, set)
	capabilities, err := container.Capabilities(container.DefaultCaps(), set.capDrop, set.capAdd, d.cfg.AllowCaps)
	if err != nil {
		return nil, err
	}
	img, err := d.image(ctx, spec, set)
	if err != nil {
		return nil, err
	}
	described, err := img.Spec(ctx)
	if err != nil {
		return nil, err
	}
	config := described.Config
	name := spec.User
	if name == "" {
		name = config.User
	}
	user, err := d.user(ctx, c, img, name, set.groups)
	if err != nil {
		return nil, err
	}
	args, err := set.process(config)
	if err != nil {
		return nil, err
	}
	workDir := set.workDir
	if workDir == "" {
		workDir = config.WorkingDir
	}
	return &container.Plan{
		Root: container.Root{Image: img, ReadOnly: set.readonly},
		Args: args, Env: config.Env, User: user, WorkDir: workDir, TTY: set.tty,
		NoNewPrivileges: set.noNewPrivs, Rlimits: set.rlimits, OOMScore: set.oomScore, StopSignal: config.StopSignal,
		Share: set.hostSpaces, Alone: set.network == "none", Hostname: set.hostname, Hosts: set.extraHosts,
		Resolver: set.resolver, ShmSize: set.shmSize, Sysctl: set.sysctl,
		Capabilities: capabilities, Unconfined: set.unconfined, Privileged: set.privileged,
		MemoryHard: set.memoryHard, CPUHard: set.hardCPU, CPUPeriod: set.cpuPeriod, PidsLimit: set.pidsLimit,
		Labels: set.labels,
	}, nil
}

// image gets the task's image. It stays at least until the settings let it go.
func (d *Driver) image(ctx context.Context, spec *drivers.TaskSpec, set *settings) (client.Image, error) {
	set.image.Dir, set.image.Notify = spec.Dir, spec.Notify
	img, letGo, err := d.images.Get(ctx, set.image)
	if err != nil {
		return nil, err
	}
	set.held = append(set.held, letGo)
	return img, nil
}

// letGo ends what kept the images that were got with the settings.
func (s *settings) letGo() {
	for _, f := range s.held {
		f()
	}
	s.held = nil
}

// notify says what of the task's options has no effect.
func (d *Driver) notify(spec *drivers.TaskSpec, s *settings) {
	if len(s.withoutEffect) > 0 {
		d.cfg.Notice(spec.ID, "options without effect yet: "+strings.Join(s.withoutEffect, ", "))
	}
	if spec.Network == nil && s.network == "" {
		d.cfg.Notice(spec.ID, "the task uses the host's network: it listens on the host's ports themselves")
	}
	if !d.Seccomp() && !s.privileged && !s.unconfined {
		d.cfg.Notice(spec.ID, "no system call filter: this build's runc has no seccomp")
	}
}

// process joins entrypoint and command: what the task says replaces the image's, and an
// entrypoint of the task's own drops the image's command.
func (s *settings) process(image ocispec.ImageConfig) ([]string, error) {
	entrypoint, command := image.Entrypoint, image.Cmd
	if len(s.entrypoint) > 0 {
		entrypoint, command = s.entrypoint, nil
	}
	switch {
	case s.command != "":
		command = append([]string{s.command}, s.args...)
	case len(s.args) > 0:
		command = s.args
	}
	args := slices.Concat(entrypoint, command)
	if len(args) == 0 {
		return nil, errors.New("no command: the image has none, and neither has the task")
	}
	return args, nil
}
