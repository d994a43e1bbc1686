package docker

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// effect says what writing an option does.
type effect uint8

const (
	works   effect = iota
	ignored        // nothing yet; the task runs without it, with a notice
	refused        // nothing yet, and running without it would lose data or safety
)

// option is one option of a task's config block.
type option struct {
	nomadish.ConfigAttribute
	effect effect
}

func opt(t nomadish.ConfigType, doc string) option {
	return option{ConfigAttribute: nomadish.ConfigAttribute{Type: t, Doc: doc}}
}

func (o option) is(e effect) option         { o.effect = e; return o }
func (o option) or(value string) option     { o.Default = value; return o }
func (o option) must() option               { o.Required = true; return o }
func (o option) of(s drivers.Schema) option { o.Block = s; return o }

// options are all that a job file may say.
var options = map[string]option{
	"advertise_ipv6_address": opt(nomadish.ConfigBool, "Advertise the container's IPv6 address.").is(ignored),
	"args":                   opt(nomadish.ConfigStringList, "Arguments of the command, or of the image's entrypoint."),
	"auth": opt(nomadish.ConfigBlock, "Credentials for the registry.").of(drivers.Schema{
		"username":       {Type: nomadish.ConfigString, Doc: "User name."},
		"password":       {Type: nomadish.ConfigString, Doc: "Password or token."},
		"email":          {Type: nomadish.ConfigString, Doc: "Not used by registries any more."},
		"server_address": {Type: nomadish.ConfigString, Doc: "Registry the credentials are for; default the image's."},
	}),
	"auth_soft_fail":            opt(nomadish.ConfigBool, "Go on without credentials when none are found.").is(ignored),
	"cap_add":                   opt(nomadish.ConfigStringList, "Capabilities to add; the node must allow them."),
	"cap_drop":                  opt(nomadish.ConfigStringList, "Capabilities to take away; all for every one."),
	"cgroupns":                  opt(nomadish.ConfigString, "Control group namespace: private or host.").is(ignored),
	"command":                   opt(nomadish.ConfigString, "Command to run in place of the image's."),
	"container_exists_attempts": opt(nomadish.ConfigNumber, "Names are unique here: never needed.").is(ignored),
	"cpu_cfs_period":            opt(nomadish.ConfigNumber, "Period of the hard limit in microseconds.").or("100000"),
	"cpu_hard_limit":            opt(nomadish.ConfigBool, "Limit the CPU time to the share even when the node is idle.").or("false"),
	"devices": opt(nomadish.ConfigBlockList, "Devices of the host.").is(refused).of(drivers.Schema{
		"host_path":          {Type: nomadish.ConfigString, Doc: "Path on the host."},
		"container_path":     {Type: nomadish.ConfigString, Doc: "Path in the container."},
		"cgroup_permissions": {Type: nomadish.ConfigString, Doc: "Any of r, w and m."},
	}),
	"dns_options":        opt(nomadish.ConfigStringList, "Options of the resolver."),
	"dns_search_domains": opt(nomadish.ConfigStringList, "Domains that the resolver tries."),
	"dns_servers":        opt(nomadish.ConfigStringList, "Name servers; default the host's."),
	"entrypoint":         opt(nomadish.ConfigStringList, "Entrypoint in place of the image's."),
	"extra_hosts":        opt(nomadish.ConfigStringList, "Lines of /etc/hosts as NAME:ADDRESS."),
	"force_pull":         opt(nomadish.ConfigBool, "Ask the registry also when the image is here.").or("false"),
	"group_add":          opt(nomadish.ConfigStringList, "Groups that the process belongs to as well."),
	"healthchecks": opt(nomadish.ConfigBlock, "Health check of the image.").is(ignored).of(drivers.Schema{
		"disable": {Type: nomadish.ConfigBool, Doc: "Do not run it."},
	}),
	"hostname":           opt(nomadish.ConfigString, "Host name inside the container; default the host's."),
	"image":              opt(nomadish.ConfigString, "Image to run: NAME, NAME:TAG or NAME@DIGEST, of docker.io unless it names a registry.").must(),
	"image_pull_timeout": opt(nomadish.ConfigDuration, "Time that getting the image may take.").or("5m"),
	"init":               opt(nomadish.ConfigBool, "Run an init process that reaps children.").is(ignored),
	"interactive":        opt(nomadish.ConfigBool, "Keep standard input open.").is(ignored),
	"ipc_mode":           opt(nomadish.ConfigString, "IPC namespace: private, or host where the node allows privileged tasks."),
	"ipv4_address":       opt(nomadish.ConfigString, "Fixed address in a network.").is(refused),
	"ipv6_address":       opt(nomadish.ConfigString, "Fixed address in a network.").is(refused),
	"isolation":          opt(nomadish.ConfigString, "Isolation of Windows containers.").is(ignored),
	"labels":             opt(nomadish.ConfigStringMap, "Labels of the container."),
	"load":               opt(nomadish.ConfigString, "OCI or docker archive to take the image from: a path in the task's directory, or an absolute one where the node allows it."),
	"logging": opt(nomadish.ConfigBlock, "Log driver. Output always goes to the allocation's log files.").is(ignored).of(drivers.Schema{
		"driver": {Type: nomadish.ConfigString, Doc: "Log driver."},
		"type":   {Type: nomadish.ConfigString, Doc: "Older name of driver."},
		"config": {Type: nomadish.ConfigStringMap, Doc: "Options of the log driver."},
	}),
	"mac_address":       opt(nomadish.ConfigString, "Fixed hardware address.").is(refused),
	"memory_hard_limit": opt(nomadish.ConfigNumber, "MiB at which the task is killed; then memory is only reserved."),
	"mount":             opt(nomadish.ConfigBlockList, "Mounts.").is(refused).of(mountBlock),
	"mounts":            opt(nomadish.ConfigBlockList, "Older name of mount.").is(refused).of(mountBlock),
	"network_aliases":   opt(nomadish.ConfigStringList, "Names in a network.").is(ignored),
	"network_mode":      opt(nomadish.ConfigString, "Network: host or none; default the group's network, or the host's without one."),
	"oom_score_adj":     opt(nomadish.ConfigNumber, "How likely the kernel is to choose the task when memory runs out, from 0 to 1000.").or("0"),
	"pid_mode":          opt(nomadish.ConfigString, "PID namespace: private, or host where the node allows privileged tasks."),
	"pids_limit":        opt(nomadish.ConfigNumber, "Processes that the task can have."),
	"port_map":          opt(nomadish.ConfigStringMap, "Older form of ports.").is(ignored),
	"ports":             opt(nomadish.ConfigStringList, "Labels of the ports to map. On the host's network the task listens on the port itself.").is(ignored),
	"privileged":        opt(nomadish.ConfigBool, "Run without confinement, where the node allows it.").or("false"),
	"readonly_rootfs":   opt(nomadish.ConfigBool, "Mount the image's file system read-only.").or("false"),
	"runtime":           opt(nomadish.ConfigString, "Container runtime; runc is the only one."),
	"security_opt":      opt(nomadish.ConfigStringList, "no-new-privileges, and seccomp=unconfined where the node allows privileged tasks."),
	"shm_size":          opt(nomadish.ConfigNumber, "Bytes of /dev/shm.").or("67108864"),
	"storage_opt":       opt(nomadish.ConfigStringMap, "Options of the storage driver.").is(ignored),
	"sysctl":            opt(nomadish.ConfigStringMap, "Kernel settings of the container's namespaces."),
	"tty":               opt(nomadish.ConfigBool, "Give the task a terminal; its output is then one stream.").or("false"),
	"ulimit":            opt(nomadish.ConfigStringMap, "Limits of the process as NAME = \"SOFT:HARD\"."),
	"userns_mode":       opt(nomadish.ConfigString, "User namespace; host is what there is."),
	"uts_mode":          opt(nomadish.ConfigString, "UTS namespace: private, or host where the node allows privileged tasks."),
	"volume_driver":     opt(nomadish.ConfigString, "Driver of volumes.").is(refused),
	"volumes":           opt(nomadish.ConfigStringList, "Bind mounts as SOURCE:TARGET:MODE.").is(refused),
	"work_dir":          opt(nomadish.ConfigString, "Working directory in place of the image's."),
}

var mountBlock = drivers.Schema{
	"type":           {Type: nomadish.ConfigString, Default: "volume", Doc: "bind, volume or tmpfs."},
	"source":         {Type: nomadish.ConfigString, Doc: "Path or volume."},
	"target":         {Type: nomadish.ConfigString, Required: true, Doc: "Path in the container."},
	"readonly":       {Type: nomadish.ConfigBool, Default: "false", Doc: "Refuse writes."},
	"bind_options":   {Type: nomadish.ConfigAny, Doc: "Options of a bind mount."},
	"volume_options": {Type: nomadish.ConfigAny, Doc: "Options of a volume."},
	"tmpfs_options":  {Type: nomadish.ConfigAny, Doc: "Options of a tmpfs."},
}

// Schema describes the options of a task's config block.
func Schema() drivers.Schema {
	s := make(drivers.Schema, len(options))
	for name, o := range options {
		s[name] = o.ConfigAttribute
	}
	return s
}

// checkNames refuses a config block with options that do not exist, are missing, or cannot
// be honoured yet, all at once; it returns those that have no effect.
func checkNames(config map[string]any) (noEffect []string, err error) {
	var unknown, cannot, missing []string
	for name, value := range config {
		o, ok := options[name]
		switch {
		case !ok:
			unknown = append(unknown, name)
		case empty(value):
		case o.effect == refused:
			cannot = append(cannot, name)
		case o.effect == ignored:
			noEffect = append(noEffect, name)
		}
	}
	for name, o := range options {
		if o.Required && empty(config[name]) {
			missing = append(missing, name)
		}
	}
	slices.Sort(noEffect)
	return noEffect, errors.Join(
		complain("unknown option", unknown),
		complain("missing option", missing),
		complain("option not supported yet", cannot),
	)
}

func complain(what string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("%s: %s", what, strings.Join(names, ", "))
}

// empty says whether writing the value is the same as not writing the option.
func empty(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case []string:
		return len(v) == 0
	case []map[string]any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}
