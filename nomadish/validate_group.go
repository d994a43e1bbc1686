package nomadish

import (
	"fmt"
	"slices"
)

func (g *TaskGroup) validate(j *Job, f *faults) {
	f.check(Val(g.Name) == "", "Name", "Missing task group name")
	f.check(hasNUL(Val(g.Name)), "Name", "Task group name contains null character")
	f.check(Val(g.Count) < 0, "Count", "Task group count can't be negative")
	f.check(len(g.Tasks) == 0, "Tasks", "Missing tasks for task group")
	validateMeta(f, g.Meta)
	g.validateDisconnect(f)
	validateConstraints(f, g.Constraints)
	j.validatePlacement(f, "", g.Affinities, g.Spreads)
	g.validatePolicies(j, f)
	g.validateTaskNames(f)

	inner := f.at("Networks")
	g.validateNetworks(inner)
	f.under(inner, "Task group network validation failed: ")
	for _, name := range sortedKeys(g.Volumes) {
		inner := f.at("Volumes.%s", name)
		g.Volumes[name].validate(j, g, inner)
		f.under(inner, "Task group volume validation for %s failed: ", name)
	}
	inner = f.at("Services")
	g.validateServices(inner)
	f.under(inner, "Task group service validation failed: ")
	if g.Scaling != nil {
		inner := f.at("Scaling")
		g.Scaling.validate(Val(g.Count), inner)
		f.under(inner, "Task group scaling policy validation failed: ")
	}
	for i, t := range g.Tasks {
		inner := f.at("Tasks[%d]", i)
		t.validate(j, g, inner)
		f.under(inner, "Task %s validation failed: ", t.Name)
	}
}

func (g *TaskGroup) validateDisconnect(f *faults) {
	f.check(g.MaxClientDisconnect != nil && g.StopAfterClientDisconnect != nil, "MaxClientDisconnect",
		"Task group cannot be configured with both max_client_disconnect and stop_after_client_disconnect")
	f.check(Val(g.MaxClientDisconnect) < 0, "MaxClientDisconnect", "max_client_disconnect cannot be negative")
	d := g.Disconnect
	if d == nil {
		return
	}
	f.check(g.MaxClientDisconnect != nil, "Disconnect", "using both lost_after and max_client_disconnect is not allowed")
	f.check(g.StopAfterClientDisconnect != nil, "Disconnect", "using both stop_on_client_after and stop_after_client_disconnect is not allowed")
	f.check(d.LostAfter != nil && d.StopOnClientAfter != nil, "Disconnect", "using both lost_after and stop_on_client_after is not allowed")
	f.check(Val(d.LostAfter) < 0, "Disconnect.LostAfter", "lost_after cannot be a negative duration")
	f.check(Val(d.StopOnClientAfter) < 0, "Disconnect.StopOnClientAfter", "stop_on_client_after cannot be a negative duration")
	switch Val(d.Reconcile) {
	case "", ReconcileBestScore, ReconcileKeepOriginal, ReconcileKeepReplacement, ReconcileLongestRunning:
	default:
		f.add("Disconnect.Reconcile", "Invalid reconcile strategy %q", *d.Reconcile)
	}
}

// validatePolicies checks what is to be done when the group's allocations fail or change.
func (g *TaskGroup) validatePolicies(j *Job, f *faults) {
	if g.RestartPolicy == nil {
		f.add("RestartPolicy", "Task Group %v should have a restart policy", Val(g.Name))
	} else {
		f.part("RestartPolicy", g.RestartPolicy.validate)
	}
	jobType := Val(j.Type)
	switch {
	case jobType != JobTypeService && jobType != JobTypeBatch:
		f.check(j.onEveryNode() && g.ReschedulePolicy != nil, "ReschedulePolicy", "System or sysbatch jobs should not have a reschedule policy")
	case g.ReschedulePolicy == nil:
		f.add("ReschedulePolicy", "Task Group %v should have a reschedule policy", Val(g.Name))
	default:
		f.part("ReschedulePolicy", g.ReschedulePolicy.validate)
	}
	if g.EphemeralDisk == nil {
		f.add("EphemeralDisk", "Task Group %v should have an ephemeral disk object", Val(g.Name))
	} else {
		size := Val(g.EphemeralDisk.SizeMB)
		f.check(size < 10, "EphemeralDisk.SizeMB", "minimum DiskMB value is 10; got %d", size)
	}
	if g.Update != nil {
		batch := jobType == JobTypeBatch || jobType == JobTypeSysBatch
		f.check(batch && !g.Update.empty(), "Update", "Job type %q does not allow update block", jobType)
		if !batch {
			f.part("Update", g.Update.validate)
		}
	}
	if g.Migrate != nil {
		f.check(jobType != JobTypeService, "Migrate", "Job type %q does not allow migrate block", jobType)
		if jobType == JobTypeService {
			f.part("Migrate", g.Migrate.validate)
		}
	}
}

// validateTaskNames checks what holds for the group's tasks together.
func (g *TaskGroup) validateTaskNames(f *faults) {
	seen := map[string]int{}
	leaders, main, added := 0, false, 0
	for i, t := range g.Tasks {
		field := fmt.Sprintf("Tasks[%d].Name", i)
		if first, ok := seen[t.Name]; t.Name == "" {
			f.add(field, "Task %d missing name", i+1)
		} else if ok {
			f.add(field, "Task %d redefines '%s' from task %d", i+1, t.Name, first)
		} else {
			seen[t.Name] = i + 1
		}
		if t.Leader {
			leaders++
		}
		if t.injected() {
			added++
		}
		main = main || t.Lifecycle == nil
	}
	f.check(leaders > 1, "Tasks", "Only one task may be marked as leader")
	f.check(!main && len(g.Tasks) > 0, "Tasks", "Task group %v must have at least one main task", Val(g.Name))
	f.check(len(g.Tasks)-added > MaxGroupTasks, "Tasks", "Task group has %d tasks, more than the limit of %d", len(g.Tasks)-added, MaxGroupTasks)
}

const maxPort = 65_535

func (g *TaskGroup) validateNetworks(f *faults) {
	ports := portUse{labels: map[string]string{}, static: map[hostPort]string{}}
	for i, n := range g.Networks {
		f.part(fmt.Sprintf("[%d]", i), func(f *faults) { ports.add(f, n, "taskgroup network") })
	}
	for _, t := range g.Tasks {
		if t.Resources == nil {
			continue
		}
		for _, n := range t.Resources.Networks {
			ports.add(f, n, fmt.Sprintf("task %s network", t.Name))
		}
	}
}

// hostPort is a port of a host network.
type hostPort struct {
	network string
	port    int
}

// portUse says which networks of a group use which labels and static ports.
type portUse struct {
	labels map[string]string
	static map[hostPort]string
}

// add checks the ports of a network against those of the networks before.
func (u portUse) add(f *faults, n *NetworkResource, owner string) {
	for _, p := range slices.Concat(n.ReservedPorts, n.DynamicPorts) {
		f.check(p.Label == "", "", "Port must have a label")
		if user, ok := u.labels[p.Label]; ok {
			f.add("", "Port label %s already in use by %s", p.Label, user)
		}
		u.labels[p.Label] = owner
		f.check(p.To > maxPort, "", "Port %q cannot be mapped to a port (%d) greater than %d", p.Label, p.To, maxPort)
	}
	for _, p := range n.ReservedPorts {
		f.check(p.Value > maxPort, "", "Port %s (%d) cannot be greater than %d", p.Label, p.Value, maxPort)
		if p.IgnoreCollision {
			continue
		}
		key := hostPort{p.HostNetwork, p.Value}
		if user, ok := u.static[key]; ok {
			f.add("", "Static port %d already reserved by %s", p.Value, user)
		}
		u.static[key] = fmt.Sprintf("%s:%s", owner, p.Label)
	}
}

func (v *VolumeRequest) validate(j *Job, g *TaskGroup, f *faults) {
	f.check(v.Source == "", "Source", "volume has an empty source")
	if v.PerAlloc {
		f.check(j.onEveryNode(), "PerAlloc", "volume cannot be per_alloc for system or sysbatch jobs")
		f.check(g.Update != nil && Val(g.Update.Canary) > 0, "PerAlloc", "volume cannot be per_alloc when canaries are in use")
		f.check(v.Sticky, "Sticky", "sticky volumes cannot be per_alloc")
	}
	switch v.Type {
	case "csi":
		f.check(v.AttachmentMode == "", "AttachmentMode", "CSI volumes must have an attachment mode")
		f.check(v.AccessMode == "", "AccessMode", "CSI volumes must have an access mode")
	case "host":
		f.check(v.MountOptions != nil, "MountOptions", "host volumes cannot have mount options")
	}
}

func (s *ScalingPolicy) validate(count int, f *faults) {
	if s.Max == nil {
		f.add("Max", "maximum count must be specified for horizontal scaling policy")
		return
	}
	low, high := Val(s.Min), Val(s.Max)
	f.check(s.Type != ScalingTypeHorizontal, "Type", "Type %q is not allowed for the scaling policy of a task group", s.Type)
	f.check(low < 0, "Min", "minimum count must be non-negative")
	f.check(high < 0, "Max", "maximum count must be non-negative")
	f.check(high >= 0 && high < low, "Max", "maximum count must not be less than minimum count")
	f.check(int64(count) < low, "Min", "task group count must not be less than minimum count in scaling policy")
	f.check(high >= 0 && int64(count) > high, "Max", "task group count must not be greater than maximum count in scaling policy")
}
