//go:build linux

package docker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
)

// notPrivileged says why something was refused that gives a task the host.
const notPrivileged = "this node does not allow privileged tasks (allow_privileged)"

// readNamespaces takes a host namespace only where tasks may be privileged: it lets them see
// and signal the host's processes.
func (s *settings) readNamespaces(o drivers.Options, allowed bool) error {
	var errs []error
	for _, space := range []struct {
		option string
		kind   specs.LinuxNamespaceType
	}{
		{"ipc_mode", specs.IPCNamespace},
		{"pid_mode", specs.PIDNamespace},
		{"uts_mode", specs.UTSNamespace},
	} {
		switch mode := o.String(space.option); {
		case mode == "", mode == "private":
		case mode == "none" && space.kind == specs.IPCNamespace:
			s.noShm = true
		case mode == "shareable" && space.kind == specs.IPCNamespace:
			s.notices = append(s.notices, "ipc_mode: shareable is private here: no other task can join it")
		case mode == "host" && allowed:
			s.hostSpaces = append(s.hostSpaces, space.kind)
		case mode == "host":
			errs = append(errs, fmt.Errorf("%s: host is refused: %s", space.option, notPrivileged))
		default:
			errs = append(errs, fmt.Errorf("%s: %q is not supported; private and host are", space.option, mode))
		}
	}
	switch s.cgroupns = o.String("cgroupns"); s.cgroupns {
	case "", "private", "host":
	default:
		errs = append(errs, fmt.Errorf("cgroupns: %q is neither private nor host", s.cgroupns))
	}
	return errors.Join(errs...)
}

// readUsers says whether the task has users of its own: as the node's configuration says, but
// for privileged tasks, which are the host's root in any case. Where tasks have some, to be
// without takes as much as being privileged.
func (s *settings) readUsers(o drivers.Options, c *Config) error {
	switch mode := o.String("userns_mode"); {
	case mode == "host" && c.Users != nil && !c.AllowPrivileged:
		return errors.New("userns_mode: host is refused: " + notPrivileged)
	case mode == "host":
		return nil
	case mode == "private" && c.Users == nil:
		return errors.New("userns_mode: private is refused: this node gives tasks no users of their own (userns { enabled = true })")
	case mode == "private" && s.privileged:
		return errors.New("userns_mode: private is refused: the task is privileged")
	case mode != "" && mode != "private":
		return fmt.Errorf("userns_mode: %q is not supported; private and host are", mode)
	case s.privileged:
		return nil
	}
	s.users = c.Users
	if i := slices.IndexFunc(s.hostSpaces, func(n specs.LinuxNamespaceType) bool { return n != specs.UTSNamespace }); s.users != nil && i >= 0 {
		return fmt.Errorf("%s_mode: host can't go with users of its own; userns_mode = \"host\" leaves those out", s.hostSpaces[i])
	}
	return nil
}

// readSecurity takes what adds to a task's confinement, and what takes from it where the node
// allows that.
func (s *settings) readSecurity(o drivers.Options, c *Config, spec *drivers.TaskSpec) error {
	var errs []error
	if s.privileged && !c.AllowPrivileged {
		errs = append(errs, errors.New("privileged: refused: "+notPrivileged))
	}
	for _, opt := range o.Strings("security_opt") {
		name, value, _ := strings.Cut(opt, "=")
		if !strings.Contains(opt, "=") {
			name, value, _ = strings.Cut(opt, ":") // the older form
		}
		if err := s.setSecurity(name, value, c, spec); err != nil {
			errs = append(errs, fmt.Errorf("security_opt: %s: %w", opt, err))
		}
	}
	if path := o.String("seccomp_profile"); path != "" {
		if err := s.setSecurity("seccomp", path, c, spec); err != nil {
			errs = append(errs, fmt.Errorf("seccomp_profile: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) setSecurity(name, value string, c *Config, spec *drivers.TaskSpec) error {
	refuseUnlessPrivileged := func() error {
		if !c.AllowPrivileged {
			return errors.New("refused: " + notPrivileged)
		}
		return nil
	}
	switch name {
	case "no-new-privileges":
		if value == "false" && c.NoNewPrivileges {
			return errors.New("refused: this node lets no task gain privileges (no_new_privileges)")
		}
		if value != "" && value != "true" && value != "false" {
			return fmt.Errorf("%q is neither true nor false", value)
		}
		s.noNewPrivs = value != "false"
		return nil
	case "seccomp":
		switch value {
		case "", "builtin", "runtime/default":
			return nil
		case "unconfined":
			s.unconfined = true
			return refuseUnlessPrivileged()
		}
		if err := refuseUnlessPrivileged(); err != nil {
			return err
		}
		profile, err := readProfile(spec.Dir, value)
		s.profile = profile
		return err
	case "apparmor":
		if value == "unconfined" {
			return refuseUnlessPrivileged()
		}
		if !appArmor() {
			return errors.New("refused: this node's kernel has no AppArmor")
		}
		s.appArmor = value
		return nil
	case "systempaths":
		if value != "unconfined" {
			return errors.New("only unconfined is known")
		}
		s.allPaths = true
		return refuseUnlessPrivileged()
	case "label":
		s.notices = append(s.notices, "security_opt: label: no effect: containers have no SELinux labels here")
		return nil
	}
	return errors.New("not known: no-new-privileges, seccomp, apparmor, systempaths and label are")
}

// readSysctl takes kernel settings of a namespace that is the container's own; any other would
// change the host.
func (s *settings) readSysctl(o drivers.Options, spec *drivers.TaskSpec) error {
	s.sysctl = o.Map("sysctl")
	var errs []error
	for name, value := range s.sysctl {
		plain := strings.ReplaceAll(name, "/", ".")
		var err error
		switch {
		case strings.ContainsAny(name+value, "\x00\n") || strings.Contains(name, ".."):
			err = errors.New("not a name and a value")
		case strings.HasPrefix(plain, "net."):
			if !s.ownNetwork(spec) {
				err = errors.New("refused: the task uses the host's network")
			}
		case strings.HasPrefix(plain, "fs.mqueue.") || slices.Contains(ipcSettings, plain):
			if slices.Contains(s.hostSpaces, specs.IPCNamespace) {
				err = errors.New("refused: the task uses the host's IPC namespace")
			}
		default:
			err = errors.New("refused: it is not of a namespace of the container's: net.*, fs.mqueue.*, kernel.msg*, kernel.sem and kernel.shm* are")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sysctl: %q: %w", name, err))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// ipcSettings are the kernel settings of an IPC namespace.
var ipcSettings = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
	"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}
