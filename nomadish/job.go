package nomadish

import "time"

type Job struct {
	Region                   *string                 `hcl:"region,optional"`
	Namespace                *string                 `hcl:"namespace,optional"`
	ID                       *string                 `hcl:"id,optional"`
	Name                     *string                 `hcl:"name,optional"`
	Type                     *string                 `hcl:"type,optional"`
	Priority                 *int                    `hcl:"priority,optional"`
	AllAtOnce                *bool                   `hcl:"all_at_once,optional"`
	Datacenters              []string                `hcl:"datacenters,optional"`
	NodePool                 *string                 `hcl:"node_pool,optional"`
	Constraints              []*Constraint           `hcl:"constraint,block"`
	Affinities               []*Affinity             `hcl:"affinity,block"`
	TaskGroups               []*TaskGroup            `hcl:"group,block"`
	Update                   *UpdateStrategy         `hcl:"update,block"`
	Multiregion              *Multiregion            `hcl:"multiregion,block"`
	Spreads                  []*Spread               `hcl:"spread,block"`
	Periodic                 *PeriodicConfig         `hcl:"periodic,block"`
	ParameterizedJob         *ParameterizedJobConfig `hcl:"parameterized,block"`
	Reschedule               *ReschedulePolicy       `hcl:"reschedule,block" stored:"-"`
	Migrate                  *MigrateStrategy        `hcl:"migrate,block" stored:"-"`
	Meta                     map[string]string       `hcl:"meta,block"`
	UI                       *JobUIConfig            `hcl:"ui,block"`
	Stop                     *bool
	ParentID                 *string
	Dispatched               bool
	DispatchIdempotencyToken *string
	Payload                  []byte
	ConsulNamespace          *string
	VaultNamespace           *string
	NomadTokenID             *string
	Status                   *string
	StatusDescription        *string
	Stable                   *bool
	Version                  *uint64
	SubmitTime               *int64
	CreateIndex              *uint64
	ModifyIndex              *uint64
	JobModifyIndex           *uint64
	VersionTag               *JobVersionTag
}

type JobUIConfig struct {
	Description string       `hcl:"description,optional"`
	Links       []*JobUILink `hcl:"link,block"`
}

type JobUILink struct {
	Label string `hcl:"label,optional"`
	URL   string `hcl:"url,optional"`
}

type JobVersionTag struct {
	Name        string
	Description string
	TaggedTime  int64
}

type Multiregion struct {
	Strategy *MultiregionStrategy `hcl:"strategy,block"`
	Regions  []*MultiregionRegion `hcl:"region,block"`
}

type MultiregionStrategy struct {
	MaxParallel *int    `hcl:"max_parallel,optional"`
	OnFailure   *string `hcl:"on_failure,optional"`
}

type MultiregionRegion struct {
	Name        string            `hcl:",label"`
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

type PeriodicConfig struct {
	Enabled         *bool    `hcl:"enabled,optional"`
	Spec            *string  `hcl:"cron,optional"`
	Specs           []string `hcl:"crons,optional"`
	SpecType        *string
	ProhibitOverlap *bool   `hcl:"prohibit_overlap,optional"`
	TimeZone        *string `hcl:"time_zone,optional"`
}

// Whether dispatching a parameterized job takes a payload (ParameterizedJobConfig.Payload).
const (
	PayloadOptional  = "optional"
	PayloadRequired  = "required"
	PayloadForbidden = "forbidden"
)

type ParameterizedJobConfig struct {
	Payload      string   `hcl:"payload,optional"`
	MetaRequired []string `hcl:"meta_required,optional"`
	MetaOptional []string `hcl:"meta_optional,optional"`
}

type UpdateStrategy struct {
	Stagger          *time.Duration `hcl:"stagger,optional"`
	MaxParallel      *int           `hcl:"max_parallel,optional"`
	HealthCheck      *string        `hcl:"health_check,optional"`
	MinHealthyTime   *time.Duration `hcl:"min_healthy_time,optional"`
	HealthyDeadline  *time.Duration `hcl:"healthy_deadline,optional"`
	ProgressDeadline *time.Duration `hcl:"progress_deadline,optional"`
	Canary           *int           `hcl:"canary,optional"`
	AutoRevert       *bool          `hcl:"auto_revert,optional"`
	AutoPromote      *bool          `hcl:"auto_promote,optional"`
}

type MigrateStrategy struct {
	MaxParallel     *int           `hcl:"max_parallel,optional"`
	HealthCheck     *string        `hcl:"health_check,optional"`
	MinHealthyTime  *time.Duration `hcl:"min_healthy_time,optional"`
	HealthyDeadline *time.Duration `hcl:"healthy_deadline,optional"`
}
