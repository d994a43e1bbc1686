package scheduler

import (
	"reflect"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Annotate writes into the diff of two versions of a job what the change does to allocations:
// what becomes of each group's, as Schedule has counted it, and what each changed task and
// count brings about. Either version may be nil.
func Annotate(diff *nomadish.JobDiff, old, next *nomadish.Job, updates map[string]*nomadish.DesiredUpdates) {
	for _, g := range diff.TaskGroups {
		g.Updates = updatesOf(updates[g.Name])
		for _, f := range g.Fields {
			if f.Name == "Count" {
				annotateCount(f)
			}
		}
		for _, t := range g.Tasks {
			annotateTask(t, g, taskOf(old, g.Name, t.Name), taskOf(next, g.Name, t.Name))
		}
	}
}

// updatesOf names what becomes of a group's allocations; nil: nothing.
func updatesOf(u *nomadish.DesiredUpdates) map[string]uint64 {
	if u == nil {
		return nil
	}
	all := map[string]uint64{}
	for name, n := range map[string]uint64{
		nomadish.DiffUpdateIgnore: u.Ignore, nomadish.DiffUpdateCreate: u.Place, nomadish.DiffUpdateMigrate: u.Migrate,
		nomadish.DiffUpdateDestroy: u.Stop, nomadish.DiffUpdateInPlace: u.InPlaceUpdate, nomadish.DiffUpdateCanary: u.Canary,
		nomadish.DiffUpdateReplacement: u.DestructiveUpdate, nomadish.DiffUpdatePreemptions: u.Preemptions,
	} {
		if n > 0 {
			all[name] = n
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func annotateCount(f *nomadish.FieldDiff) {
	old, _ := strconv.Atoi(f.Old) // no count at all is 0
	next, _ := strconv.Atoi(f.New)
	switch {
	case next > old:
		f.Annotations = append(f.Annotations, nomadish.DiffForcesCreate)
	case next < old:
		f.Annotations = append(f.Annotations, nomadish.DiffForcesDestroy)
	}
}

// annotateTask says what a changed task does to the allocations that run it. A task that comes
// or goes with its whole group needs none of them replaced.
func annotateTask(t *nomadish.TaskDiff, g *nomadish.TaskGroupDiff, old, next *nomadish.Task) {
	switch {
	case t.Type == nomadish.DiffNone:
		return
	case g.Type == nomadish.DiffAdded:
		t.Annotations = append(t.Annotations, nomadish.DiffForcesCreate)
	case g.Type == nomadish.DiffDeleted:
		t.Annotations = append(t.Annotations, nomadish.DiffForcesDestroy)
	case old == nil || next == nil || taskNeedsReplacement(old, next):
		t.Annotations = append(t.Annotations, nomadish.DiffForcesReplacement)
	default:
		t.Annotations = append(t.Annotations, nomadish.DiffForcesInPlaceUpdate)
	}
}

// taskNeedsReplacement is needsReplacement for what one task says itself.
func taskNeedsReplacement(old, next *nomadish.Task) bool {
	return !reflect.DeepEqual(taskEssence(old), taskEssence(next))
}

func taskOf(job *nomadish.Job, group, task string) *nomadish.Task {
	if job == nil {
		return nil
	}
	if g := job.TaskGroup(group); g != nil {
		return g.Task(task)
	}
	return nil
}
