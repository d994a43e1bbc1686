package nomadish

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// The types of jobs.
const (
	JobTypeService  = "service"
	JobTypeBatch    = "batch"
	JobTypeSystem   = "system"
	JobTypeSysBatch = "sysbatch"
)

// Names that stand for what a job doesn't say.
const (
	DefaultNamespace = "default"
	DefaultRegion    = "global"
	DefaultCluster   = "default" // of Consul or Vault
)

// fill sets *p to v if it is nil.
func fill[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

// inherit sets *p to a copy of *from if it is nil.
func inherit[T any](p **T, from *T) {
	if *p == nil && from != nil {
		v := *from
		*p = &v
	}
}

// orDefault sets *s to v if it is empty.
func orDefault(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

// emptyMap makes nothing of an empty map.
func emptyMap[M ~map[K]V, K comparable, V any](m *M) {
	if len(*m) == 0 {
		*m = nil
	}
}

// emptyList makes nothing of an empty list.
func emptyList[S ~[]E, E any](s *S) {
	if len(*s) == 0 {
		*s = nil
	}
}

// dropNil removes the nil elements of a list.
func dropNil[T any](list *[]*T) {
	isNil := func(p *T) bool { return p == nil }
	if slices.ContainsFunc(*list, isNil) {
		*list = slices.DeleteFunc(*list, isNil)
	}
}

// Normalize fills in the defaults that a job file leaves out: those of Nomad's documentation,
// among them what a group inherits from its job (update, reschedule, migrate) and a task
// from its group (restart), and those that depend on the job's type. What has no default
// stays nil. Normalizing twice changes nothing more. It also removes nil elements of lists,
// and gives the values of free maps (config, policy) the types that JSON gives them: bool,
// int64, float64, string, []any and map[string]any.
func (j *Job) Normalize() {
	fill(&j.ID, "")
	fill(&j.Name, *j.ID)
	fill(&j.ParentID, "")
	fill(&j.Namespace, DefaultNamespace)
	fill(&j.Region, DefaultRegion)
	fill(&j.Type, JobTypeService)
	fill(&j.Priority, 50)
	fill(&j.AllAtOnce, false)
	fill(&j.NodePool, "")
	fill(&j.Stop, false)
	fill(&j.Stable, false)
	fill(&j.ConsulNamespace, "")
	fill(&j.VaultNamespace, "")
	fill(&j.NomadTokenID, "")
	fill(&j.Status, "")
	fill(&j.StatusDescription, "")
	fill(&j.Version, 0)
	fill(&j.CreateIndex, 0)
	fill(&j.ModifyIndex, 0)
	fill(&j.JobModifyIndex, 0)
	if j.Update == nil && (*j.Type == JobTypeService || *j.Type == JobTypeSystem) {
		j.Update = &UpdateStrategy{}
	}
	j.Update.normalize()
	j.Periodic.normalize()
	j.Multiregion.normalize()
	if j.UI != nil {
		dropNil(&j.UI.Links)
	}
	dropNil(&j.Constraints)
	normalizeAffinities(&j.Affinities)
	normalizeSpreads(&j.Spreads)
	dropNil(&j.TaskGroups)
	for _, g := range j.TaskGroups {
		g.normalize(j)
	}
}

func (p *PeriodicConfig) normalize() {
	if p == nil {
		return
	}
	fill(&p.Enabled, true)
	fill(&p.Spec, "")
	fill(&p.SpecType, PeriodicSpecCron)
	fill(&p.ProhibitOverlap, false)
	fill(&p.TimeZone, "UTC")
	orDefault(p.TimeZone, "UTC")
	if p.Specs == nil {
		p.Specs = []string{}
	}
}

func (m *Multiregion) normalize() {
	if m == nil {
		return
	}
	fill(&m.Strategy, MultiregionStrategy{})
	fill(&m.Strategy.MaxParallel, 0)
	fill(&m.Strategy.OnFailure, "")
	dropNil(&m.Regions)
	if m.Regions == nil {
		m.Regions = []*MultiregionRegion{}
	}
	for _, r := range m.Regions {
		fill(&r.Count, 1)
		if r.Datacenters == nil {
			r.Datacenters = []string{}
		}
		if r.Meta == nil {
			r.Meta = map[string]string{}
		}
	}
}

// normalize fills in what is left out of an update block with the defaults.
func (u *UpdateStrategy) normalize() {
	u.inherit(&UpdateStrategy{
		Stagger:          Ptr(30 * time.Second),
		MaxParallel:      Ptr(1),
		HealthCheck:      Ptr("checks"),
		MinHealthyTime:   Ptr(10 * time.Second),
		HealthyDeadline:  Ptr(5 * time.Minute),
		ProgressDeadline: Ptr(10 * time.Minute),
		Canary:           Ptr(0),
		AutoRevert:       Ptr(false),
		AutoPromote:      Ptr(false),
	})
}

// empty says that the block asks for nothing, as that of an admitted batch job does.
func (u *UpdateStrategy) empty() bool {
	return Val(u.Stagger) == 0 && Val(u.MaxParallel) == 0 && Val(u.HealthCheck) == "" && Val(u.MinHealthyTime) == 0 &&
		Val(u.HealthyDeadline) == 0 && Val(u.ProgressDeadline) == 0 && Val(u.Canary) == 0 && !Val(u.AutoRevert) && !Val(u.AutoPromote)
}

func (u *UpdateStrategy) inherit(from *UpdateStrategy) {
	if u == nil || from == nil {
		return
	}
	inherit(&u.Stagger, from.Stagger)
	inherit(&u.MaxParallel, from.MaxParallel)
	inherit(&u.HealthCheck, from.HealthCheck)
	inherit(&u.MinHealthyTime, from.MinHealthyTime)
	inherit(&u.HealthyDeadline, from.HealthyDeadline)
	inherit(&u.ProgressDeadline, from.ProgressDeadline)
	inherit(&u.Canary, from.Canary)
	inherit(&u.AutoRevert, from.AutoRevert)
	inherit(&u.AutoPromote, from.AutoPromote)
}

func (m *MigrateStrategy) inherit(from *MigrateStrategy) {
	if from == nil {
		return
	}
	inherit(&m.MaxParallel, from.MaxParallel)
	inherit(&m.HealthCheck, from.HealthCheck)
	inherit(&m.MinHealthyTime, from.MinHealthyTime)
	inherit(&m.HealthyDeadline, from.HealthyDeadline)
}

// defaultMigrate is how allocations leave a draining node.
func defaultMigrate() *MigrateStrategy {
	return &MigrateStrategy{
		MaxParallel:     Ptr(1),
		HealthCheck:     Ptr("checks"),
		MinHealthyTime:  Ptr(10 * time.Second),
		HealthyDeadline: Ptr(5 * time.Minute),
	}
}

func (r *ReschedulePolicy) inherit(from *ReschedulePolicy) {
	if from == nil {
		return
	}
	inherit(&r.Attempts, from.Attempts)
	inherit(&r.Interval, from.Interval)
	inherit(&r.Delay, from.Delay)
	inherit(&r.DelayFunction, from.DelayFunction)
	inherit(&r.MaxDelay, from.MaxDelay)
	inherit(&r.Unlimited, from.Unlimited)
}

// defaultReschedule is the policy for a type of job. System jobs run on every node anyway
// and are never rescheduled.
func defaultReschedule(jobType string) *ReschedulePolicy {
	p := &ReschedulePolicy{
		Attempts:      Ptr(0),
		Interval:      Ptr(time.Duration(0)),
		Delay:         Ptr(time.Duration(0)),
		DelayFunction: Ptr(""),
		MaxDelay:      Ptr(time.Duration(0)),
		Unlimited:     Ptr(false),
	}
	switch jobType {
	case JobTypeService:
		*p.Delay = 30 * time.Second
		*p.DelayFunction = DelayExponential
		*p.MaxDelay = time.Hour
		*p.Unlimited = true
	case JobTypeBatch:
		*p.Attempts = 1
		*p.Interval = 24 * time.Hour
		*p.Delay = 5 * time.Second
		*p.DelayFunction = DelayConstant
	}
	return p
}

func (r *RestartPolicy) inherit(from *RestartPolicy) {
	if from == nil {
		return
	}
	inherit(&r.Interval, from.Interval)
	inherit(&r.Attempts, from.Attempts)
	inherit(&r.Delay, from.Delay)
	inherit(&r.Mode, from.Mode)
	inherit(&r.RenderTemplates, from.RenderTemplates)
}

func defaultRestart(jobType string) *RestartPolicy {
	p := &RestartPolicy{
		Interval:        Ptr(30 * time.Minute),
		Attempts:        Ptr(2),
		Delay:           Ptr(15 * time.Second),
		Mode:            Ptr(RestartModeFail),
		RenderTemplates: Ptr(false),
	}
	if jobType == JobTypeBatch || jobType == JobTypeSysBatch {
		*p.Interval = 24 * time.Hour
		*p.Attempts = 3
	}
	return p
}

func normalizeAffinities(list *[]*Affinity) {
	dropNil(list)
	for _, a := range *list {
		fill(&a.Weight, 50)
	}
}

func normalizeSpreads(list *[]*Spread) {
	dropNil(list)
	for _, s := range *list {
		fill(&s.Weight, 0)
		dropNil(&s.SpreadTarget)
	}
}

// normalizeFree gives the values of a free map the types that DecodeJSON gives them.
func normalizeFree(m map[string]any) {
	for k, v := range m {
		m[k] = normalFree(v)
	}
}

func normalFree(v any) any {
	switch v := v.(type) {
	case map[string]any:
		normalizeFree(v)
	case map[string]string:
		m := make(map[string]any, len(v))
		for k, s := range v {
			m[k] = s
		}
		return m
	case []any:
		for i := range v {
			v[i] = normalFree(v[i])
		}
	case []map[string]any:
		return normalFree(toAny(v))
	case []string:
		return toAny(v)
	case []int:
		return normalFree(toAny(v))
	case int:
		return int64(v)
	case int32:
		return int64(v)
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v)
		}
		return float64(v)
	case float32:
		return float64(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	}
	return v
}

func toAny[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}
