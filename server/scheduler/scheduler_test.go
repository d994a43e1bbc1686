package scheduler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// epoch is the moment at which the tests' snapshots are taken.
var epoch = time.Unix(1_800_000_000, 0).UTC()

// world is a State of plain values.
type world struct {
	job      *nomadish.Job
	versions []*nomadish.Job
	allocs   []*nomadish.Allocation
	evals    []*nomadish.Evaluation
}

func (w *world) Job(_, id string) (*nomadish.Job, error) {
	if w.job == nil || *w.job.ID != id {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "job %q", id)
	}
	return w.job, nil
}

func (w *world) JobVersion(_, _ string, version uint64) (*nomadish.Job, error) {
	for _, j := range append(w.versions, w.job) {
		if j != nil && nomadish.Val(j.Version) == version {
			return j, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "version %d", version)
}

func (w *world) AllocationsByJob(_, _ string) ([]*nomadish.Allocation, error) { return w.allocs, nil }

func (w *world) EvaluationsByJob(_, _ string) ([]*nomadish.Evaluation, error) { return w.evals, nil }

// testID makes a UUID of a name.
func testID(name string) string { return derivedID("test", name) }

func testNode(i int) *nomadish.Node {
	return &nomadish.Node{
		ID: testID(fmt.Sprint("node", i)), Name: fmt.Sprint("n", i), Datacenter: "dc1", NodePool: "default",
		ComputedClass: "v1:1", Status: nomadish.NodeStatusReady, SchedulingEligibility: nomadish.NodeEligible,
		Attributes: map[string]string{"kernel.name": "linux", "rack": fmt.Sprint("r", i%5)},
		Drivers:    map[string]*nomadish.DriverInfo{"docker": {Detected: true, Healthy: true}},
		NodeResources: &nomadish.NodeResources{
			Cpu:    nomadish.NodeCpuResources{CpuShares: 4000, TotalCpuCores: 4, ReservableCpuCores: []uint16{0, 1, 2, 3}},
			Memory: nomadish.NodeMemoryResources{MemoryMB: 8192},
			Disk:   nomadish.NodeDiskResources{DiskMB: 100_000},
			NodeNetworks: []*nomadish.NodeNetwork{{Mode: "host", Device: "eth0", Addresses: []nomadish.NodeNetworkAddress{
				{Family: "ipv4", Alias: "default", Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1)},
			}}},
		},
	}
}

func testNodes(n int) []*nomadish.Node {
	nodes := make([]*nomadish.Node, n)
	for i := range nodes {
		nodes[i] = testNode(i)
	}
	return nodes
}

func testJob(kind string, count int) *nomadish.Job {
	ptr := nomadish.Ptr[int]
	return &nomadish.Job{
		ID: nomadish.Ptr("web"), Name: nomadish.Ptr("web"), Namespace: nomadish.Ptr("default"), Type: &kind,
		Priority: ptr(50), Datacenters: []string{"*"}, NodePool: nomadish.Ptr("default"), Version: nomadish.Ptr[uint64](0),
		Constraints: []*nomadish.Constraint{{LTarget: "${attr.kernel.name}", RTarget: "linux", Operand: "="}},
		TaskGroups: []*nomadish.TaskGroup{{
			Name: nomadish.Ptr("app"), Count: &count,
			EphemeralDisk: &nomadish.EphemeralDisk{SizeMB: ptr(10)},
			ReschedulePolicy: &nomadish.ReschedulePolicy{
				Delay: nomadish.Ptr(30 * time.Second), DelayFunction: nomadish.Ptr("exponential"),
				MaxDelay: nomadish.Ptr(time.Hour), Unlimited: nomadish.Ptr(true),
			},
			Tasks: []*nomadish.Task{{
				Name: "server", Driver: "docker", Config: map[string]any{"image": "web:1"},
				Resources: &nomadish.Resources{CPU: ptr(100), MemoryMB: ptr(128)},
			}},
		}},
	}
}

func testEval(job *nomadish.Job) *nomadish.Evaluation {
	return &nomadish.Evaluation{
		ID: testID("eval"), Priority: 50, Type: *job.Type, TriggeredBy: nomadish.EvalTriggerJobRegister,
		Namespace: "default", JobID: *job.ID, Status: nomadish.EvalStatusPending,
	}
}

// testTable fills a capacity table.
func testTable(nodes []*nomadish.Node, allocs []*nomadish.Allocation) *capacity.Table {
	t := capacity.New()
	for _, n := range nodes {
		t.PutNode(n)
	}
	for _, a := range allocs {
		t.PutAllocation(a, epoch.UnixNano())
	}
	return t
}

func (w *world) snapshot(nodes []*nomadish.Node) Snapshot {
	return Snapshot{State: w, Index: 100, Capacity: testTable(nodes, w.allocs).View(), Now: epoch}
}

func (w *world) schedule(t testing.TB, nodes []*nomadish.Node) *Outcome {
	t.Helper()
	eval := &nomadish.Evaluation{ID: testID("eval"), Type: "service", Namespace: "default", JobID: "web", Priority: 50, Status: nomadish.EvalStatusPending}
	if w.job != nil {
		eval = testEval(w.job)
	}
	out, err := Schedule(w.snapshot(nodes), eval)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// commit applies a plan to the world as the state machine would.
func (w *world) commit(p *nomadish.Plan, index uint64) {
	if p == nil {
		return
	}
	at := map[string]int{}
	for i, a := range w.allocs {
		at[a.ID] = i
	}
	for _, part := range []map[string][]*nomadish.Allocation{p.NodeUpdate, p.NodeAllocation} {
		for _, node := range slices.Sorted(maps.Keys(part)) {
			for _, a := range part[node] {
				c := *a
				if i, ok := at[a.ID]; ok {
					c.CreateIndex, c.ModifyIndex = w.allocs[i].CreateIndex, index
					w.allocs[i] = &c
					continue
				}
				c.CreateIndex, c.ModifyIndex = index, index
				at[c.ID] = len(w.allocs)
				w.allocs = append(w.allocs, &c)
			}
		}
	}
}

// summary writes a plan in a line: "+name@node" for placements, "-name@node reason" for stops,
// "=name@node" for updates in place, with "unknown" behind what becomes that.
func summary(w *world, p *nomadish.Plan, nodes []*nomadish.Node) []string {
	if p == nil {
		return nil
	}
	names := map[string]string{}
	for _, n := range nodes {
		names[n.ID] = n.Name
	}
	known := map[string]bool{}
	for _, a := range w.allocs {
		known[a.ID] = true
	}
	var lines []string
	for node, list := range p.NodeUpdate {
		for _, a := range list {
			lines = append(lines, "-"+strings.TrimPrefix(a.Name, "web.")+"@"+names[node]+" "+a.DesiredDescription)
		}
	}
	for node, list := range p.NodeAllocation {
		for _, a := range list {
			sign, status := "+", ""
			if known[a.ID] {
				sign = "="
			}
			if a.ClientStatus == nomadish.AllocClientUnknown {
				status = " unknown"
			}
			lines = append(lines, sign+strings.TrimPrefix(a.Name, "web.")+"@"+names[node]+status)
		}
	}
	return sorted(lines)
}
