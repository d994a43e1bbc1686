package scheduler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

func TestConstraints(t *testing.T) {
	n := testNode(1)
	n.Meta = map[string]string{"tags": "a, b,c", "n": "10", "empty": ""}
	n.NodeClass = "big"
	n.Attributes["os.version"] = "1.7.0-beta"
	for _, tt := range []struct {
		left, op, right string
		want            bool
	}{
		{"${attr.kernel.name}", "=", "linux", true},
		{"${attr.kernel.name}", "==", "darwin", false},
		{"${attr.kernel.name}", "is", "linux", true},
		{"linux", "=", "${attr.kernel.name}", true},
		{"${attr.missing}", "=", "linux", false},
		{"${attr.missing}", "!=", "linux", true},
		{"${attr.kernel.name}", "not", "linux", false},
		{"${node.unique.name}", "=", "n1", true},
		{"${node.datacenter}", "=", "dc1", true},
		{"${node.class}", "=", "big", true},
		{"${node.pool}", "=", "default", true},
		{"${node.unique.id}", "=", n.ID, true},
		{"${nonsense}", "=", "", false},
		{"${meta.n}", ">", "9", true},
		{"${meta.n}", "<=", "10", true},
		{"${attr.kernel.name}", "<", "m", true},
		{"${attr.kernel.name}", "regexp", "^lin", true},
		{"${attr.kernel.name}", "regexp", "(", false},
		{"${attr.os.version}", "version", ">= 1.6", false},
		{"${attr.os.version}", "semver", ">= 1.6.0", true},
		{"${attr.os.version}", "semver", ">= 1.6.0, < 1.7.0", true},
		{"${attr.os.version}", "semver", "~> 1.6.0", false},
		{"1.9.3", "semver", "~> 1.6", true},
		{"1.4.2", "version", "~> 1.4", true},
		{"x", "version", ">= 1", false},
		{"${meta.tags}", "set_contains", "a,c", true},
		{"${meta.tags}", "set_contains_all", "a,d", false},
		{"${meta.tags}", "set_contains_any", "d,b", true},
		{"${meta.tags}", "set_contains_any", "d", false},
		{"${meta.empty}", "is_set", "", true},
		{"${meta.absent}", "is_set", "", false},
		{"${meta.absent}", "is_not_set", "", true},
		{"${meta.n}", "unknown", "10", false},
	} {
		c := compile(&nomadish.Constraint{LTarget: tt.left, Operand: tt.op, RTarget: tt.right})
		if got := c.holds(n); got != tt.want {
			t.Errorf("%s: %v, want %v", c.text, got, tt.want)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "dc1", true},
		{"dc1", "dc1", true},
		{"dc1", "dc12", false},
		{"dc*", "dc12", true},
		{"*2", "dc12", true},
		{"us-*-1", "us-west-1", true},
		{"us-*-1", "us-1", false},
		{"a*a", "a", false},
		{"*b*b*", "abba", true},
		{"*b*b*", "aba", false},
	} {
		if got := glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

// Every node that is not used is counted under the reason why.
func TestRejectedNodesAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(j *nomadish.Job, n []*nomadish.Node)
		want  nomadish.AllocationMetric
	}{
		{name: "constraint", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.Constraints[0].RTarget = "windows"
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesFiltered: 3, NodesInPool: 3,
			NodesAvailable: map[string]int{"dc1": 3}, ConstraintFiltered: map[string]int{"${attr.kernel.name} = windows": 3},
		}},
		{name: "driver", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			for _, n := range n {
				n.Drivers["docker"].Healthy = false
			}
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesFiltered: 3, NodesInPool: 3,
			NodesAvailable: map[string]int{"dc1": 3}, ConstraintFiltered: map[string]int{"missing drivers": 3},
		}},
		{name: "memory and cpu", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.TaskGroups[0].Tasks[0].Resources.MemoryMB = nomadish.Ptr(6000)
			for _, n := range n[:2] {
				n.NodeResources.Memory.MemoryMB, n.NodeClass = 1000, "small"
			}
			n[2].NodeResources.Cpu.CpuShares = 50
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesInPool: 3, NodesExhausted: 3,
			NodesAvailable: map[string]int{"dc1": 3}, DimensionExhausted: map[string]int{"memory": 2, "cpu": 1}, ClassExhausted: map[string]int{"small": 2},
		}},
		{name: "datacenter", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.Datacenters = []string{"eu*"}
		}, want: nomadish.AllocationMetric{NodesInPool: 3}},
		{name: "static port", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{ReservedPorts: []nomadish.Port{{Label: "http", Value: 22}}}}
			for _, n := range n {
				n.ReservedResources = &nomadish.NodeReservedResources{Networks: nomadish.NodeReservedNetworkResources{ReservedHostPorts: "20-25"}}
			}
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesInPool: 3, NodesExhausted: 3, NodesAvailable: map[string]int{"dc1": 3},
			DimensionExhausted: map[string]int{"network: reserved port collision http=22": 3},
		}},
		{name: "host volume", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.TaskGroups[0].Volumes = map[string]*nomadish.VolumeRequest{"data": {Name: "data", Type: "host", Source: "data"}}
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesFiltered: 3, NodesInPool: 3, NodesAvailable: map[string]int{"dc1": 3},
			ConstraintFiltered: map[string]int{"missing compatible host volumes": 3},
		}},
		{name: "network mode", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{Mode: "bridge"}}
			j.Constraints = append(j.Constraints, &nomadish.Constraint{LTarget: "${attr.plugins.cni.version.bridge}", Operand: "semver", RTarget: ">= 0.4.0"})
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesFiltered: 3, NodesInPool: 3, NodesAvailable: map[string]int{"dc1": 3},
			ConstraintFiltered: map[string]int{`missing network "bridge"`: 3},
		}},
		{name: "host network", setup: func(j *nomadish.Job, n []*nomadish.Node) {
			j.TaskGroups[0].Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "http", HostNetwork: "public"}}}}
		}, want: nomadish.AllocationMetric{
			NodesEvaluated: 3, NodesFiltered: 3, NodesInPool: 3, NodesAvailable: map[string]int{"dc1": 3},
			ConstraintFiltered: map[string]int{`missing host network "public"`: 3},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, nodes := &world{job: testJob("service", 2)}, testNodes(3)
			tt.setup(w.job, nodes)
			out := w.schedule(t, nodes)
			got := out.Eval.FailedTGAllocs["app"]
			tt.want.NodePool, tt.want.CoalescedFailures = "default", 1
			if tt.want.NodesAvailable == nil {
				tt.want.NodesAvailable = map[string]int{}
			}
			if diff := cmp.Diff(got, &tt.want); diff != "" {
				t.Errorf("got - want +\n%s", diff)
			}
			if b := out.Blocked; b == nil || b.Status != nomadish.EvalStatusBlocked || out.Eval.BlockedEval != b.ID || out.Eval.QueuedAllocations["app"] != 2 {
				t.Errorf("blocked evaluation: %+v", b)
			}
		})
	}
}

// A blocked evaluation knows which classes of nodes could run its job.
func TestBlockedEvaluationKnowsClasses(t *testing.T) {
	w, nodes := &world{job: testJob("service", 1)}, testNodes(2)
	nodes[1].ComputedClass, nodes[1].Attributes = "v1:2", map[string]string{"kernel.name": "darwin"}
	w.job.TaskGroups[0].Tasks[0].Resources.CPU = nomadish.Ptr(9999)
	out := w.schedule(t, nodes)
	if diff := cmp.Diff(out.Blocked.ClassEligibility, map[string]bool{"v1:1": true, "v1:2": false}); diff != "" {
		t.Errorf("got - want +\n%s", diff)
	}
	eval := *out.Blocked
	again, err := Schedule(w.snapshot(nodes), &eval)
	if err != nil {
		t.Fatal(err)
	}
	if again.Blocked != nil || again.Eval.Status != nomadish.EvalStatusBlocked || again.Eval.ID != eval.ID {
		t.Errorf("a blocked evaluation that still finds no room goes on waiting; got %+v", again.Eval)
	}
}
