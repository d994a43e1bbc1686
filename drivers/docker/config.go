//go:build linux

package docker

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/images"
)

// settings are a task's config block, read and checked.
type settings struct {
	image images.Request
	held  []func() // let go of the images that were got with it

	command     string
	args        []string
	entrypoint  []string
	workDir     string
	groups      []string
	tty         bool
	interactive bool
	init        bool
	noOutput    bool

	network    string // bridge, host, none, or empty: as the group has it
	peer       string // the task whose network it joins
	ports      []drivers.Port
	hostname   string
	extraHosts []string
	resolver   []string // lines of resolv.conf; empty: the host's file
	hostSpaces []specs.LinuxNamespaceType
	cgroupns   string

	privileged bool
	readonly   bool
	capAdd     []string
	// capabilities are what it has by capAdd and cap_drop, as far as the node allows it.
	capabilities []string
	noNewPrivs   bool
	unconfined   bool
	profile      *profile // of system calls, in place of the default
	appArmor     string
	allPaths     bool // no masked and no read-only paths
	noShm        bool
	users        *container.Pool // of the host, that its own are; nil: they are the same
	devices      []device
	volumes      []volume

	memoryHard int64 // bytes
	hardCPU    bool
	cpuPeriod  uint64 // microseconds
	pidsLimit  int64
	oomScore   int
	shmSize    int64
	sysctl     map[string]string
	rlimits    []specs.POSIXRlimit
	labels     map[string]string

	notices []string // of options that do less than a user may think
}

// settingsOf reads a task's config block as the named driver's. The error names every fault.
func (c *Config) settingsOf(name string, spec *drivers.TaskSpec) (*settings, error) {
	table := options
	if name != Name {
		table = containerdTable()
	}
	notices, err := checkNames(table, spec.Config)
	if err != nil {
		return nil, err
	}
	o := drivers.NewOptions(spec.Config)
	s := &settings{
		command:     o.String("command"),
		args:        o.Strings("args"),
		entrypoint:  entrypoint(spec.Config["entrypoint"], o),
		workDir:     o.String("work_dir"),
		groups:      o.Strings("group_add"),
		tty:         o.Bool("tty"),
		interactive: o.Bool("interactive"),
		init:        o.Bool("init"),
		hostname:    o.String("hostname"),
		privileged:  o.Bool("privileged"),
		readonly:    o.Bool("readonly_rootfs"),
		capAdd:      o.Strings("cap_add"),
		noNewPrivs:  c.NoNewPrivileges,
		hardCPU:     o.Bool("cpu_hard_limit") || spec.Resources.CPUHardLimit,
		labels:      o.Map("labels"),
		notices:     notices,
	}
	faults := []error{
		s.readImage(o, c),
		s.readNetwork(o, spec),
		s.readNamespaces(o, c.AllowPrivileged), s.readUsers(o, c),
		s.readSecurity(o, c, spec),
		s.readLimits(o, c, spec),
		s.readSysctl(o, spec),
		s.readDevices(o, c, name != Name),
		s.readVolumes(o),
		s.checkSources(c, spec),
		s.readLogging(o, c),
		s.checkWords(spec),
	}
	if name != Name {
		faults = append(faults, s.readContainerd(o, c))
	}
	s.capabilities, err = container.Capabilities(container.DefaultCaps(), o.Strings("cap_drop"), s.capAdd, c.AllowCaps)
	faults = append(faults, err)
	if r := o.String("runtime"); r != "" && r != "runc" && r != "io.containerd.runc.v2" {
		faults = append(faults, fmt.Errorf("runtime: there is no %q here, only runc; a device of the host can be given by devices", r))
	}
	return s, errors.Join(append([]error{o.Err()}, faults...)...)
}

// entrypoint takes a list, or a text that is one program.
func entrypoint(value any, o drivers.Options) []string {
	if text, ok := value.(string); ok && text != "" {
		return []string{text}
	}
	return o.Strings("entrypoint")
}

// readContainerd takes the options that only containerd-driver has.
func (s *settings) readContainerd(o drivers.Options, c *Config) error {
	if dir := o.String("cwd"); dir != "" {
		s.workDir = dir
	}
	if o.Bool("host_network") {
		if s.network != "" && s.network != hostMode {
			return fmt.Errorf("host_network: network_mode is %s", s.network)
		}
		s.network = hostMode
	}
	if o.Has("seccomp") && !o.Bool("seccomp") {
		s.unconfined = true
		if !c.AllowPrivileged {
			return errors.New("seccomp: false is refused: " + notPrivileged)
		}
	}
	if o.Has("host_dns") && !o.Bool("host_dns") && len(s.resolver) == 0 {
		return errors.New("host_dns: false, and dns_servers names no other")
	}
	return nil
}

// checkWords refuses texts that can't be what they are for: a name with a line break would
// make lines of its own in a file, one with a NUL end early.
func (s *settings) checkWords(spec *drivers.TaskSpec) error {
	var errs []error
	if s.hostname != "" && !validHostname(s.hostname) {
		errs = append(errs, fmt.Errorf("hostname: %q is none", s.hostname))
	}
	if !strings.HasPrefix(s.workDir, "/") && s.workDir != "" {
		errs = append(errs, fmt.Errorf("work_dir: %q is no absolute path", s.workDir))
	}
	errs = append(errs, checkWorkDir(s.workDir))
	errs = append(errs, checkUser(spec.User))
	for _, g := range s.groups {
		if strings.Contains(g, ":") || checkUser(g) != nil || g == "" {
			errs = append(errs, fmt.Errorf("group_add: %q is no group", g))
		}
	}
	for _, list := range []struct {
		option string
		texts  []string
	}{
		{"args", s.args},
		{"entrypoint", s.entrypoint},
		{"command", []string{s.command}},
		{"work_dir", []string{s.workDir}},
	} {
		if slices.ContainsFunc(list.texts, func(t string) bool { return strings.Contains(t, "\x00") }) {
			errs = append(errs, fmt.Errorf("%s: a text has a NUL", list.option))
		}
	}
	return errors.Join(errs...)
}

// checkWorkDir refuses directories of processes: one can be of the runtime that enters the
// container, and so of the host.
func checkWorkDir(dir string) error {
	if rel, ok := below("/proc", path.Join("/", dir)); ok && rel != "." {
		return fmt.Errorf("work_dir: %s is refused: it can be a directory of the host", dir)
	}
	return nil
}

func validHostname(name string) bool {
	if len(name) > 64 || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

func (s *settings) readImage(o drivers.Options, c *Config) error {
	ref, err := images.ParseName(o.String("image"))
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	s.image = images.Request{
		Ref: ref, Load: o.String("load"), Force: o.Bool("force_pull"),
		Timeout:      cmp.Or(o.Duration("image_pull_timeout"), c.PullTimeout),
		AuthSoftFail: o.Bool("auth_soft_fail"),
	}
	for _, a := range o.Blocks("auth") {
		s.image.Auth = images.Auth{
			Username: a.String("username"), Password: a.String("password"), Server: a.String("server_address"),
		}
	}
	return nil
}
