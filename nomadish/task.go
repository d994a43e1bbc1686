package nomadish

import "time"

// Task is one thing to run, by a driver.
type Task struct {
	// The name of the task's directory too.
	Name   string `hcl:"name,label" diff:"-"`
	Driver string `hcl:"driver,optional"`
	// The user that the task runs as; default is the driver's.
	User string `hcl:"user,optional"`
	// Lifecycle makes it a helper of the main tasks, which have none.
	Lifecycle *TaskLifecycle `hcl:"lifecycle,block"`
	// The driver's options; values are bool, int64, float64, string, []any or map[string]any.
	Config map[string]any `hcl:"config,block"`
	// As in TaskGroup; the node must satisfy those of all tasks.
	Constraints []*Constraint     `hcl:"constraint,block"`
	Affinities  []*Affinity       `hcl:"affinity,block"`
	Env         map[string]string `hcl:"env,block"`
	Services    []*Service        `hcl:"service,block"`
	// Default 100 MHz of CPU and 300 MiB of memory.
	Resources *Resources `hcl:"resources,block"`
	// Default: what the group has.
	RestartPolicy *RestartPolicy    `hcl:"restart,block"`
	Meta          map[string]string `hcl:"meta,block"`
	// KillTimeout is between the signal and the kill; default 5s. Output goes to rotated files
	// (LogConfig).
	KillTimeout *time.Duration `hcl:"kill_timeout,optional"`
	LogConfig   *LogConfig     `hcl:"logs,block"`
	// What is fetched or written into the task's directory before it starts.
	Artifacts       []*TaskArtifact        `hcl:"artifact,block"`
	Vault           *Vault                 `hcl:"vault,block"`
	Consul          *Consul                `hcl:"consul,block"`
	Templates       []*Template            `hcl:"template,block"`
	DispatchPayload *DispatchPayloadConfig `hcl:"dispatch_payload,block"`
	VolumeMounts    []*VolumeMount         `hcl:"volume_mount,block"`
	CSIPluginConfig *TaskCSIPluginConfig   `json:",omitempty" hcl:"csi_plugin,block" stored:"always"`
	// When the leader ends, so do the others of the group.
	Leader bool `hcl:"leader,optional"`
	// ShutdownDelay is between deregistering the task's services and the signal, which is
	// KillSignal; default SIGINT.
	ShutdownDelay time.Duration `hcl:"shutdown_delay,optional"`
	KillSignal    string        `hcl:"kill_signal,optional"`
	// Kind marks tasks of Consul's service mesh: one of the KindConnect constants, a colon, the
	// service.
	Kind            string           `hcl:"kind,optional"`
	ScalingPolicies []*ScalingPolicy `hcl:"scaling,block" diff:"Scaling"`
	Secrets         []*Secret        `hcl:"secret,block"`
	// Identity is the one every admitted task has; Identities are further ones.
	Identity   *WorkloadIdentity
	Identities []*WorkloadIdentity `hcl:"identity,block"`
	// Commands that users may run in the task by name.
	Actions  []*Action     `hcl:"action,block"`
	Schedule *TaskSchedule `hcl:"schedule,block"`
}

// When a task runs (TaskLifecycle.Hook).
const (
	LifecyclePrestart  = "prestart"
	LifecyclePoststart = "poststart"
	LifecyclePoststop  = "poststop"
)

// TaskLifecycle says when a helper task runs: Hook is one of the Lifecycle constants; a Sidecar
// goes on as long as the main tasks do, others must end.
type TaskLifecycle struct {
	Hook    string `hcl:"hook"`
	Sidecar bool   `hcl:"sidecar,optional"`
}

// DispatchPayloadConfig writes a dispatched job's payload into a file of the directory local.
type DispatchPayloadConfig struct {
	File string `hcl:"file,optional"`
}

// LogConfig bounds the task's output on disk, per stream: MaxFiles (default 10) of MaxFileSizeMB
// (default 10). Disabled collects none; Enabled is its older opposite.
type LogConfig struct {
	MaxFiles      *int  `hcl:"max_files,optional"`
	MaxFileSizeMB *int  `hcl:"max_file_size,optional"`
	Enabled       *bool `hcl:"enabled,optional" stored:"-" diff:"-"`
	Disabled      *bool `hcl:"disabled,optional"`
}

// TaskArtifact is fetched before the task starts. GetterMode is any (default), file or dir;
// RelativeDest is in the task's directory, default local/; Chown gives it to the task's user.
type TaskArtifact struct {
	GetterSource   *string           `hcl:"source,optional"`
	GetterOptions  map[string]string `hcl:"options,block"`
	GetterHeaders  map[string]string `hcl:"headers,block"`
	GetterMode     *string           `hcl:"mode,optional"`
	GetterInsecure *bool             `hcl:"insecure,optional"`
	RelativeDest   *string           `hcl:"destination,optional"`
	Chown          bool              `hcl:"chown,optional"`
}

// Template is rendered into a file of the task (DestPath in its directory), from a file
// (SourcePath) or a text (EmbeddedTmpl).
type Template struct {
	SourcePath   *string `hcl:"source,optional"`
	DestPath     *string `hcl:"destination,optional" diff:",key"`
	EmbeddedTmpl *string `hcl:"data,optional"`
	// What happens when the result changes: one of the ChangeMode constants, default restart, at
	// a random time within Splay (default 5s). Once renders only at the start.
	ChangeMode   *string        `hcl:"change_mode,optional"`
	ChangeScript *ChangeScript  `hcl:"change_script,block"`
	ChangeSignal *string        `hcl:"change_signal,optional"`
	Once         *bool          `hcl:"once,optional"`
	Splay        *time.Duration `hcl:"splay,optional"`
	// Octal; default 0644. Uid and Gid: default root.
	Perms *string `hcl:"perms,optional"`
	Uid   *int    `hcl:"uid,optional"`
	Gid   *int    `hcl:"gid,optional"`
	// Default {{ and }}.
	LeftDelim  *string `hcl:"left_delimiter,optional"`
	RightDelim *string `hcl:"right_delimiter,optional"`
	// Envvars reads the result as KEY=value lines into the task's environment.
	Envvars    *bool          `hcl:"env,optional"`
	VaultGrace *time.Duration `hcl:"vault_grace,optional"`
	// Wait bounds how long changes are collected before rendering.
	Wait          *WaitConfig `hcl:"wait,block"`
	ErrMissingKey *bool       `hcl:"error_on_missing_key,optional"`
}

// What happens to a task whose file or token has changed (ChangeMode).
const (
	ChangeModeNoop    = "noop"
	ChangeModeRestart = "restart"
	ChangeModeSignal  = "signal"
	ChangeModeScript  = "script" // templates only
)

// WaitConfig waits for Min of quiet, but no longer than Max.
type WaitConfig struct {
	Min *time.Duration `hcl:"min"`
	Max *time.Duration `hcl:"max"`
}

// ChangeScript runs in the task when a template has changed; Timeout is by default 5s.
type ChangeScript struct {
	Command          *string        `hcl:"command"`
	Args             []string       `hcl:"args,optional"`
	Timeout          *time.Duration `hcl:"timeout,optional"`
	FailOnError      *bool          `hcl:"fail_on_error"`
	RunOnFirstRender *bool          `hcl:"run_on_first_render,optional"`
}

// Vault gives the task a token of a Vault cluster: in the variable VAULT_TOKEN (Env, default
// true) and in the file secrets/vault_token (unless DisableFile).
type Vault struct {
	Policies             []string `hcl:"policies,optional"`
	Role                 string   `hcl:"role,optional"`
	Namespace            *string  `hcl:"namespace,optional"`
	Cluster              string   `hcl:"cluster,optional"`
	Env                  *bool    `hcl:"env,optional"`
	DisableFile          *bool    `hcl:"disable_file,optional"`
	ChangeMode           *string  `hcl:"change_mode,optional"`
	ChangeSignal         *string  `hcl:"change_signal,optional"`
	AllowTokenExpiration *bool    `hcl:"allow_token_expiration,optional"`
}

// Secret fetches values before the task starts and offers them for interpolation, as
// ${secret.NAME.key}.
type Secret struct {
	Name     string            `hcl:"name,label" diff:",key"`
	Provider string            `hcl:"provider,optional"`
	Path     string            `hcl:"path,optional"`
	Config   map[string]any    `hcl:"config,block"`
	Env      map[string]string `hcl:"env,block"`
}

// WorkloadIdentity is a signed statement of what the task is, for others to trust: for whom
// (Audience), in the environment (Env) or a file (File, Filepath), valid for TTL (0: for good).
type WorkloadIdentity struct {
	Name         string        `hcl:"name,optional" diff:",key"`
	Audience     []string      `hcl:"aud,optional"`
	ChangeMode   string        `hcl:"change_mode,optional"`
	ChangeSignal string        `hcl:"change_signal,optional"`
	Env          bool          `hcl:"env,optional"`
	File         bool          `hcl:"file,optional"`
	Filepath     string        `hcl:"filepath,optional"`
	ServiceName  string        `hcl:"service_name,optional"`
	TTL          time.Duration `hcl:"ttl,optional"`
	ExtraClaims  []string      `hcl:"extra_claims,optional"`
}

// Action is a command that users may run in a running task.
type Action struct {
	Name    string   `hcl:"name,label" diff:",key"`
	Command string   `hcl:"command"`
	Args    []string `hcl:"args,optional"`
}

// TaskSchedule runs the task only at certain times. It is refused so far.
type TaskSchedule struct {
	Cron *TaskScheduleCron `hcl:"cron,block"`
}

// TaskScheduleCron is a span of time that recurs.
type TaskScheduleCron struct {
	Start    string `hcl:"start,optional"`
	End      string `hcl:"end,optional"`
	Timezone string `hcl:"timezone,optional"`
}

// TaskCSIPluginConfig makes the task a storage plugin. Type is node, controller or monolith;
// MountDir is where its socket is, default /csi; StagePublishBaseDir where it stages volumes,
// default /local/csi; HealthTimeout is 30s by default.
type TaskCSIPluginConfig struct {
	ID                  string        `hcl:"id,optional"`
	Type                string        `hcl:"type,optional"`
	MountDir            string        `hcl:"mount_dir,optional"`
	StagePublishBaseDir string        `hcl:"stage_publish_base_dir,optional"`
	HealthTimeout       time.Duration `hcl:"health_timeout,optional"`
}
