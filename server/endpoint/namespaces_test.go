package endpoint_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/fsm"
)

// namespace stores a namespace.
func (w *world) namespace(ctx context.Context, ns *nomadish.Namespace) {
	w.t.Helper()
	if _, err := w.UpsertNamespace(ctx, ns); err != nil {
		w.t.Fatal(err)
	}
}

// A namespace goes when nothing lives in it, and not before.
func TestDeleteNamespace(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	if err := w.keyring.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	refused := func(step, why string) {
		t.Helper()
		if _, err := w.DeleteNamespace(ctx, "shop"); err == nil || nomadish.KindOf(err) != nomadish.KindInvalid || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: error %v, want one that says %q", step, err, why)
		}
	}
	w.namespace(ctx, &nomadish.Namespace{Name: "shop"})
	w.node(1)
	job := newJob("web")
	job.Namespace = nomadish.Ptr("shop")
	w.register(job)
	refused("with a job", "has non-terminal jobs")
	a := &nomadish.Allocation{
		ID: nomadish.NewID(), Namespace: "shop", JobID: "web", NodeID: nodeID(1), TaskGroup: "g", Name: "web.g[0]",
		EvalID: nomadish.NewID(), DesiredStatus: nomadish.AllocDesiredRun, AllocatedResources: &nomadish.AllocatedResources{},
	}
	w.apply(fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: a.EvalID, Placed: []*nomadish.Allocation{a}}))
	w.say(1, nomadish.AllocClientRunning, a.ID)
	w.apply(&fsm.DeregisterJob{Namespace: "shop", JobID: "web", Purge: true, SubmitTime: epoch.UnixNano()})
	refused("with an allocation that runs", "has non-terminal allocations")
	w.say(1, nomadish.AllocClientComplete, a.ID)
	if _, err := w.DeleteNamespace(ctx, "shop"); err != nil {
		t.Error(err)
	}
	_, err := w.DeleteNamespace(ctx, "shop")
	wantKind(t, err, nomadish.KindNotFound, "Namespace not found")
	_, err = w.DeleteNamespace(ctx, "default")
	wantKind(t, err, nomadish.KindInvalid, "can not delete default namespace")
	_, err = w.DeleteNamespace(t.Context(), "default")
	wantKind(t, err, nomadish.KindDenied, "Permission denied")
}

// The rules of a namespace hold for its jobs; what breaks them is named by its field.
func TestNamespaceRules(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	for _, pool := range []string{"fast", "slow"} {
		w.apply(&fsm.RegisterNode{Node: &nomadish.Node{ID: nomadish.NewID(), SecretID: "s", NodePool: pool}})
	}
	w.namespace(ctx, &nomadish.Namespace{
		Name: "shop",
		Capabilities: &nomadish.NamespaceCapabilities{
			EnabledTaskDrivers: []string{"mock", "docker"}, DisabledTaskDrivers: []string{"docker"}, DisabledNetworkModes: []string{"host"},
		},
		NodePoolConfiguration: &nomadish.NamespaceNodePools{Default: "fast", Denied: []string{"slo*"}},
	})
	for _, tt := range []struct {
		name   string
		change func(j *nomadish.Job)
		path   string // of the fault; empty: the job is taken
	}{
		{"what is allowed", func(*nomadish.Job) {}, ""},
		{"driver that is not enabled", func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].Driver = "raw_exec" }, "TaskGroups[0].Tasks[0].Driver"},
		{"driver that is disabled", func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].Driver = "docker" }, "TaskGroups[0].Tasks[0].Driver"},
		{"network mode that is enabled", func(j *nomadish.Job) { j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge"}} }, ""},
		{"network mode that is disabled", func(j *nomadish.Job) { j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "host"}} }, "TaskGroups[0].Networks[0].Mode"},
		{"the same without a word", func(j *nomadish.Job) { j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{}} }, "TaskGroups[0].Networks[0].Mode"},
		{"node pool that is not denied", func(j *nomadish.Job) { j.NodePool = nomadish.Ptr("default") }, ""},
		{"node pool that is denied", func(j *nomadish.Job) { j.NodePool = nomadish.Ptr("slow") }, "NodePool"},
	} {
		job := newJob("web")
		job.Namespace = nomadish.Ptr("shop")
		tt.change(job)
		_, _, err := w.RegisterJob(ctx, &nomadish.JobRegisterRequest{Job: job})
		var got string
		if fault, ok := err.(*nomadish.ValidationError); ok { //nolint:errorlint // it is the outermost
			for leaf := range fault.Leaves() {
				got = leaf.Path
			}
		} else if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got != tt.path {
			t.Errorf("%s: fault at %q, want %q", tt.name, got, tt.path)
		}
	}
	job := newJob("plain")
	job.Namespace = nomadish.Ptr("shop")
	w.register(job)
	if stored, err := w.read().Job(nil, "shop", "plain"); err != nil || nomadish.Val(stored.NodePool) != "fast" {
		t.Errorf("node pool of a job that names none: %v, %v", nomadish.Val(stored.NodePool), err)
	}
	// A version of before the rules is not let in again.
	old := newJob("plain")
	old.Namespace, old.Priority = nomadish.Ptr("shop"), nomadish.Ptr(70)
	w.register(old)
	w.namespace(ctx, &nomadish.Namespace{Name: "shop", Capabilities: &nomadish.NamespaceCapabilities{DisabledTaskDrivers: []string{"mock"}}})
	_, _, err := w.RevertJob(ctx, &nomadish.JobRevertRequest{JobID: "plain", JobVersion: 0, WriteRequest: nomadish.WriteRequest{Namespace: "shop"}})
	if err == nil || !strings.Contains(err.Error(), `uses driver "mock"`) {
		t.Errorf("revert: %v", err)
	}
}

// What no namespace can be.
func TestNamespacesAreChecked(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	for want, ns := range map[string]*nomadish.Namespace{
		"Must match regex":                  {Name: "a b"},
		"description longer than 256":       {Name: "a", Description: strings.Repeat("x", 257)},
		`specification "none" of namespace`: {Name: "a", Quota: "none"},
		"exclude each other":                {Name: "a", NodePoolConfiguration: &nomadish.NamespaceNodePools{Allowed: []string{"x"}, Denied: []string{"y"}}},
		"is denied":                         {Name: "a", NodePoolConfiguration: &nomadish.NamespaceNodePools{Denied: []string{"def*"}}},
		"does not exist":                    {Name: "a", NodePoolConfiguration: &nomadish.NamespaceNodePools{Default: "none"}},
		"can't be the default":              {Name: "a", NodePoolConfiguration: &nomadish.NamespaceNodePools{Default: "all"}},
		"invalid node pool":                 {Name: "a", NodePoolConfiguration: &nomadish.NamespaceNodePools{Denied: []string{"[a-z]"}}},
	} {
		_, err := w.UpsertNamespace(ctx, ns)
		if err == nil || nomadish.KindOf(err) != nomadish.KindInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// A quota shows what the namespaces use that have it, to who may read quotas or is at home in
// one of them, and stays as long as one has it.
func TestQuotas(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	ctx := actingAs(t, nomadish.CallerManagement, "")
	spec := &nomadish.QuotaSpec{Name: "small", Limits: []*nomadish.QuotaLimit{
		{Region: "global", RegionLimit: &nomadish.QuotaResources{CPU: nomadish.Ptr(1000), MemoryMB: nomadish.Ptr(512)}},
		{Region: "other", RegionLimit: &nomadish.QuotaResources{CPU: nomadish.Ptr(1)}},
	}}
	if _, err := w.UpsertQuota(ctx, spec); err != nil {
		t.Fatal(err)
	}
	w.namespace(ctx, &nomadish.Namespace{Name: "default", Quota: "small"})
	w.node(1)
	w.register(newJob("web"))
	for range 2 {
		a := &nomadish.Allocation{
			ID: nomadish.NewID(), Namespace: "default", JobID: "web", NodeID: nodeID(1), TaskGroup: "g", Name: "web.g[0]",
			EvalID: nomadish.NewID(), DesiredStatus: nomadish.AllocDesiredRun,
			AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{
				"t": {Cpu: nomadish.AllocatedCpuResources{CpuShares: 100}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: 64}},
			}},
		}
		w.apply(fsm.NewApplyPlan(1, fsm.PlannedPart{EvalID: a.EvalID, Placed: []*nomadish.Allocation{a}}))
	}
	usage, _, err := w.QuotaUsage(ctx, nil, "small")
	if err != nil {
		t.Fatal(err)
	}
	var got []*nomadish.QuotaResources
	for _, l := range usage.Used {
		got = append(got, l.RegionLimit)
	}
	want := []*nomadish.QuotaResources{{CPU: nomadish.Ptr(200), Cores: nomadish.Ptr(0), MemoryMB: nomadish.Ptr(128), MemoryMaxMB: nomadish.Ptr(128)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("used (-want +got):\n%s", diff)
	}
	_, err = w.DeleteQuota(ctx, "small")
	wantKind(t, err, nomadish.KindInvalid, `quota "small" is attached to namespace "default"`)
	stranger := actingAs(t, nomadish.CallerToken, "")
	_, _, err = w.Quota(stranger, nil, "small")
	wantKind(t, err, nomadish.KindDenied, "Permission denied")
	_, err = w.UpsertQuota(stranger, spec)
	wantKind(t, err, nomadish.KindDenied, "Permission denied")
	for want, bad := range map[string]*nomadish.QuotaSpec{
		"invalid quota name":      {Limits: spec.Limits},
		"0 limits":                {Name: "a"},
		"region is missing":       {Name: "a", Limits: []*nomadish.QuotaLimit{{RegionLimit: &nomadish.QuotaResources{}}}},
		"region limit is missing": {Name: "a", Limits: []*nomadish.QuotaLimit{{Region: "global"}}},
		"has a limit already":     {Name: "a", Limits: []*nomadish.QuotaLimit{spec.Limits[0], spec.Limits[0]}},
		"exclude each other": {Name: "a", Limits: []*nomadish.QuotaLimit{
			{Region: "global", RegionLimit: &nomadish.QuotaResources{CPU: nomadish.Ptr(1), Cores: nomadish.Ptr(1)}},
		}},
	} {
		if _, err := w.UpsertQuota(ctx, bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
