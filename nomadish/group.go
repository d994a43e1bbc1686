package nomadish

import "time"

// TaskGroup is a set of tasks that run together on one node.
type TaskGroup struct {
	Name *string `hcl:"name,label" diff:"-"`
	// Allocations wanted; default 1. System jobs run one per node.
	Count *int `hcl:"count,optional"`
	// As in Job, for this group besides the job's.
	Constraints []*Constraint `hcl:"constraint,block"`
	Affinities  []*Affinity   `hcl:"affinity,block"`
	// At least one of the tasks must have no Lifecycle.
	Tasks   []*Task   `hcl:"task,block" diff:"-"`
	Spreads []*Spread `hcl:"spread,block"`
	// By the name that volume mounts use.
	Volumes map[string]*VolumeRequest `hcl:"volume,block"`
	// What happens when tasks or nodes fail; defaults depend on the job's type.
	RestartPolicy    *RestartPolicy      `hcl:"restart,block"`
	Disconnect       *DisconnectStrategy `hcl:"disconnect,block"`
	ReschedulePolicy *ReschedulePolicy   `hcl:"reschedule,block"`
	// The directory that the tasks share; default 300 MiB, neither sticky nor migrated.
	EphemeralDisk *EphemeralDisk `hcl:"ephemeral_disk,block"`
	// What is inherited from the job where it is left out here.
	Update  *UpdateStrategy  `hcl:"update,block"`
	Migrate *MigrateStrategy `hcl:"migrate,block" diff:",quiet"`
	// At most one network that the tasks share.
	Networks []*NetworkResource `hcl:"network,block"`
	Meta     map[string]string  `hcl:"meta,block"`
	Services []*Service         `hcl:"service,block"`
	// ShutdownDelay is between deregistering the services and stopping the tasks.
	ShutdownDelay *time.Duration `hcl:"shutdown_delay,optional"`
	// MaxRunDuration ends allocations after that time; nil: never.
	MaxRunDuration *time.Duration `hcl:"max_run_duration,optional"`
	// Older forms of parts of Disconnect.
	StopAfterClientDisconnect *time.Duration `hcl:"stop_after_client_disconnect,optional"`
	MaxClientDisconnect       *time.Duration `hcl:"max_client_disconnect,optional"`
	// Bounds and policy of automatic scaling of Count.
	Scaling *ScalingPolicy `hcl:"scaling,block" diff:"Scaling"`
	// Which Consul cluster and namespace the group's services go to.
	Consul                  *Consul `hcl:"consul,block"`
	PreventRescheduleOnLost *bool   `hcl:"prevent_reschedule_on_lost,optional"`
}

// RestartPolicy says when a failed task is started again on its node: up to Attempts times
// per Interval, each after Delay (plus up to a quarter); then Mode decides. Defaults: 2 in
// 30m for service and system jobs, 3 in 24h for batch and sysbatch, after 15s, then fail.
// RenderTemplates renders templates anew before.
type RestartPolicy struct {
	Interval        *time.Duration `hcl:"interval,optional"`
	Attempts        *int           `hcl:"attempts,optional"`
	Delay           *time.Duration `hcl:"delay,optional"`
	Mode            *string        `hcl:"mode,optional"`
	RenderTemplates *bool          `hcl:"render_templates,optional"`
}

// ReschedulePolicy says when a failed allocation is placed again, perhaps elsewhere: after
// Delay, which grows by DelayFunction up to MaxDelay; Unlimited times, or up to Attempts times
// per Interval. Defaults: service 30s, exponential, 1h, unlimited; batch once in 24h after 5s.
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

// DisconnectStrategy says what becomes of allocations whose node no longer answers: when they
// are given up (LostAfter), when the node itself stops them (StopOnClientAfter), whether they
// are replaced (default true), and which stays if the node comes back.
type DisconnectStrategy struct {
	LostAfter         *time.Duration `hcl:"lost_after,optional"`
	StopOnClientAfter *time.Duration `hcl:"stop_on_client_after,optional"`
	Replace           *bool          `hcl:"replace,optional"`
	Reconcile         *string        `hcl:"reconcile,optional"`
}

// EphemeralDisk is the allocation's shared directory: its size in MiB, whether replacements
// prefer the same node (Sticky), and whether their data move along (Migrate).
type EphemeralDisk struct {
	Sticky  *bool `hcl:"sticky,optional"`
	Migrate *bool `hcl:"migrate,optional"`
	SizeMB  *int  `hcl:"size,optional"`
}

// VolumeRequest asks for a volume, which tasks mount by VolumeMount. Type is host or csi.
// PerAlloc appends the allocation's index to Source, [0].
type VolumeRequest struct {
	Name           string           `hcl:"name,label" diff:",key"`
	Type           string           `hcl:"type,optional"`
	Source         string           `hcl:"source,optional"`
	ReadOnly       bool             `hcl:"read_only,optional"`
	Sticky         bool             `hcl:"sticky,optional"`
	AccessMode     string           `hcl:"access_mode,optional"`
	AttachmentMode string           `hcl:"attachment_mode,optional"`
	MountOptions   *CSIMountOptions `hcl:"mount_options,block"`
	PerAlloc       bool             `hcl:"per_alloc,optional"`
}

// CSIMountOptions are handed to the storage plugin.
type CSIMountOptions struct {
	FSType     string   `hcl:"fs_type,optional"`
	MountFlags []string `hcl:"mount_flags,optional"`
}

// VolumeMount mounts one of the group's volumes into a task. PropagationMode is private
// (default), host-to-task or bidirectional.
type VolumeMount struct {
	Volume          *string `hcl:"volume,optional"`
	Destination     *string `hcl:"destination,optional" diff:",key"`
	ReadOnly        *bool   `hcl:"read_only,optional"`
	PropagationMode *string `hcl:"propagation_mode,optional"`
	SELinuxLabel    *string `hcl:"selinux_label,optional"`
}

// Consul names a Consul cluster (default "default"), namespace and partition.
type Consul struct {
	Namespace string `hcl:"namespace,optional"`
	Cluster   string `hcl:"cluster,optional"`
	Partition string `hcl:"partition,optional"`
}

// ScalingTypeHorizontal is the type of policies that change a group's count.
const ScalingTypeHorizontal = "horizontal"

// ScalingPolicy bounds what an autoscaler may do to a group's count or a task's resources,
// and holds its policy as free text.
type ScalingPolicy struct {
	// Bounds; Min is by default the group's count, and 0 for a task.
	Min     *int64         `hcl:"min,optional"`
	Max     *int64         `hcl:"max,optional"`
	Policy  map[string]any `hcl:"policy,block"`
	Enabled *bool          `hcl:"enabled,optional"`
	Type    string         `hcl:"type,optional" diff:",key"`
	// Set by the server. Target names job, group and task.
	ID          string            `diff:"-"`
	Namespace   string            `stored:"-" diff:"-"`
	Target      map[string]string `diff:"-"`
	CreateIndex uint64            `diff:"-"`
	ModifyIndex uint64            `diff:"-"`
}
