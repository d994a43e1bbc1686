package nomadish

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// States of a job.
const (
	JobStatusPending = "pending" // nothing runs yet
	JobStatusRunning = "running"
	JobStatusDead    = "dead"
)

// IdentityAudience is the audience of a task's default identity.
const IdentityAudience = "nomadproject.io"

// DefaultIdentity is the name of the identity that every task has.
const DefaultIdentity = "default"

// Admit adds to a submitted job what the server adds before it stores it. It normalizes
// first, and admitting twice changes nothing more. What is added:
//
//   - the node pool "default", any datacenter ("*"), and zeros for what else is left out,
//     so that nil means nothing asked for (no time limit, no user id);
//   - per task the default workload identity, and the task's name in its services and checks;
//   - names of services: ${JOB}, ${TASKGROUP}, ${TASK} and ${BASE} (all three with hyphens);
//   - constraints that are implied by what a group uses: a node that knows the signals it
//     sends, Consul, Vault, the built-in services, CNI plugins for a bridge network (the user's
//     own constraint on the same attribute wins, but for signals);
//   - for Consul's service mesh: proxy and gateway tasks, their ports, and the paths that
//     checks expose through the proxy;
//   - targets and ids of scaling policies.
//
// What groups have inherited from the job (reschedule, migrate, most of update) is dropped
// from the job itself. Empty lists and maps become nil.
func (j *Job) Admit() {
	j.Normalize()
	j.admitFields()
	for _, g := range j.TaskGroups {
		g.admit(j)
	}
	for _, g := range j.TaskGroups {
		g.injectMesh(j)
		g.imply(j)
	}
	dropEmpty(reflect.ValueOf(j).Elem())
	if j.Periodic != nil && j.Periodic.Specs == nil {
		j.Periodic.Specs = []string{}
	}
}

func (j *Job) admitFields() {
	orDefault(j.NodePool, NodePoolDefault)
	orDefault(j.Namespace, DefaultNamespace)
	orDefault(j.Region, DefaultRegion)
	if len(j.Datacenters) == 0 {
		j.Datacenters = []string{"*"}
	}
	fill(&j.DispatchIdempotencyToken, "")
	if *j.Status == "" {
		*j.Status = JobStatusPending
		if j.Periodic != nil || j.ParameterizedJob != nil {
			*j.Status = JobStatusRunning
		}
	}
	fill(&j.Update, UpdateStrategy{})
	j.Update = &UpdateStrategy{
		Stagger:          Ptr(Val(j.Update.Stagger)),
		MaxParallel:      Ptr(Val(j.Update.MaxParallel)),
		HealthCheck:      new(string),
		MinHealthyTime:   new(time.Duration),
		HealthyDeadline:  new(time.Duration),
		ProgressDeadline: new(time.Duration),
		Canary:           new(int),
		AutoRevert:       new(bool),
		AutoPromote:      new(bool),
	}
	j.Reschedule, j.Migrate = nil, nil
	if j.ParameterizedJob != nil {
		orDefault(&j.ParameterizedJob.Payload, PayloadOptional)
	}
	if j.Multiregion != nil {
		for _, r := range j.Multiregion.Regions {
			orDefault(&r.NodePool, *j.NodePool)
		}
	}
}

func (g *TaskGroup) admit(j *Job) {
	fill(&g.PreventRescheduleOnLost, false)
	admitNetworks(g.Networks)
	if g.Scaling != nil {
		g.Scaling.admit(j, g, nil)
	}
	for _, s := range g.Services {
		s.admit(j, g, nil)
	}
	for _, t := range g.Tasks {
		t.admit(j, g)
	}
}

func (t *Task) admit(j *Job, g *TaskGroup) {
	fill(&t.Resources.MemoryMaxMB, 0)
	fill(&t.Resources.DiskMB, 0)
	fill(&t.Resources.SecretsMB, 0)
	fill(&t.Resources.IOPS, 0)
	admitNetworks(t.Resources.Networks)
	t.LogConfig.Enabled = nil
	t.admitIdentities()
	for _, s := range t.ScalingPolicies {
		s.admit(j, g, t)
	}
	for _, s := range t.Services {
		s.admit(j, g, t)
	}
}

// admitIdentities gives the task its default identity.
func (t *Task) admitIdentities() {
	others := t.Identities[:0:0]
	for _, id := range t.Identities {
		if t.Identity == nil && (id.Name == "" || id.Name == DefaultIdentity) {
			t.Identity = id
			continue
		}
		others = append(others, id)
	}
	t.Identities = others
	fill(&t.Identity, WorkloadIdentity{})
	orDefault(&t.Identity.Name, DefaultIdentity)
	if len(t.Identity.Audience) == 0 {
		t.Identity.Audience = []string{IdentityAudience}
	}
	t.Identity.ChangeSignal = strings.ToUpper(t.Identity.ChangeSignal)
	for _, id := range t.Identities {
		id.ChangeSignal = strings.ToUpper(id.ChangeSignal)
	}
}

func (s *Service) admit(j *Job, g *TaskGroup, t *Task) {
	task := "group" // what ${TASK} is in a group's service
	if t != nil {
		task = t.Name
		s.TaskName = t.Name
	}
	base := *j.Name + "-" + *g.Name + "-" + task
	for _, v := range []struct{ name, value string }{{"${JOB}", *j.Name}, {"${TASKGROUP}", *g.Name}, {"${TASK}", task}, {"${BASE}", base}} {
		if !strings.Contains(v.value, "${") { // else the next admission would fill that in
			s.Name = strings.ReplaceAll(s.Name, v.name, v.value)
		}
	}
	orDefault(&s.Name, base)
	s.Namespace = *j.Namespace
	if s.Provider == ProviderConsul {
		s.Namespace = DefaultNamespace
		if g.Consul != nil {
			orDefault(&g.Consul.Cluster, DefaultCluster)
			s.Namespace = g.Consul.Namespace
			orDefault(&s.Namespace, DefaultNamespace)
			if s.Cluster == DefaultCluster {
				s.Cluster = g.Consul.Cluster
			}
		}
	}
	s.CheckRestart = nil // each check has it
	for i := range s.Checks {
		c := &s.Checks[i]
		orDefault(&c.Name, fmt.Sprintf("service: %q check", s.Name))
		if t != nil {
			orDefault(&c.TaskName, t.Name)
		}
	}
	if s.Connect != nil && s.Connect.SidecarService != nil && s.Connect.SidecarService.Proxy != nil {
		for _, u := range s.Connect.SidecarService.Proxy.Upstreams {
			fill(&u.MeshGateway, ConsulMeshGateway{})
		}
	}
}

func (s *ScalingPolicy) admit(j *Job, g *TaskGroup, t *Task) {
	fill(&s.Enabled, true)
	fill(&s.Min, 0)
	s.Namespace = ""
	s.Target = map[string]string{"Namespace": *j.Namespace, "Job": *j.ID, "Group": *g.Name}
	if t != nil {
		fill(&s.Max, -1)
		s.Target["Task"] = t.Name
		return
	}
	orDefault(&s.Type, ScalingTypeHorizontal)
	s.ID = scalingPolicyID(*j.Namespace, *j.ID, *g.Name)
}

// scalingPolicyID makes the id of a group's policy of the group's name, so that a new
// version of the job keeps it.
func scalingPolicyID(namespace, job, group string) string {
	sum := sha256.Sum256([]byte(namespace + "\x00" + job + "\x00" + group))
	id := [16]byte(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8 of RFC 9562: as the application likes
	id[8] = id[8]&0x3f | 0x80
	return FormatID(id)
}

func admitNetworks(networks []*NetworkResource) {
	for _, n := range networks {
		for i := range n.DynamicPorts {
			orDefault(&n.DynamicPorts[i].HostNetwork, HostNetworkDefault)
		}
		for i := range n.ReservedPorts {
			orDefault(&n.ReservedPorts[i].HostNetwork, HostNetworkDefault)
		}
	}
}

// dropEmpty makes nil of every empty list and map in v, but not inside free maps.
func dropEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			dropEmpty(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			dropEmpty(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		for i := range v.Len() {
			dropEmpty(v.Index(i))
		}
	case reflect.Map:
		if v.Len() == 0 {
			v.SetZero()
			return
		}
		if v.Type().Elem().Kind() == reflect.Pointer {
			for it := v.MapRange(); it.Next(); {
				dropEmpty(it.Value())
			}
		}
	}
}
