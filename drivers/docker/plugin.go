//go:build linux

package docker

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/nomadish"
)

// pluginOptions are all that the plugin block of an agent's configuration may say. Those of
// images are read by who makes the store of images.
var pluginOptions = map[string]option{
	"allow_caps":       opt(nomadish.ConfigStringList, "Capabilities that tasks may have; all for every one. Default: those that containers have anyway."),
	"allow_devices":    opt(nomadish.ConfigStringList, "Patterns of devices that tasks may have; default all."),
	"allow_privileged": opt(nomadish.ConfigBool, "Permit privileged tasks and the host's namespaces.").or("false"),
	"allow_runtimes":   opt(nomadish.ConfigStringList, "Runtimes that tasks may name; runc is the only one."),
	"auth": opt(nomadish.ConfigBlock, "Where credentials for registries are.").of(drivers.Schema{
		"config": {Type: nomadish.ConfigString, Doc: "A config.json of Docker."},
		"helper": {Type: nomadish.ConfigString, Doc: "NAME of a program docker-credential-NAME."},
	}),
	"container_exists_attempts": opt(nomadish.ConfigNumber, "Tries when a container's name is taken.").
		notes("names of containers are never taken here"),
	"disable_log_collection": opt(nomadish.ConfigBool, "Discard what tasks print.").or("false"),
	"endpoint": opt(nomadish.ConfigString, "Docker's socket.").
		notes("there is no Docker: the agent has a containerd of its own"),
	"extra_labels": opt(nomadish.ConfigStringList, "What of a job becomes labels of its containers: job_name, job_id, task_group_name, task_name, namespace, or patterns of these."),
	"gc": opt(nomadish.ConfigBlock, "What is cleaned up.").of(drivers.Schema{
		"image":       {Type: nomadish.ConfigBool, Default: "true", Doc: "Remove images that no task uses."},
		"image_delay": {Type: nomadish.ConfigDuration, Default: "3m", Doc: "How long they stay."},
		"container":   {Type: nomadish.ConfigBool, Default: "true", Doc: "Remove ended containers; this is always so."},
		"dangling_containers": {Type: nomadish.ConfigBlock, Doc: "Remove containers that no task knows; this is always so.", Block: drivers.Schema{
			"enabled":        {Type: nomadish.ConfigBool, Default: "true", Doc: "No effect."},
			"dry_run":        {Type: nomadish.ConfigBool, Default: "false", Doc: "No effect."},
			"period":         {Type: nomadish.ConfigDuration, Doc: "No effect."},
			"creation_grace": {Type: nomadish.ConfigDuration, Doc: "No effect."},
		}},
	}),
	"image_archives":           opt(nomadish.ConfigStringList, "Directories of the host that the task option load may name files in."),
	"image_pull_timeout":       opt(nomadish.ConfigDuration, "Time that getting an image may take where the task does not say.").or("5m"),
	"infra_image":              opt(nomadish.ConfigString, "Image of the pause container.").notes("networks need no container here"),
	"infra_image_pull_timeout": opt(nomadish.ConfigDuration, "Time to get the pause image.").notes("networks need no container here"),
	"insecure_registries":      opt(nomadish.ConfigStringList, "Registries whose certificate is not checked."),
	"logging": opt(nomadish.ConfigBlock, "Log driver of tasks that name none.").
		notes("output is in the allocation's logs; a task's logs block bounds them").of(drivers.Schema{
		"type":   {Type: nomadish.ConfigString, Doc: "Log driver."},
		"config": {Type: nomadish.ConfigStringMap, Doc: "Options of the log driver."},
	}),
	"max_archive_bytes":     opt(nomadish.ConfigNumber, "Size of an image archive.").or("34359738368"),
	"max_image_bytes":       opt(nomadish.ConfigNumber, "Size of an image when it is unpacked.").or("68719476736"),
	"max_pulls":             opt(nomadish.ConfigNumber, "Images that are downloaded at once.").or("4"),
	"no_new_privileges":     opt(nomadish.ConfigBool, "Keep all tasks from gaining privileges by set-uid programs.").or("false"),
	"nvidia_runtime":        opt(nomadish.ConfigString, "Runtime for tasks with GPUs.").notes("runc is the only runtime; tasks can have devices"),
	"oom_score_adj":         opt(nomadish.ConfigNumber, "Default of the task option.").notes("tasks have 0 unless they say otherwise"),
	"pids_limit":            opt(nomadish.ConfigNumber, "Most processes of a task, and what it has by default; default no limit."),
	"plain_http":            opt(nomadish.ConfigStringList, "Registries that are asked without TLS."),
	"pull_activity_timeout": opt(nomadish.ConfigDuration, "How long a download may receive nothing.").or("2m"),
	"registry_ca":           opt(nomadish.ConfigString, "File with certificates that registries may be signed by."),
	"registry_config_path":  opt(nomadish.ConfigString, "Directory with a hosts.toml per registry."),
	"allow_vulnerable_runc": opt(nomadish.ConfigBool, "Use a runc of the system although it has published holes.").or("false"),
	"runc":                  opt(nomadish.ConfigString, "Path of a runc of the system, in place of the one in the program; one with critical holes is refused."),
	"tls": opt(nomadish.ConfigBlock, "Certificates for Docker's socket.").
		notes("there is no Docker: the agent has a containerd of its own").of(drivers.Schema{
		"ca": {Type: nomadish.ConfigString, Doc: "Certificate of the authority."}, "cert": {Type: nomadish.ConfigString, Doc: "Certificate."},
		"key": {Type: nomadish.ConfigString, Doc: "Key."},
	}),
	"userns": opt(nomadish.ConfigBlock, "Users of tasks' own: their root is nobody on the host.").of(container.PoolSchema()),
	"userns_remap": opt(nomadish.ConfigString, "Users that those of containers are mapped to.").
		refuses("ranges of users are not taken from /etc/subuid here; use userns { enabled = true }"),
	"volumes": opt(nomadish.ConfigBlock, "Paths of the host in tasks.").of(drivers.Schema{
		"enabled":      {Type: nomadish.ConfigBool, Default: "false", Doc: "Permit binds of any path of the host."},
		"selinuxlabel": {Type: nomadish.ConfigString, Doc: "SELinux label; none is set here."},
	}),
	"windows_allow_insecure_container_admin": opt(nomadish.ConfigBool, "Of Windows.").notes("it is for Windows"),

	// Those of the plugin containerd-driver.
	"containerd_runtime": opt(nomadish.ConfigString, "Runtime of containerd; io.containerd.runc.v2 is the only one."),
	"enabled":            opt(nomadish.ConfigBool, "Run tasks at all.").or("true"),
	"stats_interval":     opt(nomadish.ConfigDuration, "How often figures are read.").notes("they are read when they are asked for"),
}

// ReadPlugin reads the driver's plugin block. The notices are of options that have no effect;
// the error names every fault.
func ReadPlugin(values map[string]any) (cfg Config, notices []string, err error) {
	notices, err = checkNames(pluginOptions, values)
	if err != nil {
		return cfg, nil, err
	}
	o := drivers.NewOptions(values)
	cfg = Config{
		Disabled:        o.Has("enabled") && !o.Bool("enabled"),
		AllowPrivileged: o.Bool("allow_privileged"),
		AllowCaps:       o.Strings("allow_caps"),
		AllowDevices:    o.Strings("allow_devices"),
		PidsLimit:       o.Int("pids_limit"),
		PullTimeout:     o.Duration("image_pull_timeout"),
		NoNewPrivileges: o.Bool("no_new_privileges"),
		DisableLogs:     o.Bool("disable_log_collection"),
		ExtraLabels:     o.Strings("extra_labels"),
		Users:           container.ReadPool(o),
	}
	var errs []error
	for _, b := range o.Blocks("volumes") {
		cfg.HostVolumes = b.Bool("enabled")
		if b.String("selinuxlabel") != "" {
			notices = append(notices, "volumes.selinuxlabel: no effect: containers have no SELinux labels here")
		}
	}
	for _, b := range o.Blocks("gc") {
		if b.Has("container") && !b.Bool("container") {
			errs = append(errs, errors.New("gc.container: false is refused: ended containers are always removed; logs and files of their allocation stay"))
		}
		if b.Has("dangling_containers") {
			notices = append(notices, "gc.dangling_containers: no effect: containers that no task knows are removed when the agent starts")
		}
	}
	for option, names := range map[string][]string{
		"allow_runtimes": o.Strings("allow_runtimes"), "containerd_runtime": {o.String("containerd_runtime")},
	} {
		for _, name := range names {
			if name != "" && name != "runc" && name != "io.containerd.runc.v2" {
				notices = append(notices, fmt.Sprintf("%s: there is no %q here, only runc", option, name))
			}
		}
	}
	errs = append(errs, cfg.validate(), o.Err())
	return cfg, notices, errors.Join(errs...)
}

// validate names every fault.
func (c Config) validate() error {
	errs := []error{c.Users.Validate()}
	if c.PidsLimit < 0 {
		errs = append(errs, fmt.Errorf("pids_limit: %d is negative", c.PidsLimit))
	}
	if c.PullTimeout < 0 {
		errs = append(errs, fmt.Errorf("image_pull_timeout: %s is negative", c.PullTimeout))
	}
	for option, patterns := range map[string][]string{"allow_devices": c.AllowDevices, "extra_labels": c.ExtraLabels} {
		for _, p := range patterns {
			if _, err := filepath.Match(p, strings.Repeat("x", len(p))); err != nil {
				errs = append(errs, fmt.Errorf("%s: %q is no pattern", option, p))
			}
		}
	}
	return errors.Join(errs...)
}
