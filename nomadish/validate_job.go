package nomadish

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (j *Job) validate(f *faults) {
	j.validateNames(f)
	priority := Val(j.Priority)
	f.check(priority < 1 || priority > 100, "Priority", "job priority must be between [1, 100]")
	f.check(len(j.Datacenters) == 0 && j.Multiregion == nil, "Datacenters", "Missing job datacenters")
	f.check(slices.Contains(j.Datacenters, ""), "Datacenters", "Job datacenter must be non-empty string")
	validateMeta(f, j.Meta)
	f.check(len(j.TaskGroups) == 0, "TaskGroups", "Missing job task groups")
	f.check(len(j.TaskGroups) > MaxJobGroups, "TaskGroups", "Job has %d task groups, more than the limit of %d", len(j.TaskGroups), MaxJobGroups)
	validateConstraints(f, j.Constraints)
	j.validatePlacement(f, "", j.Affinities, j.Spreads)
	j.validateGroups(f)
	j.validateLaunch(f)
}

func (j *Job) validateNames(f *faults) {
	f.check(Val(j.Region) == "", "Region", "Missing job region")
	switch id := Val(j.ID); {
	case id == "":
		f.add("ID", "Missing job ID")
	case strings.Contains(id, " "):
		f.add("ID", "Job ID contains a space")
	case hasNUL(id):
		f.add("ID", "Job ID contains a null character")
	}
	switch name := Val(j.Name); {
	case name == "":
		f.add("Name", "Missing job name")
	case hasNUL(name):
		f.add("Name", "Job Name contains a null character")
	}
	f.check(Val(j.Namespace) == "", "Namespace", "Job must be in a namespace")
	switch t := Val(j.Type); t {
	case JobTypeService, JobTypeBatch, JobTypeSystem, JobTypeSysBatch:
	case "":
		f.add("Type", "Missing job type")
	default:
		f.add("Type", "Invalid job type: %q", t)
	}
}

// onEveryNode says that the job runs once on each node that suits.
func (j *Job) onEveryNode() bool {
	return Val(j.Type) == JobTypeSystem || Val(j.Type) == JobTypeSysBatch
}

// validatePlacement checks the preferences of a job, group or task.
func (j *Job) validatePlacement(f *faults, path string, affinities []*Affinity, spreads []*Spread) {
	if j.onEveryNode() {
		f.check(len(affinities) > 0, path+"Affinities", "System jobs may not have an affinity block")
		f.check(len(spreads) > 0, path+"Spreads", "System jobs may not have a spread block")
		return
	}
	for i, a := range affinities {
		inner := f.at("%sAffinities[%d]", path, i)
		a.validate(inner)
		f.under(inner, "Affinity %d validation failed: ", i+1)
	}
	for i, s := range spreads {
		inner := f.at("%sSpreads[%d]", path, i)
		s.validate(inner)
		f.under(inner, "Spread %d validation failed: ", i+1)
	}
}

func (j *Job) validateGroups(f *faults) {
	seen := map[string]int{}
	total := 0
	for i, g := range j.TaskGroups {
		path, name := fmt.Sprintf("TaskGroups[%d]", i), Val(g.Name)
		if first, ok := seen[name]; name == "" {
			f.add(path+".Name", "Job task group %d missing name", i+1)
		} else if ok {
			f.add(path+".Name", "Job task group %d redefines '%s' from group %d", i+1, name, first)
		} else {
			seen[name] = i + 1
		}
		f.check(Val(g.ShutdownDelay) < 0, path+".ShutdownDelay", "ShutdownDelay must be a positive value")
		f.check(Val(g.StopAfterClientDisconnect) < 0, path+".StopAfterClientDisconnect", "stop_after_client_disconnect must be a positive value")
		f.check(Val(g.MaxRunDuration) < 0, path+".MaxRunDuration", "max_run_duration must be a positive value")
		f.check(Val(j.Type) == JobTypeSystem && Val(g.Count) > 1, path+".Count",
			"Job task group %s has count %d. Count cannot exceed 1 with system scheduler", name, Val(g.Count))
		if c := Val(g.Count); c > 0 {
			total += min(c, MaxJobAllocations+1)
		}
		inner := f.at("%s", path)
		g.validate(j, inner)
		f.under(inner, "Task group %s validation failed: ", name)
	}
	f.check(total > MaxJobAllocations, "TaskGroups", "Job wants more allocations than the limit of %d", MaxJobAllocations)
}

// validateLaunch checks what says when the job starts.
func (j *Job) validateLaunch(f *faults) {
	batch := Val(j.Type) == JobTypeBatch || Val(j.Type) == JobTypeSysBatch
	if p := j.Periodic; p != nil {
		f.check(!batch, "Periodic", "Periodic can only be used with %q or %q scheduler", JobTypeBatch, JobTypeSysBatch)
		inner := f.at("Periodic")
		p.validate(inner)
		f.under(inner, "")
	}
	if p := j.ParameterizedJob; p != nil {
		f.check(!batch, "ParameterizedJob", "Parameterized job can only be used with %q or %q scheduler", JobTypeBatch, JobTypeSysBatch)
		inner := f.at("ParameterizedJob")
		p.validate(inner)
		f.under(inner, "")
	}
	f.check(len(j.Payload) > MaxPayload, "Payload", "Payload exceeds maximum size; %d > %d", len(j.Payload), MaxPayload)
	if j.UI != nil {
		f.part("UI", j.UI.validate)
	}
}

func (p *PeriodicConfig) validate(f *faults) {
	if !Val(p.Enabled) {
		return
	}
	f.check(len(p.Specs) > MaxCronSpecs, "Specs", "Periodic has %d specs, more than the limit of %d", len(p.Specs), MaxCronSpecs)
	f.check(Val(p.Spec) == "" && len(p.Specs) == 0, "Spec", "Must specify a spec")
	f.check(Val(p.Spec) != "" && len(p.Specs) > 0, "Specs", "Only cron or crons may be used")
	if _, err := p.Location(); err != nil {
		f.add("TimeZone", "Invalid time zone %q: %v", Val(p.TimeZone), err)
	}
	switch Val(p.SpecType) {
	case PeriodicSpecCron:
		for i, spec := range p.specs() {
			field := "Spec"
			if len(p.Specs) > 0 {
				field = fmt.Sprintf("Specs[%d]", i)
			}
			if len(spec) > MaxCronBytes {
				f.add(field, "Cron spec takes %d bytes, more than the limit of %d", len(spec), MaxCronBytes)
			} else if _, err := parseCron(spec); err != nil {
				f.add(field, "Invalid cron spec %q: %v", spec, err)
			}
		}
	case PeriodicSpecTest:
	default:
		f.add("SpecType", "Unknown periodic specification type %q", Val(p.SpecType))
	}
}

func (p *ParameterizedJobConfig) validate(f *faults) {
	switch p.Payload {
	case PayloadOptional, PayloadRequired, PayloadForbidden:
	default:
		f.add("Payload", "Unknown payload requirement: %q", p.Payload)
	}
	var both []string
	for _, k := range p.MetaOptional {
		if slices.Contains(p.MetaRequired, k) && !slices.Contains(both, k) {
			both = append(both, k)
		}
	}
	f.check(len(both) > 0, "MetaOptional", "Required and optional meta keys should be disjoint. Following keys exist in both: %v", both)
}

func (u *JobUIConfig) validate(f *faults) {
	const maxDescription, maxLinks = 1_000, 10
	f.check(len(u.Description) > maxDescription, "Description", "UI description must be under %d characters, currently: %d", maxDescription, len(u.Description))
	f.check(len(u.Links) > maxLinks, "Links", "UI links must be %d or fewer, currently: %d", maxLinks, len(u.Links))
}
