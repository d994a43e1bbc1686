package nomadish

import "time"

type TaskGroup struct {
	Name                      *string                   `hcl:"name,label"`
	Count                     *int                      `hcl:"count,optional"`
	Constraints               []*Constraint             `hcl:"constraint,block"`
	Affinities                []*Affinity               `hcl:"affinity,block"`
	Tasks                     []*Task                   `hcl:"task,block"`
	Spreads                   []*Spread                 `hcl:"spread,block"`
	Volumes                   map[string]*VolumeRequest `hcl:"volume,block"`
	RestartPolicy             *RestartPolicy            `hcl:"restart,block"`
	Disconnect                *DisconnectStrategy       `hcl:"disconnect,block"`
	ReschedulePolicy          *ReschedulePolicy         `hcl:"reschedule,block"`
	EphemeralDisk             *EphemeralDisk            `hcl:"ephemeral_disk,block"`
	Update                    *UpdateStrategy           `hcl:"update,block"`
	Migrate                   *MigrateStrategy          `hcl:"migrate,block"`
	Networks                  []*NetworkResource        `hcl:"network,block"`
	Meta                      map[string]string         `hcl:"meta,block"`
	Services                  []*Service                `hcl:"service,block"`
	ShutdownDelay             *time.Duration            `hcl:"shutdown_delay,optional"`
	MaxRunDuration            *time.Duration            `hcl:"max_run_duration,optional"`
	StopAfterClientDisconnect *time.Duration            `hcl:"stop_after_client_disconnect,optional"`
	MaxClientDisconnect       *time.Duration            `hcl:"max_client_disconnect,optional"`
	Scaling                   *ScalingPolicy            `hcl:"scaling,block"`
	Consul                    *Consul                   `hcl:"consul,block"`
	PreventRescheduleOnLost   *bool                     `hcl:"prevent_reschedule_on_lost,optional"`
}

type RestartPolicy struct {
	Interval        *time.Duration `hcl:"interval,optional"`
	Attempts        *int           `hcl:"attempts,optional"`
	Delay           *time.Duration `hcl:"delay,optional"`
	Mode            *string        `hcl:"mode,optional"`
	RenderTemplates *bool          `hcl:"render_templates,optional"`
}

type ReschedulePolicy struct {
	Attempts      *int           `hcl:"attempts,optional"`
	Interval      *time.Duration `hcl:"interval,optional"`
	Delay         *time.Duration `hcl:"delay,optional"`
	DelayFunction *string        `hcl:"delay_function,optional"`
	MaxDelay      *time.Duration `hcl:"max_delay,optional"`
	Unlimited     *bool          `hcl:"unlimited,optional"`
}

// Which allocation stays when a disconnected node comes back (DisconnectStrategy.Reconcile).
const (
	ReconcileKeepOriginal    = "keep_original"
	ReconcileKeepReplacement = "keep_replacement"
	ReconcileBestScore       = "best_score"
	ReconcileLongestRunning  = "longest_running"
)

type DisconnectStrategy struct {
	LostAfter         *time.Duration `hcl:"lost_after,optional"`
	StopOnClientAfter *time.Duration `hcl:"stop_on_client_after,optional"`
	Replace           *bool          `hcl:"replace,optional"`
	Reconcile         *string        `hcl:"reconcile,optional"`
}

type EphemeralDisk struct {
	Sticky  *bool `hcl:"sticky,optional"`
	Migrate *bool `hcl:"migrate,optional"`
	SizeMB  *int  `hcl:"size,optional"`
}

type VolumeRequest struct {
	Name           string           `hcl:"name,label"`
	Type           string           `hcl:"type,optional"`
	Source         string           `hcl:"source,optional"`
	ReadOnly       bool             `hcl:"read_only,optional"`
	Sticky         bool             `hcl:"sticky,optional"`
	AccessMode     string           `hcl:"access_mode,optional"`
	AttachmentMode string           `hcl:"attachment_mode,optional"`
	MountOptions   *CSIMountOptions `hcl:"mount_options,block"`
	PerAlloc       bool             `hcl:"per_alloc,optional"`
}

type CSIMountOptions struct {
	FSType     string   `hcl:"fs_type,optional"`
	MountFlags []string `hcl:"mount_flags,optional"`
}

type VolumeMount struct {
	Volume          *string `hcl:"volume,optional"`
	Destination     *string `hcl:"destination,optional"`
	ReadOnly        *bool   `hcl:"read_only,optional"`
	PropagationMode *string `hcl:"propagation_mode,optional"`
	SELinuxLabel    *string `hcl:"selinux_label,optional"`
}

type Consul struct {
	Namespace string `hcl:"namespace,optional"`
	Cluster   string `hcl:"cluster,optional"`
	Partition string `hcl:"partition,optional"`
}

// ScalingTypeHorizontal is the type of policies that change a group's count.
const ScalingTypeHorizontal = "horizontal"

type ScalingPolicy struct {
	Min         *int64         `hcl:"min,optional"`
	Max         *int64         `hcl:"max,optional"`
	Policy      map[string]any `hcl:"policy,block"`
	Enabled     *bool          `hcl:"enabled,optional"`
	Type        string         `hcl:"type,optional"`
	ID          string
	Namespace   string `stored:"-"`
	Target      map[string]string
	CreateIndex uint64
	ModifyIndex uint64
}
