package nomadish

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Warnings are what a user should know about a job that is accepted. None is nil.
type Warnings []string

// String lays the warnings out as the API's field Warnings has them; none is "".
func (w Warnings) String() string {
	switch len(w) {
	case 0:
		return ""
	case 1:
		return "1 warning:\n\n* " + w[0]
	}
	return fmt.Sprintf("%d warnings:\n\n* ", len(w)) + strings.Join(w, "\n* ")
}

// Warnings says what a user should know about an admitted job: what Nomad warns of, in its
// words, then options that task drivers don't know, as far as their schemas are known.
func (a Admission) Warnings(j *Job) Warnings {
	var w Warnings
	for i, g := range j.TaskGroups {
		inner := faults{path: fmt.Sprintf("TaskGroups[%d]", i)}
		g.warn(&inner)
		if len(inner.list) > 0 {
			w = append(w, strings.TrimRight(fmt.Sprintf("Group %q has warnings: ", Val(g.Name))+(&ValidationError{inner.list}).Error(), "\n"))
		}
	}
	w = append(w, j.warnings()...)
	for _, g := range j.TaskGroups {
		w = append(w, g.shutdownWarnings()...)
	}
	for g, t := range j.AllTasks() {
		if !a.MemoryOversubscription && t.Resources != nil && Val(t.Resources.MemoryMaxMB) != 0 {
			w = append(w, fmt.Sprintf("Memory oversubscription is not enabled; Task \"%s.%s\" memory_max value will be ignored. "+
				"Update the Scheduler Configuration to allow oversubscription.", Val(g.Name), t.Name))
		}
	}
	return append(w, a.driverWarnings(j)...)
}

// driverWarnings are about what a task's driver won't understand.
func (a Admission) driverWarnings(j *Job) (w Warnings) {
	for g, t := range j.AllTasks() {
		if a.Drivers == nil || t.injected() {
			continue
		}
		schema, ok := a.Drivers[t.Driver]
		if !ok {
			w = append(w, fmt.Sprintf("Task \"%s.%s\" driver %q is not known here", Val(g.Name), t.Name, t.Driver))
			continue
		}
		for _, m := range CheckConfig(schema, t.Config) {
			w = append(w, fmt.Sprintf("Task \"%s.%s\" driver %q: %s", Val(g.Name), t.Name, t.Driver, m))
		}
	}
	return w
}

// Warnings are those of a cluster that has nothing special switched on.
func (j *Job) Warnings() Warnings { return Admission{}.Warnings(j) }

// warnings are those about the job as a whole.
func (j *Job) warnings() (w Warnings) {
	promoted, updates := 0, 0
	for _, g := range j.TaskGroups {
		if g.Update != nil && Val(g.Update.Canary) > 0 {
			updates++
			if Val(g.Update.AutoPromote) {
				promoted++
			}
		}
	}
	if promoted > 0 && promoted < updates {
		w = append(w, "auto_promote must be true for all groups to enable automatic promotion")
	}
	if j.Periodic != nil && Val(j.Periodic.Spec) != "" {
		w = append(w, "cron is deprecated and may be removed in a future release. Use crons instead")
	}
	return w
}

// shutdownWarnings are about services that end before nobody calls them any more.
func (g *TaskGroup) shutdownWarnings() (w Warnings) {
	delayed := g.ShutdownDelay != nil
	for _, t := range g.Tasks {
		delayed = delayed || t.ShutdownDelay > 0
		if len(t.Services) > 0 && t.ShutdownDelay == 0 && g.ShutdownDelay == nil {
			w = append(w, fmt.Sprintf("task %q in group %q defines services, but has no shutdown_delay set", t.Name, Val(g.Name)))
		}
	}
	if len(g.Services) > 0 && !delayed {
		w = slices.Insert(w, 0, fmt.Sprintf("group %q defines services, but neither the group nor any of its tasks have shutdown_delay set", Val(g.Name)))
	}
	return w
}

func (g *TaskGroup) warn(f *faults) {
	if u := g.Update; u != nil && Val(g.Count) > 1 && Val(u.MaxParallel) > Val(g.Count) {
		f.add("Update.MaxParallel", "Update max parallel count is greater than task group count (%d > %d). "+
			"A destructive change would result in the simultaneous replacement of all allocations.", Val(u.MaxParallel), Val(g.Count))
	}
	f.check(g.MaxClientDisconnect != nil, "MaxClientDisconnect", "MaxClientDisconnect will be deprecated favor of Disconnect.LostAfter")
	f.check(g.StopAfterClientDisconnect != nil, "StopAfterClientDisconnect", "StopAfterClientDisconnect will be deprecated favor of Disconnect.StopOnClientAfter")
	f.check(Val(g.PreventRescheduleOnLost), "PreventRescheduleOnLost", "PreventRescheduleOnLost will be deprecated favor of Disconnect.Replace")
	for i, n := range g.Networks {
		f.check(Val(n.MBits) > 0, fmt.Sprintf("Networks[%d].MBits", i), "mbits has been deprecated as of Nomad 0.12.0. Please remove mbits from the network block")
		for _, p := range n.ReservedPorts {
			f.check(p.Value < 0, fmt.Sprintf("Networks[%d].ReservedPorts", i), "static port %d of %q can't be reserved anywhere", p.Value, p.Label)
		}
	}
	for i, t := range g.Tasks {
		inner := f.at("Tasks[%d]", i)
		t.warn(inner)
		if len(inner.list) > 0 {
			text := strings.TrimRight((&ValidationError{inner.list}).Error(), "\n")
			f.list = append(f.list, Fault{Path: inner.path, Message: fmt.Sprintf("Task %q has warnings: ", t.Name) + text})
		}
	}
}

func (t *Task) warn(f *faults) {
	if r := t.Resources; r != nil {
		f.check(Val(r.IOPS) > 0, "Resources.IOPS", "IOPS has been deprecated as of Nomad 0.9.0. Please remove IOPS block.")
		f.check(len(r.Networks) > 0, "Resources.Networks", "task network resources have been deprecated as of Nomad 0.12.0. Please configure networking via group network block.")
	}
	for i, id := range t.Identities {
		field := fmt.Sprintf("Identities[%d]", i)
		f.check(len(id.Audience) == 0, field+".Audience", "Identity %q: identities without an audience are insecure", id.Name)
		f.check(len(id.Audience) > 1, field+".Audience", "Identity %q: while multiple audiences is allowed, it is more secure to use 1 audience per identity", id.Name)
		f.check(id.TTL == 0, field+".TTL", "Identity %q: identities without an expiration are insecure", id.Name)
	}
	for i, tmpl := range t.Templates {
		f.check(Val(tmpl.VaultGrace) != 0, fmt.Sprintf("Templates[%d].VaultGrace", i),
			"VaultGrace has been deprecated as of Nomad 0.11 and ignored since Vault 0.5. Please remove VaultGrace / vault_grace from template block.")
	}
}

// WithoutEffect says which of the fields that a job sets have no effect. The table has a
// message per field, which is named by its path without indexes, such as
// "TaskGroups.Tasks.Artifacts". A block counts as set if it is there, another field unless it
// is zero. The warning names the field with its indexes.
func (j *Job) WithoutEffect(table map[string]string) Warnings {
	var w Warnings
	for _, path := range sortedKeys(table) {
		walkSet(reflect.ValueOf(j), "", strings.Split(path, "."), func(where string) {
			w = append(w, where+": "+table[path])
		})
	}
	return w
}

// walkSet calls found with the places below v where the field named by path is set.
func walkSet(v reflect.Value, where string, path []string, found func(where string)) {
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.IsNil():
		case len(path) == 0 && v.Elem().Kind() == reflect.Struct:
			found(where) // an empty block is there all the same
		default:
			walkSet(v.Elem(), where, path, found)
		}
	case reflect.Slice:
		if len(path) == 0 && v.Len() > 0 {
			found(where)
			return
		}
		for i := range v.Len() {
			walkSet(v.Index(i), fmt.Sprintf("%s[%d]", where, i), path, found)
		}
	case reflect.Struct:
		if len(path) == 0 {
			if !v.IsZero() {
				found(where)
			}
			return
		}
		if field := v.FieldByName(path[0]); field.IsValid() {
			walkSet(field, strings.TrimPrefix(where+"."+path[0], "."), path[1:], found)
		}
	default:
		if len(path) == 0 && !v.IsZero() {
			found(where)
		}
	}
}
