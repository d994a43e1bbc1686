package scheduler

import (
	"maps"
	"reflect"

	"github.com/nomadish/nomadish/nomadish"
)

// needsReplacement says that an allocation of the old version of a group can't become one of
// the new version while it runs. It compares everything but what is known to take effect in
// a running allocation, so that a field added later is replaced for, not ignored.
func needsReplacement(oldJob *nomadish.Job, old *nomadish.TaskGroup, newJob *nomadish.Job, next *nomadish.TaskGroup) bool {
	return !reflect.DeepEqual(essence(oldJob, old), essence(newJob, next))
}

// essence copies a group without what can change in place.
func essence(job *nomadish.Job, tg *nomadish.TaskGroup) *nomadish.TaskGroup {
	g := *tg
	g.Count, g.Constraints, g.RestartPolicy, g.ReschedulePolicy = nil, nil, nil, nil
	g.Update, g.Migrate, g.Scaling, g.Disconnect, g.ShutdownDelay = nil, nil, nil, nil, nil
	g.StopAfterClientDisconnect, g.MaxClientDisconnect, g.PreventRescheduleOnLost = nil, nil, nil
	g.Services = connects(tg.Services)
	g.Meta = nil
	// Affinities and spreads say where to run, so an allocation moves when they change.
	g.Affinities = append(append([]*nomadish.Affinity{}, job.Affinities...), tg.Affinities...)
	g.Spreads = append(append([]*nomadish.Spread{}, job.Spreads...), tg.Spreads...)
	g.Tasks = make([]*nomadish.Task, len(tg.Tasks))
	for i, task := range tg.Tasks {
		t := taskEssence(task)
		t.Meta = map[string]string{}
		maps.Copy(t.Meta, job.Meta)
		maps.Copy(t.Meta, tg.Meta)
		maps.Copy(t.Meta, task.Meta)
		g.Tasks[i] = t
	}
	return &g
}

// taskEssence copies a task without what can change in place.
func taskEssence(task *nomadish.Task) *nomadish.Task {
	t := *task
	t.Constraints, t.RestartPolicy, t.KillTimeout, t.ScalingPolicies, t.Actions = nil, nil, nil, nil, nil
	t.KillSignal, t.ShutdownDelay = "", 0
	t.Services = connects(task.Services)
	return &t
}

// connects keeps of services what shapes an allocation's network.
func connects(services []*nomadish.Service) []*nomadish.Service {
	var kept []*nomadish.Service
	for _, s := range services {
		if s != nil && s.Connect != nil {
			kept = append(kept, &nomadish.Service{Name: s.Name, Connect: s.Connect})
		}
	}
	return kept
}

// group returns a job's group by name, or nil.
func group(job *nomadish.Job, name string) *nomadish.TaskGroup {
	for _, tg := range job.TaskGroups {
		if nomadish.Val(tg.Name) == name {
			return tg
		}
	}
	return nil
}
