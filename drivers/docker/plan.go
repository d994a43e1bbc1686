//go:build linux

package docker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cap"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
)

// starting is one task on its way to its container.
type starting struct {
	*Driver
	c     *client.Client
	task  *drivers.TaskSpec // the driver's own copy
	set   *settings
	stage *stage
}

// plan gets the image and says what container the task's settings make of it.
func (s *starting) plan(ctx context.Context) (*container.Plan, error) {
	s.notify()
	capabilities, err := s.set.current()
	if err != nil {
		return nil, err
	}
	if err := s.joinNetwork(ctx); err != nil {
		return nil, err
	}
	img, err := s.image(ctx)
	if err != nil {
		return nil, err
	}
	described, err := img.Spec(ctx)
	if err != nil {
		return nil, err
	}
	p, err := s.fromImage(ctx, img, described.Config)
	if err != nil {
		return nil, err
	}
	set := s.set
	p.Root = container.Root{Image: img, ReadOnly: set.readonly}
	p.TTY, p.Stdin = set.tty, set.interactive
	p.NoNewPrivileges, p.Rlimits, p.OOMScore = set.noNewPrivs, set.rlimits, set.oomScore
	p.Share, p.Alone, p.Hostname, p.Hosts = set.hostSpaces, set.network == noneMode, set.hostname, set.extraHosts
	p.Resolver, p.ShmSize, p.Sysctl = set.resolver, set.shmSize, set.sysctl
	p.Capabilities, p.Unconfined, p.Privileged = capabilities, set.unconfined || set.profile != nil, set.privileged
	p.Remap = set.users
	p.MemoryHard, p.CPUHard, p.CPUPeriod, p.PidsLimit = set.memoryHard, set.hardCPU, set.cpuPeriod, set.pidsLimit
	p.Labels = s.labels()
	devices, rules, err := devicesOf(set.devices)
	if err == nil && set.users != nil {
		err = checkOpen(devices)
	}
	if err != nil {
		return nil, err
	}
	p.Edit = func(spec *specs.Spec) error {
		addDevices(spec, devices, rules, set.users != nil)
		return s.edit(spec, capabilities)
	}
	return p, nil
}

// fromImage takes what the image says and the task does not: process, user and volumes.
func (s *starting) fromImage(ctx context.Context, img client.Image, config ocispec.ImageConfig) (*container.Plan, error) {
	name := s.task.User
	if name == "" {
		name = config.User
	}
	if err := checkUser(name); err != nil {
		return nil, err
	}
	user, err := s.user(ctx, s.c, img, name, s.set.groups)
	if err != nil {
		return nil, err
	}
	args, err := s.set.process(config)
	if err != nil {
		return nil, err
	}
	workDir := s.set.workDir
	if workDir == "" {
		workDir = config.WorkingDir
	}
	if err := checkWorkDir(workDir); err != nil {
		return nil, fmt.Errorf("the image's %w", err)
	}
	signal := stopSignal(config.StopSignal)
	if signal == "" && config.StopSignal != "" {
		s.tell(fmt.Sprintf("the image's STOPSIGNAL %q is not known: the task is stopped by SIGTERM", config.StopSignal))
	}
	m := &mounter{cfg: &s.cfg, key: s.task.Key(), stage: s.stage, volumes: s.volumes, image: s.imageView(ctx, s.c, img)}
	mounts, err := m.mounts(ctx, s.set.volumes, config.Volumes, s.task.Mounts)
	if err != nil {
		return nil, err
	}
	if s.set.init {
		args = append([]string{initPath, "--"}, args...)
		mounts = append(mounts, container.Bind(s.initProgram(), initPath, true, "rprivate"))
	}
	return &container.Plan{Args: args, Env: config.Env, User: user, WorkDir: workDir, StopSignal: signal, Mounts: mounts}, nil
}

// current are the capabilities of the task's process. Where all are asked for, it gets what
// the agent has itself: it may run confined.
func (s *settings) current() ([]string, error) {
	if !s.privileged && !hasAll(s.capAdd) {
		return s.capabilities, nil
	}
	own, err := cap.Current()
	if err != nil || s.privileged {
		return own, err
	}
	return slices.DeleteFunc(slices.Clone(s.capabilities), func(name string) bool { return !slices.Contains(own, name) }), nil
}

func hasAll(names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, "all") })
}

// edit is for what container.Plan has no word for.
func (s *starting) edit(spec *specs.Spec, capabilities []string) error {
	set := s.set
	if set.profile != nil && !set.privileged {
		spec.Linux.Seccomp = set.profile.filter(capabilities, kernelRelease())
	}
	spec.Process.ApparmorProfile = set.appArmor
	if set.privileged {
		spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: capabilities, Effective: capabilities, Permitted: capabilities}
	}
	if set.allPaths {
		spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil
	}
	if set.noShm {
		spec.Mounts = slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool { return m.Destination == "/dev/shm" })
	}
	if slices.Contains(set.hostSpaces, specs.IPCNamespace) {
		for i, m := range spec.Mounts {
			if m.Destination == "/dev/shm" {
				spec.Mounts[i] = container.Bind("/dev/shm", "/dev/shm", false, "rprivate")
			}
		}
	}
	if set.cgroupns != "" {
		spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
			return n.Type == specs.CgroupNamespace
		})
		if set.cgroupns == "private" {
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		}
	}
	sortMounts(spec.Mounts)
	return nil
}

// joinNetwork puts the network namespace that the settings ask for into the task's copy.
func (s *starting) joinNetwork(ctx context.Context) error {
	switch {
	case s.set.network == hostMode || s.set.network == noneMode:
		s.task.Network = nil
	case s.set.network == bridgeMode: // the agent makes one where it is asked for
		return errors.New("network_mode: bridge: the agent has made no network for the task")
	case s.set.peer != "":
		network, err := s.peerNetwork(ctx)
		if err != nil {
			return fmt.Errorf("network_mode: container:%s: %w", s.set.peer, err)
		}
		s.task.Network = network
	}
	return nil
}

// image gets the task's image. It stays at least until the settings let it go.
func (s *starting) image(ctx context.Context) (client.Image, error) {
	s.set.image.Dir, s.set.image.Notify = s.task.Dir, s.task.Notify
	img, letGo, err := s.images.Get(ctx, s.set.image)
	if err != nil {
		return nil, err
	}
	s.set.held = append(s.set.held, letGo)
	return img, nil
}

// letGo ends what kept the images that were got with the settings.
func (s *settings) letGo() {
	for _, f := range s.held {
		f()
	}
	s.held = nil
}

// notify tells what of the task's options does less than one may think.
func (s *starting) notify() {
	for _, n := range s.set.notices {
		s.tell(n)
	}
	if s.task.Network == nil && s.set.network == "" && s.set.peer == "" {
		s.tell("the task uses the host's network: it listens on the host's ports themselves")
	}
	if !s.Seccomp() && !s.set.privileged && !s.set.unconfined {
		s.tell("no system call filter: this build's runc has no seccomp")
	}
}

func (s *starting) tell(message string) {
	s.cfg.Notice(s.task.ID, message)
	if s.task.Notify != nil {
		s.task.Notify(drivers.Notice{Key: message, Message: message})
	}
}

// labels are the task's, and those of the job that the node's configuration names.
func (s *starting) labels() map[string]string {
	out := map[string]string{"com.hashicorp.nomad.alloc_id": s.task.AllocID}
	for name, value := range s.set.labels {
		out[name] = value
	}
	for name, value := range map[string]string{
		"job_name": s.task.JobID, "job_id": s.task.JobID, "task_group_name": s.task.Group,
		"task_name": s.task.Task, "namespace": s.task.Namespace,
	} {
		if slices.ContainsFunc(s.cfg.ExtraLabels, func(pattern string) bool {
			ok, err := filepath.Match(pattern, name)
			return err == nil && ok
		}) {
			out["com.hashicorp.nomad."+name] = value
		}
	}
	return out
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
