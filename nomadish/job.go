package nomadish

import "time"

// Job is what a user asks to run, in all its versions from the job file to the disk: as
// submitted (fields may be nil), normalized (see [Job.Normalize]) and admitted
// (see [Job.Admit]). Its fields have Nomad's names in JSON and in job files.
type Job struct {
	// The region whose servers take the job; default "global".
	// Namespace and ID together name the job; Name is what lists show, by default the ID.
	Region    *string `hcl:"region,optional"`
	Namespace *string `hcl:"namespace,optional"`
	ID        *string `hcl:"id,optional" diff:"-"`
	Name      *string `hcl:"name,optional"`
	// One of the JobType constants; default service.
	Type *string `hcl:"type,optional"`
	// 1 to 100, higher first; default 50.
	Priority *int `hcl:"priority,optional"`
	// AllAtOnce places a group's allocations all in one plan or not at all.
	AllAtOnce *bool `hcl:"all_at_once,optional"`
	// Where the job may run: names with * as a wildcard; default any. NodePool: default
	// "default".
	Datacenters []string `hcl:"datacenters,optional"`
	NodePool    *string  `hcl:"node_pool,optional"`
	// Constraints that a node must satisfy for any of the job's groups; Affinities and Spreads
	// are preferences among nodes.
	Constraints []*Constraint `hcl:"constraint,block"`
	Affinities  []*Affinity   `hcl:"affinity,block"`
	// The groups are placed apart from each other; the tasks of one group together.
	TaskGroups []*TaskGroup `hcl:"group,block" diff:"-"`
	// Defaults that groups inherit. An admitted job has dropped Reschedule and Migrate, and of
	// Update keeps Stagger and MaxParallel.
	Update *UpdateStrategy `hcl:"update,block" diff:",quiet"`
	// Multiregion is refused by a cluster of one region.
	Multiregion *Multiregion `hcl:"multiregion,block"`
	Spreads     []*Spread    `hcl:"spread,block"`
	// When the job launches: Periodic by the clock, ParameterizedJob when it is dispatched;
	// neither: at once.
	Periodic         *PeriodicConfig         `hcl:"periodic,block"`
	ParameterizedJob *ParameterizedJobConfig `hcl:"parameterized,block"`
	Reschedule       *ReschedulePolicy       `hcl:"reschedule,block" stored:"-" diff:"-"`
	Migrate          *MigrateStrategy        `hcl:"migrate,block" stored:"-" diff:"-"`
	// Free values, which tasks see as NOMAD_META_key. UI is for the web interface.
	Meta map[string]string `hcl:"meta,block"`
	UI   *JobUIConfig      `hcl:"ui,block"`
	// Stop says that the job is to run no more.
	Stop *bool
	// Of a job that a periodic or parameterized one has launched: that job's ID; with what
	// it was dispatched.
	ParentID                 *string
	Dispatched               bool
	DispatchIdempotencyToken *string `diff:"-"`
	Payload                  []byte  `diff:"-"`
	// Names in other systems, kept for compatibility.
	ConsulNamespace *string
	VaultNamespace  *string
	NomadTokenID    *string `diff:"-"`
	// What the server keeps about the job. Status is one of the JobStatus constants. Stable: a
	// deployment of this version has succeeded. Version counts from 0.
	Status            *string `diff:"-"`
	StatusDescription *string `diff:"-"`
	Stable            *bool   `diff:"-"`
	Version           *uint64 `diff:"-"`
	// Nanoseconds since 1970.
	SubmitTime *int64 `diff:"-"`
	// Indexes of the state: of the first version, of the last change, and of the last change of
	// the specification.
	CreateIndex    *uint64 `diff:"-"`
	ModifyIndex    *uint64 `diff:"-"`
	JobModifyIndex *uint64 `diff:"-"`
	// A tagged version is kept for good.
	VersionTag *JobVersionTag `diff:"-"`
}

// JobUIConfig is what the web interface shows beside a job: a text in Markdown and links.
type JobUIConfig struct {
	Description string       `hcl:"description,optional"`
	Links       []*JobUILink `hcl:"link,block"`
}

// JobUILink is a link in the web interface.
type JobUILink struct {
	Label string `hcl:"label,optional"`
	URL   string `hcl:"url,optional"`
}

// JobVersionTag names a version of a job. TaggedTime is nanoseconds since 1970.
type JobVersionTag struct {
	Name        string
	Description string
	TaggedTime  int64
}

// Multiregion spreads a job over regions.
type Multiregion struct {
	Strategy *MultiregionStrategy `hcl:"strategy,block"`
	Regions  []*MultiregionRegion `hcl:"region,block"`
}

// MultiregionStrategy says how many regions deploy at once (0: all), and what happens to the
// others when one fails: OnFailure is fail_all, fail_local or empty.
type MultiregionStrategy struct {
	MaxParallel *int    `hcl:"max_parallel,optional"`
	OnFailure   *string `hcl:"on_failure,optional"`
}

// MultiregionRegion is a region's share of a job; it overrides the job's own fields. Count is
// for groups without one.
type MultiregionRegion struct {
	Name        string            `hcl:",label" diff:",key"`
	Count       *int              `hcl:"count,optional"`
	Datacenters []string          `hcl:"datacenters,optional"`
	NodePool    string            `hcl:"node_pool,optional"`
	Meta        map[string]string `hcl:"meta,block"`
}

// Kinds of periodic specifications (PeriodicConfig.SpecType).
const (
	PeriodicSpecCron = "cron"
	PeriodicSpecTest = "_internal_test" // seconds since 1970, separated by commas
)

// PeriodicConfig launches a job by the clock.
type PeriodicConfig struct {
	// Default true.
	Enabled *bool `hcl:"enabled,optional"`
	// One cron expression, or several in Specs; see [PeriodicConfig.Next].
	Spec     *string  `hcl:"cron,optional"`
	Specs    []string `hcl:"crons,optional"`
	SpecType *string
	// ProhibitOverlap skips a launch while an earlier one still runs; default false.
	ProhibitOverlap *bool `hcl:"prohibit_overlap,optional"`
	// A name of the time zone database; default UTC.
	TimeZone *string `hcl:"time_zone,optional"`
}

// Whether dispatching a parameterized job takes a payload (ParameterizedJobConfig.Payload).
const (
	PayloadOptional  = "optional"
	PayloadRequired  = "required"
	PayloadForbidden = "forbidden"
)

// ParameterizedJobConfig makes a job a template that runs when it is dispatched, with a
// payload (one of the Payload constants; default optional) and meta values, of which some
// may be required and no others but the optional ones are allowed.
type ParameterizedJobConfig struct {
	Payload      string   `hcl:"payload,optional"`
	MetaRequired []string `hcl:"meta_required,optional"`
	MetaOptional []string `hcl:"meta_optional,optional"`
}

// UpdateStrategy says how a group goes from one version of the job to the next.
type UpdateStrategy struct {
	// Time between batches of a system job's nodes; default 30s.
	Stagger *time.Duration `hcl:"stagger,optional" diff:",quiet"`
	// Allocations replaced at once; default 1, 0: all without a deployment.
	MaxParallel *int `hcl:"max_parallel,optional"`
	// What makes an allocation healthy: checks (default), task_states, or manual; and for how
	// long it must last (default 10s), by when (default 5m), and how long the deployment may go
	// without progress (default 10m, 0: as long as the first failure).
	HealthCheck      *string        `hcl:"health_check,optional"`
	MinHealthyTime   *time.Duration `hcl:"min_healthy_time,optional"`
	HealthyDeadline  *time.Duration `hcl:"healthy_deadline,optional"`
	ProgressDeadline *time.Duration `hcl:"progress_deadline,optional"`
	// Canaries are placed beside the old version and wait for promotion; default 0.
	// AutoPromote promotes once they are healthy; AutoRevert goes back when the deployment fails.
	Canary      *int  `hcl:"canary,optional"`
	AutoRevert  *bool `hcl:"auto_revert,optional"`
	AutoPromote *bool `hcl:"auto_promote,optional"`
}

// MigrateStrategy says how a group's allocations leave a node that is drained: how many at
// once (default 1), and how their replacements prove healthy, as in UpdateStrategy.
type MigrateStrategy struct {
	MaxParallel     *int           `hcl:"max_parallel,optional"`
	HealthCheck     *string        `hcl:"health_check,optional"`
	MinHealthyTime  *time.Duration `hcl:"min_healthy_time,optional"`
	HealthyDeadline *time.Duration `hcl:"healthy_deadline,optional"`
}
