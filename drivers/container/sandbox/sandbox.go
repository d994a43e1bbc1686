//go:build linux

// Package sandbox makes plans of containers that run the host's own programs: a task's
// directory is the root, and chosen directories of the host lie in it, read-only. Nothing is
// copied. The drivers exec, java and qemu are its users.
//
// A task is the user nobody unless its job says otherwise, has process, IPC and mount
// namespaces of its own, cannot gain privileges, and has no more capabilities than it asked
// for and the node allows.
package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/nomadish"
)

// Config is what this node allows, and where its tasks find programs.
type Config struct {
	// Chroot maps paths of the host to those under which tasks see them, read-only. Default:
	// the programs and libraries of the host, and those files of /etc that programs need.
	Chroot map[string]string
	// DefaultPIDMode and DefaultIPCMode are private or host; default private.
	DefaultPIDMode string
	DefaultIPCMode string
	// AllowHostModes lets a task ask for the host's process or IPC namespace, where it sees and
	// signals other tasks; default no, unless it is the node's own default.
	AllowHostModes bool
	// AllowCaps are the capabilities that tasks may add, without CAP_; "all" for every one.
	// Default: container.DefaultCaps.
	AllowCaps []string
	// DeniedEnv are patterns of environment variables that no task gets.
	DeniedEnv []string
	// PidsLimit is the most processes of a task; default 4096, -1 for none.
	PidsLimit int64
	// Users are those of the host that the users of tasks are; default the same.
	Users *container.Pool
	// NoPivotRoot confines tasks by chroot alone, for hosts whose root is in memory.
	NoPivotRoot bool
}

// Capabilities of tasks that run as root and ask for none: without those that make devices,
// write the kernel's audit log, change root, or hand on capabilities.
func usualCaps() []string {
	return []string{"chown", "dac_override", "fowner", "fsetid", "kill", "net_bind_service", "setfcap", "setgid", "setuid"}
}

// Sandbox makes plans of one driver's tasks.
type Sandbox struct {
	cfg  Config
	host string // root of the host's file system: / but in tests
}

// New checks the configuration.
func New(cfg Config) (*Sandbox, error) {
	cfg.DefaultPIDMode = cmp.Or(cfg.DefaultPIDMode, private)
	cfg.DefaultIPCMode = cmp.Or(cfg.DefaultIPCMode, private)
	cfg.PidsLimit = cmp.Or(cfg.PidsLimit, 4096)
	if cfg.AllowCaps == nil {
		cfg.AllowCaps = container.DefaultCaps()
	}
	var errs []error
	for name, mode := range map[string]string{"default_pid_mode": cfg.DefaultPIDMode, "default_ipc_mode": cfg.DefaultIPCMode} {
		if mode != private && mode != host {
			errs = append(errs, fmt.Errorf("%s: %q is neither private nor host", name, mode))
		}
	}
	for from, to := range cfg.Chroot {
		if !filepath.IsAbs(from) || !path.IsAbs(to) || path.Clean(to) == "/" {
			errs = append(errs, fmt.Errorf("chroot_env: %q = %q: want absolute paths, and a directory inside", from, to))
		}
	}
	if cfg.Users != nil && cfg.NoPivotRoot {
		errs = append(errs, errors.New("userns: can't go with no_pivot_root: the kernel lets nobody out of the host's root by chroot alone"))
	}
	errs = append(errs, checkPatterns(cfg.DeniedEnv), cfg.Users.Validate())
	return &Sandbox{cfg: cfg, host: "/"}, errors.Join(errs...)
}

func checkPatterns(patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("denied_envvars: %q: %w", p, err)
		}
	}
	return nil
}

// ReadConfig reads the plugin block of an agent's configuration file; chroot is its
// client.chroot_env.
func ReadConfig(o drivers.Options, chroot map[string]string) Config {
	return Config{
		Chroot:         chroot,
		DefaultPIDMode: o.String("default_pid_mode"), DefaultIPCMode: o.String("default_ipc_mode"),
		AllowHostModes: o.Bool("allow_host_modes"), AllowCaps: o.Strings("allow_caps"),
		DeniedEnv: o.Strings("denied_envvars"), PidsLimit: o.Int("pids_limit"), NoPivotRoot: o.Bool("no_pivot_root"),
		Users: container.ReadPool(o),
	}
}

// The modes of namespaces.
const (
	private = "private"
	host    = "host"
)

// Options describes the options that the drivers of sandboxes have in common.
func Options() drivers.Schema {
	return drivers.Schema{
		"work_dir":       {Type: nomadish.ConfigString, Doc: "Absolute path of the directory it starts in. Default: the task's."},
		"pid_mode":       {Type: nomadish.ConfigString, Doc: "Process namespace: private, or host where the node allows it."},
		"ipc_mode":       {Type: nomadish.ConfigString, Doc: "IPC namespace: private, or host where the node allows it."},
		"cap_add":        {Type: nomadish.ConfigStringList, Doc: "Capabilities to add; the node must allow them."},
		"cap_drop":       {Type: nomadish.ConfigStringList, Doc: "Capabilities to take away; all for every one."},
		"denied_envvars": {Type: nomadish.ConfigStringList, Doc: "Names of environment variables, with *, that it does not get."},
	}
}

// Plan makes the plan of a task but for its arguments. Faults of options are o's as well.
func (s *Sandbox) Plan(spec *drivers.TaskSpec, o drivers.Options) (*container.Plan, error) {
	capabilities, ambient, err1 := s.capabilities(o.Strings("cap_add"), o.Strings("cap_drop"))
	share, err2 := s.share(o)
	user, home, err3 := s.user(spec.User)
	workDir := o.String("work_dir")
	var err4 error
	if workDir != "" && !path.IsAbs(workDir) {
		err4 = fmt.Errorf("work_dir: %q is not an absolute path", workDir)
	}
	if user.UID == 0 {
		ambient = nil // root keeps its capabilities without
	}
	denied := o.Strings("denied_envvars")
	if err := errors.Join(o.Err(), err1, err2, err3, err4, checkPatterns(denied), container.CheckMemory(spec.Resources.Limit())); err != nil {
		return nil, err
	}
	return &container.Plan{
		Root: container.Root{Dir: spec.Dir.Task, Mounts: s.mounts(), NoPivot: s.cfg.NoPivotRoot},
		Env:  home, Denied: slices.Concat(s.cfg.DeniedEnv, denied),
		User: user, WorkDir: workDir, NoNewPrivileges: true, Share: share,
		Capabilities: capabilities, Ambient: ambient,
		CPUHard: spec.Resources.CPUHardLimit, PidsLimit: max(0, s.cfg.PidsLimit),
		Masked: []string{"/private"}, Remap: s.cfg.Users,
	}, nil
}

// capabilities returns those of the task, and those of them that it has also as another user
// than root: only what its job names.
func (s *Sandbox) capabilities(add, drop []string) (all, ambient []string, err error) {
	if all, err = container.Capabilities(usualCaps(), drop, add, s.cfg.AllowCaps); err != nil || len(add) == 0 {
		return all, nil, err
	}
	ambient, err = container.Capabilities(nil, nil, add, s.cfg.AllowCaps)
	return all, ambient, err
}

// share says which namespaces of the host the task is in.
func (s *Sandbox) share(o drivers.Options) ([]specs.LinuxNamespaceType, error) {
	var out []specs.LinuxNamespaceType
	var errs []error
	for _, n := range []struct {
		option, usual string
		kind          specs.LinuxNamespaceType
	}{
		{"pid_mode", s.cfg.DefaultPIDMode, specs.PIDNamespace},
		{"ipc_mode", s.cfg.DefaultIPCMode, specs.IPCNamespace},
	} {
		switch mode := cmp.Or(o.String(n.option), n.usual); {
		case mode == private:
		case mode == host && (n.usual == host || s.cfg.AllowHostModes):
			out = append(out, n.kind)
		case mode == host:
			errs = append(errs, fmt.Errorf("%s: host is refused: this node does not allow it (allow_host_modes)", n.option))
		default:
			errs = append(errs, fmt.Errorf("%s: %q is neither private nor host", n.option, mode))
		}
	}
	return out, errors.Join(errs...)
}

// user returns the numbers of the task's user, and the variables that go with it.
func (s *Sandbox) user(name string) (specs.User, []string, error) {
	name = cmp.Or(name, "nobody")
	u, err := container.LookUp(s.host, name, nil)
	if err != nil {
		return u, nil, err
	}
	login, home := container.Account(s.host, u.UID)
	var env []string
	for _, v := range [][2]string{{"HOME", cmp.Or(home, "/")}, {"USER", login}, {"LOGNAME", login}} {
		if v[1] != "" {
			env = append(env, v[0]+"="+v[1])
		}
	}
	return u, env, nil
}

// Capabilities says what tasks in sandboxes can do.
func Capabilities() drivers.Capabilities {
	return drivers.Capabilities{Isolation: drivers.IsolationChroot, NetworkModes: []string{"host", "none", "bridge", "cni/*"}}
}

// CheckNames refuses a config block with options that do not exist or are missing.
func CheckNames(schema drivers.Schema, config map[string]any) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if _, ok := schema[name]; !ok {
			errs = append(errs, fmt.Errorf("unknown option: %s", name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		if v := config[name]; schema[name].Required && (v == nil || v == "") {
			errs = append(errs, fmt.Errorf("missing option: %s", name))
		}
	}
	return errors.Join(errs...)
}
