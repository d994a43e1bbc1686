package docker

import (
	"maps"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// effect says what writing an option does.
type effect uint8

const (
	works   effect = iota
	notice         // nothing: the task runs without it, and its events say so
	refused        // an error: without it the task would not be what the job says
)

// option is one option of a config block, with what it does here: the one place that says so.
type option struct {
	nomadish.ConfigAttribute
	effect effect
	why    string // of a notice or a refusal, and what to use instead
}

func opt(t nomadish.ConfigType, doc string) option {
	return option{ConfigAttribute: nomadish.ConfigAttribute{Type: t, Doc: doc}}
}

func (o option) notes(why string) option    { o.effect, o.why = notice, why; return o }
func (o option) refuses(why string) option  { o.effect, o.why = refused, why; return o }
func (o option) or(value string) option     { o.Default = value; return o }
func (o option) must() option               { o.Required = true; return o }
func (o option) of(s drivers.Schema) option { o.Block = s; return o }

// options are all that a job file may say.
var options = map[string]option{
	"advertise_ipv6_address": opt(nomadish.ConfigBool, "Advertise the container's IPv6 address.").
		notes("services are advertised with the address of their port"),
	"args": opt(nomadish.ConfigStringList, "Arguments of the command, or of the image's entrypoint."),
	"auth": opt(nomadish.ConfigBlock, "Credentials for the registry.").of(drivers.Schema{
		"username":       {Type: nomadish.ConfigString, Doc: "User name."},
		"password":       {Type: nomadish.ConfigString, Doc: "Password or token."},
		"email":          {Type: nomadish.ConfigString, Doc: "Not used by registries any more."},
		"server_address": {Type: nomadish.ConfigString, Doc: "Registry the credentials are for; default the image's."},
	}),
	"auth_soft_fail": opt(nomadish.ConfigBool, "Go on without credentials when none are found.").or("false"),
	"cap_add":        opt(nomadish.ConfigStringList, "Capabilities to add; the node must allow them."),
	"cap_drop":       opt(nomadish.ConfigStringList, "Capabilities to take away; all for every one."),
	"cgroupns":       opt(nomadish.ConfigString, "Control group namespace: private or host; default private where control groups are of version 2."),
	"command":        opt(nomadish.ConfigString, "Command to run in place of the image's."),
	"container_exists_attempts": opt(nomadish.ConfigNumber, "Tries when a container's name is taken.").
		notes("names of containers are never taken here"),
	"cpu_cfs_period": opt(nomadish.ConfigNumber, "Period of the hard limit in microseconds.").or("100000"),
	"cpu_hard_limit": opt(nomadish.ConfigBool, "Limit the CPU time to the share even when the node is idle.").or("false"),
	"devices": opt(nomadish.ConfigBlockList, "Devices of the host, or all in a directory of /dev.").of(drivers.Schema{
		"host_path":          {Type: nomadish.ConfigString, Required: true, Doc: "Path on the host, below /dev."},
		"container_path":     {Type: nomadish.ConfigString, Doc: "Path in the container; default the host's."},
		"cgroup_permissions": {Type: nomadish.ConfigString, Default: "rwm", Doc: "Any of r, w and m."},
	}),
	"dns_options":        opt(nomadish.ConfigStringList, "Options of the resolver."),
	"dns_search_domains": opt(nomadish.ConfigStringList, "Domains that the resolver tries."),
	"dns_servers":        opt(nomadish.ConfigStringList, "Name servers; default those of the group or the host."),
	"entrypoint":         opt(nomadish.ConfigAny, "Entrypoint in place of the image's, a list or one program; the image's command is dropped."),
	"extra_hosts":        opt(nomadish.ConfigStringList, "Lines of /etc/hosts as NAME:ADDRESS; the address host-gateway is the node's."),
	"force_pull":         opt(nomadish.ConfigBool, "Ask the registry also when the image is here.").or("false"),
	"group_add":          opt(nomadish.ConfigStringList, "Groups that the process belongs to as well."),
	"healthchecks": opt(nomadish.ConfigBlock, "Health check of the image: it never runs here; checks of the job's services do.").of(drivers.Schema{
		"disable": {Type: nomadish.ConfigBool, Default: "false", Doc: "Do not run it."},
	}),
	"hostname":           opt(nomadish.ConfigString, "Host name inside the container; default the network's."),
	"image":              opt(nomadish.ConfigString, "Image to run: NAME, NAME:TAG or NAME@DIGEST, of docker.io unless it names a registry.").must(),
	"image_pull_timeout": opt(nomadish.ConfigDuration, "Time that getting the image may take.").or("5m"),
	"init":               opt(nomadish.ConfigBool, "Run a small first process that passes signals on and reaps children.").or("false"),
	"interactive":        opt(nomadish.ConfigBool, "Keep standard input open.").or("false"),
	"ipc_mode":           opt(nomadish.ConfigString, "IPC namespace: private or none, or host where the node allows privileged tasks."),
	"ipv4_address": opt(nomadish.ConfigString, "Fixed address in a Docker network.").
		refuses("there are no Docker networks here; use a static port, or a service to be found by"),
	"ipv6_address": opt(nomadish.ConfigString, "Fixed address in a Docker network.").
		refuses("there are no Docker networks here; use a static port, or a service to be found by"),
	"isolation": opt(nomadish.ConfigString, "Isolation of Windows containers.").notes("it is for Windows"),
	"labels":    opt(nomadish.ConfigStringMap, "Labels of the container."),
	"load":      opt(nomadish.ConfigString, "OCI or docker archive to take the image from: a path in the task's directory, or an absolute one where the node allows it."),
	"logging": opt(nomadish.ConfigBlock, "Log driver: output goes to the allocation's log files in any case but none.").of(drivers.Schema{
		"driver": {Type: nomadish.ConfigString, Doc: "json-file, local, journald or none."},
		"type":   {Type: nomadish.ConfigString, Doc: "Other name of driver."},
		"config": {Type: nomadish.ConfigStringMap, Doc: "Options of the log driver."},
	}),
	"mac_address": opt(nomadish.ConfigString, "Fixed hardware address.").
		refuses("tasks are reached by routes here, and no other machine sees their hardware address; leave it out, or use network_mode = \"host\""),
	"memory_hard_limit": opt(nomadish.ConfigNumber, "MiB at which the task is killed; then memory is only reserved."),
	"mount":             opt(nomadish.ConfigBlockList, "Mounts.").of(mountBlock),
	"mounts":            opt(nomadish.ConfigBlockList, "Older name of mount.").of(mountBlock),
	"network_aliases": opt(nomadish.ConfigStringList, "Names in a Docker network.").
		notes("there are no Docker networks here; other tasks find this one by its service, and those of its group as localhost"),
	"network_mode":    opt(nomadish.ConfigString, "Network: bridge, host, none or container:TASK; default the group's network, or bridge without one."),
	"oom_score_adj":   opt(nomadish.ConfigNumber, "How likely the kernel is to choose the task when memory runs out, from 0 to 1000; below 0 for privileged tasks only.").or("0"),
	"pid_mode":        opt(nomadish.ConfigString, "PID namespace: private, or host where the node allows privileged tasks."),
	"pids_limit":      opt(nomadish.ConfigNumber, "Processes that the task can have."),
	"port_map":        opt(nomadish.ConfigStringMap, "Older form of ports: the port in the container by label."),
	"ports":           opt(nomadish.ConfigStringList, "Labels of the ports to map. On the host's network the task listens on the port itself."),
	"privileged":      opt(nomadish.ConfigBool, "Run without confinement, where the node allows it.").or("false"),
	"readonly_rootfs": opt(nomadish.ConfigBool, "Mount the image's file system read-only.").or("false"),
	"runtime":         opt(nomadish.ConfigString, "Container runtime; runc is the only one."),
	"security_opt":    opt(nomadish.ConfigStringList, "no-new-privileges; seccomp=, apparmor= and systempaths= as the node allows."),
	"shm_size":        opt(nomadish.ConfigNumber, "Bytes of /dev/shm.").or("67108864"),
	"storage_opt": opt(nomadish.ConfigStringMap, "Options of the storage driver.").
		refuses("the size of a container's layer can't be bounded here; use ephemeral_disk, or a tmpfs mount with a size"),
	"sysctl":      opt(nomadish.ConfigStringMap, "Kernel settings of the container's namespaces: net.*, fs.mqueue.* and those of System V IPC."),
	"tty":         opt(nomadish.ConfigBool, "Give the task a terminal; its output is then one stream.").or("false"),
	"ulimit":      opt(nomadish.ConfigStringMap, "Limits of the process as NAME = \"SOFT:HARD\"."),
	"userns_mode": opt(nomadish.ConfigString, "User namespace: private, or host, which takes allow_privileged where the node gives tasks users of their own; default as the node has it."),
	"uts_mode":    opt(nomadish.ConfigString, "UTS namespace: private, or host where the node allows privileged tasks."),
	"volume_driver": opt(nomadish.ConfigString, "Driver of volumes.").
		refuses("there are no volume drivers here; " + insteadOfDrivers),
	"volumes":  opt(nomadish.ConfigStringList, "Mounts as SOURCE:TARGET or SOURCE:TARGET:MODE; a relative source is below the task's directory."),
	"work_dir": opt(nomadish.ConfigString, "Working directory in place of the image's."),
}

var mountBlock = drivers.Schema{
	"type":     {Type: nomadish.ConfigString, Default: "volume", Doc: "bind, volume or tmpfs."},
	"source":   {Type: nomadish.ConfigString, Doc: "bind: a path, relative to the task's directory; volume: a name, or nothing for one of the task alone."},
	"target":   {Type: nomadish.ConfigString, Required: true, Doc: "Path in the container."},
	"readonly": {Type: nomadish.ConfigBool, Default: "false", Doc: "Refuse writes."},
	"bind_options": {Type: nomadish.ConfigBlock, Doc: "Options of a bind mount.", Block: drivers.Schema{
		"propagation": {Type: nomadish.ConfigString, Default: "rprivate", Doc: "private, slave, shared, or these with r."},
	}},
	"tmpfs_options": {Type: nomadish.ConfigBlock, Doc: "Options of a tmpfs.", Block: drivers.Schema{
		"size": {Type: nomadish.ConfigNumber, Doc: "Bytes; default as much as the task's memory."},
		"mode": {Type: nomadish.ConfigString, Default: "1023", Doc: "Mode of its directory: a decimal number, or an octal one in quotes with a leading 0."},
	}},
	"volume_options": {Type: nomadish.ConfigBlock, Doc: "Options of a volume.", Block: drivers.Schema{
		"no_copy": {Type: nomadish.ConfigBool, Default: "false", Doc: "Do not fill a new volume with what the image has at the target."},
		"labels":  {Type: nomadish.ConfigStringMap, Doc: "Labels; no effect."},
		"driver_config": {Type: nomadish.ConfigBlock, Doc: "Driver of the volume; only local.", Block: drivers.Schema{
			"name":    {Type: nomadish.ConfigString, Default: "local", Doc: "local."},
			"options": {Type: nomadish.ConfigStringMap, Doc: "None."},
		}},
	}},
}

// insteadOfDrivers is what to use in place of Docker's volume drivers.
const insteadOfDrivers = "use a volume block of the group with a host volume of the node"

// containerdOptions are those that only job files for containerd-driver have, which has some
// of docker's by other names.
var containerdOptions = map[string]option{
	"cwd":             opt(nomadish.ConfigString, "Working directory in place of the image's."),
	"devices":         opt(nomadish.ConfigStringList, "Devices of the host as PATH, PATH:TARGET or PATH:TARGET:PERMISSIONS."),
	"file_limit":      opt(nomadish.ConfigNumber, "Files that a process can have open."),
	"host_dns":        opt(nomadish.ConfigBool, "Use the name servers of the group or the host.").or("true"),
	"host_network":    opt(nomadish.ConfigBool, "Use the host's network.").or("false"),
	"mounts":          opt(nomadish.ConfigBlockList, "Mounts.").of(containerdMount()),
	"seccomp":         opt(nomadish.ConfigBool, "Filter system calls; this is always so unless security_opt says otherwise.").or("true"),
	"seccomp_profile": opt(nomadish.ConfigString, "File with the filter, as in security_opt."),
}

func containerdMount() drivers.Schema {
	s := maps.Clone(mountBlock)
	s["options"] = nomadish.ConfigAttribute{Type: nomadish.ConfigStringList, Doc: "rbind, ro or rw, and a propagation."}
	return s
}

// containerdTable is the table of options for job files of containerd-driver.
func containerdTable() map[string]option {
	table := maps.Clone(options)
	maps.Copy(table, containerdOptions)
	return table
}

// schemaOf describes the options of a table.
func schemaOf(table map[string]option) drivers.Schema {
	s := make(drivers.Schema, len(table))
	for name, o := range table {
		s[name] = o.ConfigAttribute
	}
	return s
}

// Schema describes the options of a task's config block.
func Schema() drivers.Schema { return schemaOf(options) }
