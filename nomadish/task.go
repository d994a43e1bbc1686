package nomadish

import "time"

type Task struct {
	Name            string                 `hcl:"name,label"`
	Driver          string                 `hcl:"driver,optional"`
	User            string                 `hcl:"user,optional"`
	Lifecycle       *TaskLifecycle         `hcl:"lifecycle,block"`
	Config          map[string]any         `hcl:"config,block"`
	Constraints     []*Constraint          `hcl:"constraint,block"`
	Affinities      []*Affinity            `hcl:"affinity,block"`
	Env             map[string]string      `hcl:"env,block"`
	Services        []*Service             `hcl:"service,block"`
	Resources       *Resources             `hcl:"resources,block"`
	RestartPolicy   *RestartPolicy         `hcl:"restart,block"`
	Meta            map[string]string      `hcl:"meta,block"`
	KillTimeout     *time.Duration         `hcl:"kill_timeout,optional"`
	LogConfig       *LogConfig             `hcl:"logs,block"`
	Artifacts       []*TaskArtifact        `hcl:"artifact,block"`
	Vault           *Vault                 `hcl:"vault,block"`
	Consul          *Consul                `hcl:"consul,block"`
	Templates       []*Template            `hcl:"template,block"`
	DispatchPayload *DispatchPayloadConfig `hcl:"dispatch_payload,block"`
	VolumeMounts    []*VolumeMount         `hcl:"volume_mount,block"`
	CSIPluginConfig *TaskCSIPluginConfig   `json:",omitempty" hcl:"csi_plugin,block" stored:"always"`
	Leader          bool                   `hcl:"leader,optional"`
	ShutdownDelay   time.Duration          `hcl:"shutdown_delay,optional"`
	KillSignal      string                 `hcl:"kill_signal,optional"`
	Kind            string                 `hcl:"kind,optional"`
	ScalingPolicies []*ScalingPolicy       `hcl:"scaling,block"`
	Secrets         []*Secret              `hcl:"secret,block"`
	Identity        *WorkloadIdentity
	Identities      []*WorkloadIdentity `hcl:"identity,block"`
	Actions         []*Action           `hcl:"action,block"`
	Schedule        *TaskSchedule       `hcl:"schedule,block"`
}

// When a task runs (TaskLifecycle.Hook).
const (
	LifecyclePrestart  = "prestart"
	LifecyclePoststart = "poststart"
	LifecyclePoststop  = "poststop"
)

type TaskLifecycle struct {
	Hook    string `hcl:"hook"`
	Sidecar bool   `hcl:"sidecar,optional"`
}

type DispatchPayloadConfig struct {
	File string `hcl:"file,optional"`
}

type LogConfig struct {
	MaxFiles      *int  `hcl:"max_files,optional"`
	MaxFileSizeMB *int  `hcl:"max_file_size,optional"`
	Enabled       *bool `hcl:"enabled,optional" stored:"-"`
	Disabled      *bool `hcl:"disabled,optional"`
}

type TaskArtifact struct {
	GetterSource   *string           `hcl:"source,optional"`
	GetterOptions  map[string]string `hcl:"options,block"`
	GetterHeaders  map[string]string `hcl:"headers,block"`
	GetterMode     *string           `hcl:"mode,optional"`
	GetterInsecure *bool             `hcl:"insecure,optional"`
	RelativeDest   *string           `hcl:"destination,optional"`
	Chown          bool              `hcl:"chown,optional"`
}

type Template struct {
	SourcePath    *string        `hcl:"source,optional"`
	DestPath      *string        `hcl:"destination,optional"`
	EmbeddedTmpl  *string        `hcl:"data,optional"`
	ChangeMode    *string        `hcl:"change_mode,optional"`
	ChangeScript  *ChangeScript  `hcl:"change_script,block"`
	ChangeSignal  *string        `hcl:"change_signal,optional"`
	Once          *bool          `hcl:"once,optional"`
	Splay         *time.Duration `hcl:"splay,optional"`
	Perms         *string        `hcl:"perms,optional"`
	Uid           *int           `hcl:"uid,optional"`
	Gid           *int           `hcl:"gid,optional"`
	LeftDelim     *string        `hcl:"left_delimiter,optional"`
	RightDelim    *string        `hcl:"right_delimiter,optional"`
	Envvars       *bool          `hcl:"env,optional"`
	VaultGrace    *time.Duration `hcl:"vault_grace,optional"`
	Wait          *WaitConfig    `hcl:"wait,block"`
	ErrMissingKey *bool          `hcl:"error_on_missing_key,optional"`
}

// What happens to a task whose file or token has changed (ChangeMode).
const (
	ChangeModeNoop    = "noop"
	ChangeModeRestart = "restart"
	ChangeModeSignal  = "signal"
	ChangeModeScript  = "script" // templates only
)

type WaitConfig struct {
	Min *time.Duration `hcl:"min"`
	Max *time.Duration `hcl:"max"`
}

type ChangeScript struct {
	Command          *string        `hcl:"command"`
	Args             []string       `hcl:"args,optional"`
	Timeout          *time.Duration `hcl:"timeout,optional"`
	FailOnError      *bool          `hcl:"fail_on_error"`
	RunOnFirstRender *bool          `hcl:"run_on_first_render,optional"`
}

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

type Secret struct {
	Name     string            `hcl:"name,label"`
	Provider string            `hcl:"provider,optional"`
	Path     string            `hcl:"path,optional"`
	Config   map[string]any    `hcl:"config,block"`
	Env      map[string]string `hcl:"env,block"`
}

type WorkloadIdentity struct {
	Name         string        `hcl:"name,optional"`
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

type Action struct {
	Name    string   `hcl:"name,label"`
	Command string   `hcl:"command"`
	Args    []string `hcl:"args,optional"`
}

type TaskSchedule struct {
	Cron *TaskScheduleCron `hcl:"cron,block"`
}

type TaskScheduleCron struct {
	Start    string `hcl:"start,optional"`
	End      string `hcl:"end,optional"`
	Timezone string `hcl:"timezone,optional"`
}

type TaskCSIPluginConfig struct {
	ID                  string        `hcl:"id,optional"`
	Type                string        `hcl:"type,optional"`
	MountDir            string        `hcl:"mount_dir,optional"`
	StagePublishBaseDir string        `hcl:"stage_publish_base_dir,optional"`
	HealthTimeout       time.Duration `hcl:"health_timeout,optional"`
}
