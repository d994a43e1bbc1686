package nomadish

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// How something of a job differs (the Type of the diffs).
const (
	DiffNone    = "None"
	DiffAdded   = "Added"
	DiffDeleted = "Deleted"
	DiffEdited  = "Edited"
)

// JobDiff is how one version of a job differs from another. Of job, groups and tasks only the
// fields that differ are in it; groups and tasks themselves are all there.
type JobDiff struct {
	Type       string
	ID         string
	Fields     []*FieldDiff
	Objects    []*ObjectDiff
	TaskGroups []*TaskGroupDiff // by name
}

// TaskGroupDiff is how a group differs. Updates says what becomes of its allocations: how many
// of each of the DiffUpdate kinds; only in plans.
type TaskGroupDiff struct {
	Type    string
	Name    string
	Fields  []*FieldDiff
	Objects []*ObjectDiff
	Tasks   []*TaskDiff // by name
	Updates map[string]uint64
}

// TaskDiff is how a task differs. Annotations say what that does to allocations: some of the
// DiffForces constants; only in plans.
type TaskDiff struct {
	Type        string
	Name        string
	Fields      []*FieldDiff
	Objects     []*ObjectDiff
	Annotations []string
}

// ObjectDiff is how a block differs. Fields that do not differ are in it too, so that a reader
// knows the block.
type ObjectDiff struct {
	Type    string
	Name    string
	Fields  []*FieldDiff
	Objects []*ObjectDiff
}

// FieldDiff is how a value differs; what is not there is empty. Elements of maps and lists
// have names such as Env[KEY] and args[0].
type FieldDiff struct {
	Type        string
	Name        string
	Old, New    string
	Annotations []string
}

// What a change means for allocations (Annotations in diffs).
const (
	DiffForcesCreate        = "forces create"
	DiffForcesDestroy       = "forces destroy"
	DiffForcesInPlaceUpdate = "forces in-place update"
	DiffForcesReplacement   = "forces create/destroy update"
)

// What becomes of a group's allocations (TaskGroupDiff.Updates).
const (
	DiffUpdateIgnore      = "ignore"
	DiffUpdateCreate      = "create"
	DiffUpdateDestroy     = "destroy"
	DiffUpdateMigrate     = "migrate"
	DiffUpdateCanary      = "canary"
	DiffUpdateInPlace     = "in-place update"
	DiffUpdateReplacement = "create/destroy update"
	DiffUpdatePreemptions = "preemptions"
)

// DiffJobs says how next differs from old. Both are admitted; nil is a job that is not there.
// What the server keeps about a job, such as indexes and status, does not count, and secrets
// are not shown.
func DiffJobs(old, next *Job) *JobDiff {
	d := differ{submitted: old != nil && next != nil && old.Stored() != next.Stored()}
	diff := &JobDiff{}
	body := d.structs(reflect.ValueOf(old), reflect.ValueOf(next), false)
	diff.Fields, diff.Objects = body.fields, body.objects
	var was, is []*TaskGroup
	if old != nil {
		diff.ID, was = Val(old.ID), old.TaskGroups
	}
	if next != nil {
		diff.ID, is = Val(next.ID), next.TaskGroups
	}
	changed := body.changed
	for _, p := range named(was, is, func(g *TaskGroup) string { return Val(g.Name) }) {
		g := d.group(p.old, p.next)
		changed = changed || g.Type != DiffNone
		diff.TaskGroups = append(diff.TaskGroups, g)
	}
	diff.Type = diffType(old != nil, next != nil, changed)
	return diff
}

func (d differ) group(old, next *TaskGroup) *TaskGroupDiff {
	diff := &TaskGroupDiff{}
	body := d.structs(reflect.ValueOf(old), reflect.ValueOf(next), false)
	diff.Fields, diff.Objects = body.fields, body.objects
	var was, is []*Task
	if old != nil {
		diff.Name, was = Val(old.Name), old.Tasks
	}
	if next != nil {
		diff.Name, is = Val(next.Name), next.Tasks
	}
	changed := body.changed
	for _, p := range named(was, is, func(t *Task) string { return t.Name }) {
		t := d.task(p.old, p.next)
		changed = changed || t.Type != DiffNone
		diff.Tasks = append(diff.Tasks, t)
	}
	diff.Type = diffType(old != nil, next != nil, changed)
	if d.submitted && diff.Type == DiffEdited {
		diff.Objects = showScaling(diff.Objects, old.Scaling, next.Scaling)
	}
	return diff
}

// showScaling adds an edited policy without fields, which Nomad shows of every submitted group
// that has a policy. Only a group that has changed anyway gets it: a job that is submitted
// again unchanged differs in nothing.
func showScaling(objects []*ObjectDiff, old, next *ScalingPolicy) []*ObjectDiff {
	shown := slices.ContainsFunc(objects, func(o *ObjectDiff) bool { return o.Name == "Scaling" })
	if old == nil || next == nil || shown {
		return objects
	}
	return append(objects, &ObjectDiff{Type: DiffEdited, Name: "Scaling"})
}

func (d differ) task(old, next *Task) *TaskDiff {
	diff := &TaskDiff{}
	body := d.structs(reflect.ValueOf(old), reflect.ValueOf(next), false)
	diff.Fields, diff.Objects = body.fields, body.objects
	diff.Name = cmp.Or(old, next).Name
	diff.Type = diffType(old != nil, next != nil, body.changed)
	return diff
}

// pair is a thing in both versions; either may be missing.
type pair[T any] struct{ old, next T }

// named pairs the elements of two lists by their names, and sorts them so.
func named[T any](old, next []*T, name func(*T) string) []pair[*T] {
	pairs := map[string]pair[*T]{}
	for _, v := range old {
		pairs[name(v)] = pair[*T]{old: v}
	}
	for _, v := range next {
		pairs[name(v)] = pair[*T]{old: pairs[name(v)].old, next: v}
	}
	return sorted(pairs)
}

// sorted returns the values of a map in the order of their keys.
func sorted[T any](m map[string]T) []T {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	values := make([]T, len(keys))
	for i, k := range keys {
		values[i] = m[k]
	}
	return values
}

func diffType(old, next, changed bool) string {
	switch {
	case !old && next:
		return DiffAdded
	case old && !next:
		return DiffDeleted
	case changed:
		return DiffEdited
	}
	return DiffNone
}

// compareFields is the order of fields: by name, then by what they were and are.
func compareFields(a, b *FieldDiff) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Old, b.Old), strings.Compare(a.New, b.New))
}

// compareObjects is the order of the blocks of one kind: what was added, what was deleted,
// what was edited, and in these by what is in them.
func compareObjects(a, b *ObjectDiff) int {
	return cmp.Or(
		strings.Compare(a.Name, b.Name), strings.Compare(a.Type, b.Type),
		slices.CompareFunc(a.Fields, b.Fields, compareFields),
		slices.CompareFunc(a.Objects, b.Objects, compareObjects),
	)
}
