package scheduler

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/capacity"
)

// drawJob draws a job of one or two groups with resources, ports, cores and wishes.
func drawJob(t *rapid.T) *nomadish.Job {
	job := testJob(rapid.SampledFrom([]string{"service", "batch"}).Draw(t, "type"), rapid.IntRange(0, 8).Draw(t, "count"))
	if rapid.Bool().Draw(t, "second group") {
		other := testJob("service", rapid.IntRange(0, 4).Draw(t, "count 2")).TaskGroups[0]
		other.Name = nomadish.Ptr("db")
		job.TaskGroups = append(job.TaskGroups, other)
	}
	for _, tg := range job.TaskGroups {
		r := tg.Tasks[0].Resources
		r.CPU = nomadish.Ptr(rapid.IntRange(10, 2500).Draw(t, "cpu"))
		r.MemoryMB = nomadish.Ptr(rapid.IntRange(10, 5000).Draw(t, "memory"))
		if rapid.IntRange(0, 4).Draw(t, "with cores") == 0 {
			r.Cores = nomadish.Ptr(rapid.IntRange(1, 2).Draw(t, "cores"))
		}
		switch rapid.IntRange(0, 3).Draw(t, "ports") {
		case 0:
			tg.Networks = []*nomadish.NetworkResource{{DynamicPorts: []nomadish.Port{{Label: "a"}, {Label: "b", To: -1}}}}
		case 1:
			tg.Networks = []*nomadish.NetworkResource{{ReservedPorts: []nomadish.Port{{Label: "http", Value: 8080}}, DynamicPorts: []nomadish.Port{{Label: "b"}}}}
		}
		switch rapid.IntRange(0, 5).Draw(t, "wish") {
		case 0:
			tg.Spreads = []*nomadish.Spread{{Attribute: "${attr.rack}", Weight: nomadish.Ptr[int8](50)}}
		case 1:
			tg.Affinities = []*nomadish.Affinity{{LTarget: "${attr.rack}", Operand: "=", RTarget: "r1", Weight: nomadish.Ptr[int8](-50)}}
		case 2:
			tg.Constraints = []*nomadish.Constraint{{Operand: distinctHosts}}
		case 3:
			tg.Constraints = []*nomadish.Constraint{{Operand: distinctProperty, LTarget: "${attr.rack}", RTarget: "2"}}
		}
		if rapid.Bool().Draw(t, "rolling") {
			tg.Update = update(rapid.IntRange(1, 3).Draw(t, "parallel"))
		}
	}
	return job
}

// disturb lets something happen to the world between two evaluations.
func disturb(t *rapid.T, w *world, nodes []*nomadish.Node) {
	for _, a := range w.allocs {
		if a.ClientTerminal() {
			continue
		}
		switch rapid.IntRange(0, 7).Draw(t, "fate") {
		case 0:
			end(a, nomadish.AllocClientFailed, epoch.Add(-time.Duration(rapid.IntRange(0, 100).Draw(t, "ago"))*time.Second))
		case 1:
			end(a, nomadish.AllocClientComplete, epoch)
		case 2:
			a.DesiredTransition.Migrate = nomadish.Ptr(true)
		case 3, 4:
			a.ClientStatus = nomadish.AllocClientRunning
			a.TaskStates = map[string]*nomadish.TaskState{"server": {State: nomadish.TaskStateRunning, StartedAt: epoch.Add(-time.Hour)}}
		}
	}
	for _, n := range nodes {
		n.Status = rapid.SampledFrom([]string{nomadish.NodeStatusReady, nomadish.NodeStatusReady, nomadish.NodeStatusReady, nomadish.NodeStatusDown}).Draw(t, "status")
	}
	switch rapid.IntRange(0, 4).Draw(t, "change of the job") {
	case 0:
		w.bump(image(rapid.SampledFrom([]string{"web:2", "web:3"}).Draw(t, "image")))
	case 1:
		w.bump(func(j *nomadish.Job) { j.TaskGroups[0].Count = nomadish.Ptr(rapid.IntRange(0, 8).Draw(t, "new count")) })
	case 2:
		w.bump(func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(time.Second) })
	}
}

// checkNames: of every job, group and index at most one allocation lives, and its index is
// below count.
func checkNames(t *rapid.T, w *world) {
	seen := map[string]bool{}
	for _, a := range w.allocs {
		if a.Terminal() {
			continue
		}
		if seen[a.Name] {
			t.Fatalf("%s lives twice", a.Name)
		}
		seen[a.Name] = true
		i, _ := nameIndex(a.Name)
		if tg := group(w.job, a.TaskGroup); tg == nil || i >= *tg.Count {
			t.Fatalf("%s lives beyond the count", a.Name)
		}
	}
}

// checkBooking: what lives on a node fits on it, and no port and no core is given twice.
func checkBooking(t *rapid.T, w *world, nodes []*nomadish.Node) {
	for _, n := range nodes {
		var cpu, memory, disk int64
		ports, cores := map[int]string{}, map[uint16]string{}
		for _, a := range w.allocs {
			if a.NodeID != n.ID || a.Terminal() {
				continue
			}
			held := capacity.Granted(a.AllocatedResources)
			cpu, memory, disk = cpu+held.CPU, memory+held.Memory, disk+held.Disk
			for _, p := range held.Ports {
				if other := ports[p.Value]; other != "" {
					t.Fatalf("port %d of %s: %s and %s", p.Value, n.Name, other, a.Name)
				}
				ports[p.Value] = a.Name
			}
			for _, c := range held.CoreIDs {
				if other := cores[c]; other != "" {
					t.Fatalf("core %d of %s: %s and %s", c, n.Name, other, a.Name)
				}
				cores[c] = a.Name
			}
		}
		r := n.NodeResources
		if cpu > r.Cpu.CpuShares || memory > r.Memory.MemoryMB || disk > r.Disk.DiskMB {
			t.Fatalf("%s is overbooked: cpu %d, memory %d, disk %d", n.Name, cpu, memory, disk)
		}
	}
}

// Over a job's life, whatever happens to it: nothing is booked twice, no name lives twice,
// the planner's check accepts every plan made from an unchanged snapshot, and a second look
// right after finds nothing to do.
func TestScheduleKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := testNodes(rapid.IntRange(1, 6).Draw(t, "nodes"))
		w := &world{job: drawJob(t)}
		for round := range rapid.IntRange(1, 5).Draw(t, "rounds") {
			if round > 0 {
				disturb(t, w, nodes)
			}
			eval := testEval(w.job)
			eval.ID = testID(fmt.Sprint("eval ", round))
			snap := w.snapshot(nodes)
			out, err := Schedule(snap, eval)
			if err != nil {
				t.Fatal(err)
			}
			if out.Plan != nil {
				if _, rejected := testTable(nodes, w.allocs).Book(out.Plan, epoch.UnixNano()); len(rejected) > 0 {
					t.Fatalf("the planner rejects a fresh plan: %+v", rejected)
				}
			}
			w.commit(out.Plan, uint64(100+round))
			w.evals = append(w.evals, out.FollowUps...)
			checkNames(t, w)
			checkBooking(t, w, nodes)
			checkIdempotent(t, w, nodes, eval, out)
		}
	})
}

func checkIdempotent(t *rapid.T, w *world, nodes []*nomadish.Node, eval *nomadish.Evaluation, first *Outcome) {
	second := *eval
	second.ID = testID(eval.ID + " again")
	out, err := Schedule(w.snapshot(nodes), &second)
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Eval.FailedTGAllocs) > 0 {
		return // what found no room is tried again, or waits for what has been placed to be healthy
	}
	if out.Plan != nil {
		t.Fatalf("a second look changes something: %v", summary(w, out.Plan, nodes))
	}
	if len(out.FollowUps) > 0 {
		t.Fatalf("a second look makes %d more follow-ups", len(out.FollowUps))
	}
}

// The order in which nodes and allocations come does not matter.
func TestScheduleDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := testNodes(rapid.IntRange(1, 8).Draw(t, "nodes"))
		w := &world{job: drawJob(t)}
		first, err := Schedule(w.snapshot(nodes), testEval(w.job))
		if err != nil {
			t.Fatal(err)
		}
		w.commit(first.Plan, 100)
		disturb(t, w, nodes)
		eval := testEval(w.job)
		eval.ID = testID("second")
		want, err := Schedule(w.snapshot(nodes), eval)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := *w
		shuffled.allocs = rapid.Permutation(slices.Clone(w.allocs)).Draw(t, "allocations")
		got, err := Schedule(shuffled.snapshot(rapid.Permutation(nodes).Draw(t, "order of nodes")), eval)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Fatalf("got - want +\n%s", diff)
		}
	})
}
