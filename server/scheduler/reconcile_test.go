package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// running builds a world with a job of count allocations, all running on nodes n0, n1, ….
func running(kind string, count int) *world {
	w := &world{job: testJob(kind, count)}
	for i := range count {
		n := testNode(i)
		w.allocs = append(w.allocs, &nomadish.Allocation{
			ID: testID(allocName("web", "app", i)), Name: allocName("web", "app", i), Namespace: "default", JobID: "web",
			TaskGroup: "app", NodeID: n.ID, NodeName: n.Name, DesiredStatus: nomadish.AllocDesiredRun,
			ClientStatus: nomadish.AllocClientRunning, CreateIndex: 10, ModifyIndex: 11,
			AllocatedResources: &nomadish.AllocatedResources{Tasks: map[string]*nomadish.AllocatedTaskResources{
				"server": {Cpu: nomadish.AllocatedCpuResources{CpuShares: 100}, Memory: nomadish.AllocatedMemoryResources{MemoryMB: 128}},
			}, Shared: nomadish.AllocatedSharedResources{DiskMB: 10}},
			TaskStates: map[string]*nomadish.TaskState{"server": {State: nomadish.TaskStateRunning, StartedAt: epoch.Add(-time.Hour)}},
		})
	}
	return w
}

// end makes an allocation's client report its end.
func end(a *nomadish.Allocation, status string, at time.Time) {
	a.ClientStatus = status
	a.TaskStates = map[string]*nomadish.TaskState{"server": {
		State: nomadish.TaskStateDead, Failed: status == nomadish.AllocClientFailed, FinishedAt: at,
	}}
}

// bump makes the job a new version; change works on a copy.
func (w *world) bump(change func(*nomadish.Job)) {
	old := w.job
	next := *old
	tg, task := *old.TaskGroups[0], *old.TaskGroups[0].Tasks[0]
	tg.Tasks = []*nomadish.Task{&task}
	next.TaskGroups = []*nomadish.TaskGroup{&tg}
	next.Version = nomadish.Ptr(nomadish.Val(old.Version) + 1)
	change(&next)
	w.versions = append(w.versions, old)
	w.job = &next
}

func update(parallel int) *nomadish.UpdateStrategy {
	return &nomadish.UpdateStrategy{MaxParallel: &parallel, MinHealthyTime: nomadish.Ptr(10 * time.Second)}
}

func image(tag string) func(*nomadish.Job) {
	return func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].Config = map[string]any{"image": tag} }
}

// reconcileCase is a world, and what Schedule does to its allocations.
type reconcileCase struct {
	name    string
	world   func() *world
	nodes   func([]*nomadish.Node)
	want    []string
	later   []time.Duration // follow-ups, from now
	blocked bool            // something waits for room
}

// casesOfFate are about allocations that are too many, too few, lost, moved or failed.
func casesOfFate() []reconcileCase {
	down := func(n *nomadish.Node) { n.Status = nomadish.NodeStatusDown }
	return []reconcileCase{
		{name: "nothing to do", world: func() *world { return running("service", 3) }},
		{name: "count lowered stops the highest", world: func() *world {
			w := running("service", 4)
			w.job.TaskGroups[0].Count = nomadish.Ptr(2)
			return w
		}, want: []string{"-app[2]@n2 " + descNotNeeded, "-app[3]@n3 " + descNotNeeded}},
		{name: "count raised fills up", world: func() *world {
			w := running("service", 2)
			w.job.TaskGroups[0].Count = nomadish.Ptr(3)
			return w
		}, want: []string{"+app[2]"}},
		{name: "a gap is filled with its own name", world: func() *world {
			w := running("service", 3)
			w.allocs = slices.Delete(w.allocs, 1, 2)
			return w
		}, want: []string{"+app[1]"}},
		{name: "job stopped", world: func() *world {
			w := running("service", 2)
			w.job.Stop = nomadish.Ptr(true)
			return w
		}, want: []string{"-app[0]@n0 " + descNotNeeded, "-app[1]@n1 " + descNotNeeded}},
		{name: "job purged", world: func() *world {
			w := running("service", 1)
			w.job = nil
			return w
		}, want: []string{"-app[0]@n0 " + descNotNeeded}},
		{name: "group removed", world: func() *world {
			w := running("service", 1)
			w.job.TaskGroups[0].Name = nomadish.Ptr("other")
			return w
		}, want: []string{"+other[0]", "-app[0]@n0 " + descNotNeeded}},
		{
			name: "node down", world: func() *world { return running("service", 2) },
			nodes: func(ns []*nomadish.Node) { down(ns[1]) },
			want:  []string{"+app[1]", "-app[1]@n1 " + descLost},
		},
		{
			name: "ineligible node keeps its allocations", world: func() *world { return running("service", 2) },
			nodes: func(ns []*nomadish.Node) { ns[1].SchedulingEligibility = nomadish.NodeIneligible },
		},
		{name: "asked to migrate", world: func() *world {
			w := running("service", 2)
			w.allocs[0].DesiredTransition.Migrate = nomadish.Ptr(true)
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descMigrating}},
		{name: "failed, not yet due", world: func() *world {
			w := running("service", 2)
			end(w.allocs[1], nomadish.AllocClientFailed, epoch.Add(-10*time.Second))
			return w
		}, want: []string{"=app[1]@n1"}, later: []time.Duration{20 * time.Second}},
		{name: "failed, due", world: func() *world {
			w := running("service", 2)
			end(w.allocs[1], nomadish.AllocClientFailed, epoch.Add(-31*time.Second))
			return w
		}, want: []string{"+app[1]", "-app[1]@n1 " + descRescheduled}},
		{name: "failed, reschedule forced", world: func() *world {
			w := running("service", 1)
			end(w.allocs[0], nomadish.AllocClientFailed, epoch)
			w.allocs[0].DesiredTransition.ForceReschedule = nomadish.Ptr(true)
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descRescheduled}},
		{name: "failed, attempts used up", world: func() *world {
			w := running("service", 1)
			w.job.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0)}
			end(w.allocs[0], nomadish.AllocClientFailed, epoch.Add(-time.Hour))
			return w
		}},
		{name: "failed for good, new version", world: func() *world {
			w := running("service", 1)
			w.job.TaskGroups[0].ReschedulePolicy = &nomadish.ReschedulePolicy{Attempts: nomadish.Ptr(0)}
			end(w.allocs[0], nomadish.AllocClientFailed, epoch)
			w.bump(image("web:2"))
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descRescheduled}},
	}
}

// casesOfChange are about batch jobs, and about new versions of jobs.
func casesOfChange() []reconcileCase {
	return []reconcileCase{
		{name: "batch: what is complete stays so", world: func() *world {
			w := running("batch", 2)
			end(w.allocs[0], nomadish.AllocClientComplete, epoch)
			return w
		}},
		{name: "batch: a new version runs again", world: func() *world {
			w := running("batch", 1)
			end(w.allocs[0], nomadish.AllocClientComplete, epoch)
			w.bump(image("web:2"))
			return w
		}, want: []string{"+app[0]"}},
		{name: "service that completed is placed again", world: func() *world {
			w := running("service", 1)
			end(w.allocs[0], nomadish.AllocClientComplete, epoch)
			return w
		}, want: []string{"+app[0]"}},
		{name: "harmless change is made in place", world: func() *world {
			w := running("service", 2)
			w.bump(func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(time.Second) })
			return w
		}, want: []string{"=app[0]@n0", "=app[1]@n1"}},
		{name: "in place only where the node still suits", world: func() *world {
			w := running("service", 1)
			w.bump(func(j *nomadish.Job) {
				j.TaskGroups[0].Constraints = []*nomadish.Constraint{{LTarget: "${node.unique.name}", Operand: "!=", RTarget: "n0"}}
			})
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descUpdating}},
		{name: "other change replaces all without an update block", world: func() *world {
			w := running("service", 2)
			w.bump(image("web:2"))
			return w
		}, want: []string{"+app[0]", "+app[1]", "-app[0]@n0 " + descUpdating, "-app[1]@n1 " + descUpdating}},
		{name: "rolling update replaces max_parallel", world: func() *world {
			w := running("service", 3)
			w.bump(image("web:2"))
			w.job.TaskGroups[0].Update = update(1)
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descUpdating}, later: []time.Duration{11 * time.Second}},
		{name: "rolling update waits for what is not healthy", world: func() *world {
			w := running("service", 3)
			w.bump(image("web:2"))
			w.job.TaskGroups[0].Update = update(1)
			w.allocs[0].JobVersion = 1
			w.allocs[0].TaskStates["server"].StartedAt = epoch.Add(-4 * time.Second)
			return w
		}, later: []time.Duration{6 * time.Second}},
		{name: "rolling update goes on after min_healthy_time", world: func() *world {
			w := running("service", 3)
			w.bump(image("web:2"))
			w.job.TaskGroups[0].Update = update(1)
			w.allocs[0].JobVersion = 1
			return w
		}, want: []string{"+app[1]", "-app[1]@n1 " + descUpdating}, later: []time.Duration{11 * time.Second}},
		{name: "job of the same name, but not the same job", world: func() *world {
			w := running("service", 1)
			w.job.CreateIndex = nomadish.Ptr[uint64](50)
			return w
		}, want: []string{"+app[0]", "-app[0]@n0 " + descUpdating}},
		{name: "two of a name: the newer version stays", world: func() *world {
			w := running("service", 1)
			w.bump(image("web:2"))
			twin := *w.allocs[0]
			twin.ID, twin.JobVersion, twin.NodeID = testID("twin"), 1, testNode(1).ID
			w.allocs = append(w.allocs, &twin)
			return w
		}, want: []string{"-app[0]@n0 " + descNotNeeded}},
	}
}

// casesOfDrain are about allocations on nodes that drain.
func casesOfDrain() []reconcileCase {
	drain := func(ns []*nomadish.Node, deadline time.Duration) {
		for _, n := range ns {
			n.Drain, n.SchedulingEligibility = true, nomadish.NodeIneligible
			n.DrainStrategy = &nomadish.DrainStrategy{Deadline: deadline, StartedAt: epoch}
		}
	}
	return []reconcileCase{
		{name: "asked to migrate, with room nowhere: stays", world: func() *world {
			w := running("service", 1)
			w.allocs[0].DesiredTransition.Migrate = nomadish.Ptr(true)
			return w
		}, nodes: func(ns []*nomadish.Node) { drain(ns, 0) }, blocked: true},
		{name: "asked to migrate, with room nowhere, and the drain's deadline has passed", world: func() *world {
			w := running("service", 1)
			w.allocs[0].DesiredTransition.Migrate = nomadish.Ptr(true)
			return w
		}, nodes: func(ns []*nomadish.Node) { drain(ns, -1) }, want: []string{"-app[0]@n0 " + descMigrating}, blocked: true},
		{name: "batch work that was stopped to migrate is not done", world: func() *world {
			w := running("batch", 1)
			end(w.allocs[0], nomadish.AllocClientComplete, epoch)
			w.allocs[0].DesiredStatus = nomadish.AllocDesiredStop
			w.allocs[0].DesiredTransition.Migrate = nomadish.Ptr(true)
			return w
		}, want: []string{"+app[0]"}},
	}
}

// What Schedule does to existing allocations; the nodes of new ones are left out here.
func TestScheduleReconciles(t *testing.T) {
	for _, tt := range slices.Concat(casesOfFate(), casesOfChange(), casesOfDrain(), casesOfAbsence()) {
		t.Run(tt.name, func(t *testing.T) {
			w := tt.world()
			nodes := testNodes(6)
			if tt.nodes != nil {
				tt.nodes(nodes)
			}
			out := w.schedule(t, nodes)
			got := summary(w, out.Plan, nodes)
			for i, line := range got {
				if line[0] == '+' {
					got[i] = line[:slices.Index([]byte(line), '@')]
				}
			}
			if diff := cmp.Diff(sorted(got), sorted(tt.want)); diff != "" {
				t.Errorf("got - want +\n%s", diff)
			}
			var later []time.Duration
			for _, e := range out.FollowUps {
				later = append(later, e.WaitUntil.Sub(epoch))
			}
			if diff := cmp.Diff(later, tt.later); diff != "" {
				t.Errorf("follow-ups: got - want +\n%s", diff)
			}
			if out.Eval.Status != nomadish.EvalStatusComplete || (out.Blocked != nil) != tt.blocked {
				t.Errorf("evaluation ends %s, blocked %v", out.Eval.Status, out.Blocked)
			}
		})
	}
}

// A failed allocation's replacement carries its history, waits longer each time, and does not
// go where the others failed while there is another node.
func TestRescheduleHistory(t *testing.T) {
	w := running("service", 1)
	end(w.allocs[0], nomadish.AllocClientFailed, epoch.Add(-time.Minute))
	nodes := testNodes(2)
	out := w.schedule(t, nodes)
	list := out.Plan.NodeAllocation[nodes[1].ID]
	if len(list) != 1 {
		t.Fatalf("got %v, want the replacement on n1", summary(w, out.Plan, nodes))
	}
	a := list[0]
	want := &nomadish.RescheduleTracker{LastReschedule: "ok", Events: []*nomadish.RescheduleEvent{{
		RescheduleTime: epoch.UnixNano(), PrevAllocID: w.allocs[0].ID, PrevNodeID: nodes[0].ID, Delay: 30 * time.Second,
	}}}
	if diff := cmp.Diff(a.RescheduleTracker, want); diff != "" {
		t.Errorf("got - want +\n%s", diff)
	}
	if a.PreviousAllocation != w.allocs[0].ID {
		t.Errorf("previous allocation %q, want %q", a.PreviousAllocation, w.allocs[0].ID)
	}
}

func TestNextDelay(t *testing.T) {
	policy := func(function string, longest time.Duration) *nomadish.ReschedulePolicy {
		return &nomadish.ReschedulePolicy{Delay: nomadish.Ptr(5 * time.Second), DelayFunction: &function, MaxDelay: &longest, Unlimited: nomadish.Ptr(true)}
	}
	for _, tt := range []struct {
		function string
		longest  time.Duration
		alive    time.Duration // how long each allocation ran
		want     []int         // seconds
	}{
		{"constant", time.Hour, time.Second, []int{5, 5, 5}},
		{"exponential", time.Minute, time.Second, []int{5, 10, 20, 40, 60, 60}},
		{"fibonacci", time.Minute, time.Second, []int{5, 5, 10, 15, 25, 40, 60}},
		{"exponential", 10 * time.Second, time.Hour, []int{5, 10, 5, 10}},
	} {
		a := &nomadish.Allocation{}
		p := policy(tt.function, tt.longest)
		now := epoch
		var got []int
		for range tt.want {
			now = now.Add(tt.alive)
			end(a, nomadish.AllocClientFailed, now)
			_, delay, ok := reschedule(p, a)
			if !ok {
				t.Fatalf("%s: not rescheduled", tt.function)
			}
			got = append(got, int(delay.Seconds()))
			now = now.Add(delay)
			a.RescheduleTracker = track(a, p, now, delay)
		}
		if diff := cmp.Diff(got, tt.want); diff != "" {
			t.Errorf("%s up to %s: got - want +\n%s", tt.function, tt.longest, diff)
		}
	}
}

// An allocation whose end was noted by a clock that was years ahead is replaced after its delay all the same.
func TestRescheduleWhateverTheClockSaid(t *testing.T) {
	a := &nomadish.Allocation{ModifyTime: epoch.Add(10 * 365 * 24 * time.Hour).UnixNano()}
	group := &nomadish.TaskGroup{ReschedulePolicy: &nomadish.ReschedulePolicy{
		Delay: nomadish.Ptr(5 * time.Second), DelayFunction: nomadish.Ptr("constant"), Unlimited: nomadish.Ptr(true),
	}}
	r := &reconciler{now: epoch}
	if at, _, ok := r.reschedule(group, a); !ok || !at.Equal(epoch.Add(5*time.Second)) {
		t.Errorf("replaced at %s, %t; want 5s from now", at, ok)
	}
}
