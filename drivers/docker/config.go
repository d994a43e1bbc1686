//go:build linux

package docker

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/images"
)

// minMemory is the least that a container starts with; the runtime itself runs in it first.
const minMemory = 10 << 20

// settings are a task's config block, read and checked.
type settings struct {
	image images.Request
	held  []func() // let go of the images that were got with it

	command    string
	args       []string
	entrypoint []string
	workDir    string
	groups     []string
	tty        bool

	network    string // host, none, or empty: as the group has it
	hostname   string
	extraHosts []string
	resolver   []string // lines of resolv.conf; empty: the host's file
	hostSpaces []specs.LinuxNamespaceType

	privileged    bool
	readonly      bool
	capAdd        []string
	capDrop       []string
	noNewPrivs    bool
	unconfined    bool
	memoryHard    int64 // bytes
	hardCPU       bool
	cpuPeriod     uint64 // microseconds
	pidsLimit     int64
	oomScore      int
	shmSize       int64
	sysctl        map[string]string
	rlimits       []specs.POSIXRlimit
	labels        map[string]string
	withoutEffect []string
	volumes       []volume
	notices       []string
}

// settingsOf reads a task's config block. The error names every fault.
func (c *Config) settingsOf(spec *drivers.TaskSpec) (*settings, error) {
	ignoredNames, err := checkNames(spec.Config)
	if err != nil {
		return nil, err
	}
	o := drivers.NewOptions(spec.Config)
	s := &settings{
		command:    o.String("command"),
		args:       o.Strings("args"),
		entrypoint: o.Strings("entrypoint"),
		workDir:    o.String("work_dir"),
		groups:     o.Strings("group_add"),
		tty:        o.Bool("tty"),
		network:    o.String("network_mode"),
		hostname:   o.String("hostname"),
		privileged: o.Bool("privileged"),
		readonly:   o.Bool("readonly_rootfs"),
		capAdd:     o.Strings("cap_add"),
		capDrop:    o.Strings("cap_drop"),
		noNewPrivs: c.NoNewPrivileges,
		memoryHard: o.Int("memory_hard_limit") << 20,
		hardCPU:    o.Bool("cpu_hard_limit") || spec.Resources.CPUHardLimit,
		cpuPeriod:  uint64(max(0, o.Int("cpu_cfs_period"))),
		pidsLimit:  o.Int("pids_limit"),
		oomScore:   int(o.Int("oom_score_adj")),
		shmSize:    o.Int("shm_size"),
		sysctl:     o.Map("sysctl"),
		labels:     o.Map("labels"),
	}
	s.withoutEffect = ignoredNames
	faults := []error{
		s.readImage(o),
		s.readNetwork(o, spec),
		s.readNamespaces(o, c.AllowPrivileged),
		s.readSecurity(o, c),
		s.readLimits(o, c, spec),
	}
	if r := o.String("runtime"); r != "" && r != "runc" && r != "io.containerd.runc.v2" {
		faults = append(faults, fmt.Errorf("runtime: there is no %q, only runc", r))
	}
	return s, errors.Join(append([]error{o.Err()}, faults...)...)
}

func (s *settings) readImage(o drivers.Options) error {
	ref, err := images.ParseName(o.String("image"))
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	s.image = images.Request{
		Ref: ref, Load: o.String("load"), Force: o.Bool("force_pull"), Timeout: o.Duration("image_pull_timeout"),
		AuthSoftFail: o.Bool("auth_soft_fail"),
	}
	for _, a := range o.Blocks("auth") {
		s.image.Auth = images.Auth{
			Username: a.String("username"), Password: a.String("password"), Server: a.String("server_address"),
		}
	}
	return nil
}

func (s *settings) readNetwork(o drivers.Options, spec *drivers.TaskSpec) error {
	var errs []error
	switch s.network {
	case "", "host", "none":
	default:
		errs = append(errs, fmt.Errorf("network_mode: %q is not supported yet; host and none are", s.network))
	}
	if s.network != "" && spec.Network != nil {
		errs = append(errs, fmt.Errorf("network_mode: %q, but the group has a network of its own", s.network))
	}
	for _, line := range o.Strings("extra_hosts") {
		name, address, _ := strings.Cut(line, ":")
		ip, err := netip.ParseAddr(strings.Trim(address, "[]"))
		if err != nil || name == "" || strings.ContainsAny(name, " \t\n") {
			errs = append(errs, fmt.Errorf("extra_hosts: %q is not NAME:ADDRESS", line))
			continue
		}
		s.extraHosts = append(s.extraHosts, ip.String()+"\t"+name)
	}
	for _, kind := range []struct{ option, keyword string }{
		{"dns_servers", "nameserver"},
		{"dns_search_domains", "search"},
		{"dns_options", "options"},
	} {
		values := o.Strings(kind.option)
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "\n\r") }) {
			errs = append(errs, fmt.Errorf("%s: a value has a line break", kind.option))
			continue
		}
		if kind.keyword == "nameserver" {
			for _, v := range values {
				s.resolver = append(s.resolver, kind.keyword+" "+v)
			}
		} else if len(values) > 0 {
			s.resolver = append(s.resolver, kind.keyword+" "+strings.Join(values, " "))
		}
	}
	return errors.Join(errs...)
}

// readNamespaces takes a host namespace only where tasks may be privileged: it lets them see
// and signal the host's processes.
func (s *settings) readNamespaces(o drivers.Options, allowed bool) error {
	var errs []error
	for name, kind := range map[string]specs.LinuxNamespaceType{
		"ipc_mode": specs.IPCNamespace,
		"pid_mode": specs.PIDNamespace,
		"uts_mode": specs.UTSNamespace,
	} {
		switch mode := o.String(name); {
		case mode == "", mode == "private":
		case mode == "host" && allowed:
			s.hostSpaces = append(s.hostSpaces, kind)
		case mode == "host":
			errs = append(errs, fmt.Errorf("%s: host is refused: this node does not allow privileged tasks", name))
		default:
			errs = append(errs, fmt.Errorf("%s: %q is not supported; private and host are", name, mode))
		}
	}
	if mode := o.String("userns_mode"); mode != "" && mode != "host" {
		errs = append(errs, fmt.Errorf("userns_mode: %q is not supported yet; host is", mode))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (s *settings) readSecurity(o drivers.Options, c *Config) error {
	var errs []error
	if s.privileged && !c.AllowPrivileged {
		errs = append(errs, errors.New("privileged: refused: this node does not allow privileged tasks"))
	}
	for _, opt := range o.Strings("security_opt") {
		switch strings.Replace(opt, ":", "=", 1) {
		case "no-new-privileges", "no-new-privileges=true":
			s.noNewPrivs = true
		case "no-new-privileges=false":
			if c.NoNewPrivileges {
				errs = append(errs, errors.New("security_opt: no-new-privileges=false is refused on this node"))
			}
		case "seccomp=unconfined":
			if !c.AllowPrivileged {
				errs = append(errs, errors.New("security_opt: seccomp=unconfined is refused: this node does not allow privileged tasks"))
			}
			s.unconfined = true
		default:
			errs = append(errs, fmt.Errorf("security_opt: %q is not supported yet", opt))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) readLimits(o drivers.Options, c *Config, spec *drivers.TaskSpec) error {
	var errs []error
	limit := max(spec.Resources.Limit(), s.memoryHard)
	if limit > 0 && limit < minMemory {
		errs = append(errs, fmt.Errorf("memory: %d bytes is below the minimum of %d MiB", limit, minMemory>>20))
	}
	if s.memoryHard != 0 && s.memoryHard < spec.Resources.MemoryBytes {
		errs = append(errs, errors.New("memory_hard_limit: below the task's memory"))
	}
	if s.cpuPeriod != 0 && (s.cpuPeriod < 1000 || s.cpuPeriod > 1_000_000) {
		errs = append(errs, fmt.Errorf("cpu_cfs_period: %d is outside 1000 to 1000000", s.cpuPeriod))
	}
	if s.oomScore < 0 || s.oomScore > 1000 {
		errs = append(errs, fmt.Errorf("oom_score_adj: %d is outside 0 to 1000", s.oomScore))
	}
	switch {
	case s.pidsLimit < 0:
		errs = append(errs, fmt.Errorf("pids_limit: %d is negative", s.pidsLimit))
	case c.PidsLimit > 0 && s.pidsLimit > c.PidsLimit:
		errs = append(errs, fmt.Errorf("pids_limit: %d is above this node's limit of %d", s.pidsLimit, c.PidsLimit))
	case s.pidsLimit == 0:
		s.pidsLimit = c.PidsLimit
	}
	if s.shmSize < 0 {
		errs = append(errs, fmt.Errorf("shm_size: %d is negative", s.shmSize))
	}
	limits := o.Map("ulimit")
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		r, err := rlimit(name, limits[name])
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.rlimits = append(s.rlimits, r)
	}
	return errors.Join(errs...)
}

func rlimit(name, value string) (specs.POSIXRlimit, error) {
	soft, hard, two := strings.Cut(value, ":")
	if !two {
		hard = soft
	}
	low, err1 := limitValue(soft)
	high, err2 := limitValue(hard)
	if err := errors.Join(err1, err2); err != nil || low > high {
		return specs.POSIXRlimit{}, fmt.Errorf("ulimit: %s: %q is not SOFT:HARD", name, value)
	}
	return specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: low, Hard: high}, nil
}

func limitValue(s string) (uint64, error) {
	if s == "-1" || s == "unlimited" {
		return ^uint64(0), nil
	}
	return strconv.ParseUint(s, 10, 64)
}
