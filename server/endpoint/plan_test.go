package endpoint_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
)

// planned is what Nomad answered when asked to plan a changed job of the corpus.
type planned struct {
	Changed     *nomadish.Job
	Diff        *nomadish.JobDiff
	Annotations *nomadish.PlanAnnotations
	Warnings    string
}

func (w *world) plan(job *nomadish.Job) *nomadish.JobPlanResponse {
	w.t.Helper()
	resp, _, err := w.PlanJob(w.t.Context(), &nomadish.JobPlanRequest{Job: job, Diff: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

// corpusJob parses a job file of the corpus.
func (w *world) corpusJob(id string) *nomadish.Job {
	w.t.Helper()
	base := filepath.Join("../../jobspec/testdata/jobs", id)
	text, err := os.ReadFile(base + ".nomad.hcl")
	if err != nil {
		w.t.Fatal(err)
	}
	vars, _ := os.ReadFile(base + ".vars.hcl") // most have none
	job, err := w.ParseJob(w.t.Context(), &nomadish.JobsParseRequest{JobHCL: string(text), Variables: string(vars)})
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

func shown(t testing.TB, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Plans of the corpus are Nomad's: the diff, its annotations, and what becomes of each group.
// Nomad's warnings are all there, besides those about what is without effect here.
func TestPlanCorpus(t *testing.T) {
	names, err := filepath.Glob("../../nomadish/testdata/plan/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	w := newWorld(t, endpoint.Config{})
	equal := 0
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want planned
		if err := nomadish.DecodeJSON(data, &want); err != nil {
			t.Fatal(err)
		}
		job := w.corpusJob(strings.TrimSuffix(filepath.Base(name), ".json"))
		job.NodePool, want.Changed.NodePool = nil, nil // two are in a pool that the cluster had besides
		w.register(job)
		index := w.read().Index()
		got := w.plan(want.Changed)
		if w.read().Index() != index {
			t.Fatalf("%s: planning writes", name)
		}
		ok := true
		for _, part := range []struct{ what, want, got string }{
			{"diff", shown(t, want.Diff), shown(t, got.Diff)},
			{"annotations", shown(t, want.Annotations), shown(t, got.Annotations)},
			{"warnings", strings.Join(bullets(want.Warnings), "\n"), strings.Join(known(bullets(got.Warnings), want.Warnings), "\n")},
		} {
			if diff := cmp.Diff(part.want, part.got); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%s", name, part.what, diff)
				ok = false
			}
		}
		if ok {
			equal++
		}
	}
	t.Logf("%d of %d equal", equal, len(names))
}

// bullets are the single warnings of a text.
func bullets(warnings string) []string {
	_, list, _ := strings.Cut(warnings, "\n\n* ")
	if list == "" {
		return nil
	}
	return strings.Split(list, "\n* ")
}

// known are the warnings that are also in another text.
func known(warnings []string, text string) []string {
	return slices.DeleteFunc(warnings, func(s string) bool { return !slices.Contains(bullets(text), s) })
}

// A job that is submitted again as it is differs in nothing.
func TestPlanUnchanged(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	for _, id := range []string{"003", "203", "074"} { // a batch job, one with a scaling policy, a periodic one
		job := w.corpusJob(id)
		made := w.register(job)
		got := w.plan(job)
		if got.Diff.Type != nomadish.DiffNone || got.JobModifyIndex != made.JobModifyIndex {
			t.Errorf("%s: %s at %d, want None at %d", id, shown(t, got.Diff), got.JobModifyIndex, made.JobModifyIndex)
		}
	}
}

// roomy is a node with room for allocations of 100 MHz and 300 MiB.
func (w *world) roomy(i, allocs int) {
	w.t.Helper()
	n := newNode(i)
	n.Attributes = map[string]string{"driver.mock": "1"}
	n.Drivers = map[string]*nomadish.DriverInfo{"mock": {Detected: true, Healthy: true}}
	n.NodeResources.Cpu.CpuShares = int64(100 * allocs)
	n.NodeResources.Memory.MemoryMB = int64(300 * allocs)
	n.NodeResources.Disk.DiskMB = int64(300 * allocs)
	if _, err := w.RegisterNode(w.t.Context(), n); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Heartbeat(w.t.Context(), n.ID, nomadish.NodeStatusReady); err != nil {
		w.t.Fatal(err)
	}
}

// A plan says where each allocation would go, and of those that would go nowhere, why.
func TestPlanPlacements(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.roomy(1, 2)
	job := newJob("web")
	job.TaskGroups[0].Count = nomadish.Ptr(3)
	got := w.plan(job)
	if len(got.Placements) != 2 || got.Unplaced["g"] != 1 {
		t.Fatalf("got %s, %v unplaced", shown(t, got.Placements), got.Unplaced)
	}
	for i, p := range got.Placements {
		if p.NodeName != "n1" || p.TaskGroup != "g" || p.Name != []string{"web.g[0]", "web.g[1]"}[i] || p.Replaces != "" {
			t.Errorf("placement %s", shown(t, p))
		}
	}
	why := got.FailedTGAllocs["g"]
	if why == nil || why.NodesExhausted != 1 || len(why.DimensionExhausted) != 1 {
		t.Errorf("failed: %s", shown(t, why))
	}
	if len(got.CreatedEvals) != 1 || got.CreatedEvals[0].Status != nomadish.EvalStatusBlocked || got.JobModifyIndex != 0 {
		t.Errorf("evaluations %s", shown(t, got.CreatedEvals))
	}
}

// What a plan says of running allocations: those that stay, go on, are replaced or stopped.
func TestPlanUpdates(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*nomadish.Job)
		want   map[string]uint64
		task   []string
	}{
		{"nothing", func(*nomadish.Job) {}, map[string]uint64{"ignore": 1}, nil},
		{"one more", func(j *nomadish.Job) { j.TaskGroups[0].Count = nomadish.Ptr(2) }, map[string]uint64{"create": 1, "in-place update": 1}, nil},
		{"none", func(j *nomadish.Job) { j.TaskGroups[0].Count = nomadish.Ptr(0) }, map[string]uint64{"destroy": 1}, nil},
		{
			"kill timeout", func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].KillTimeout = nomadish.Ptr(time.Minute) },
			map[string]uint64{"in-place update": 1},
			[]string{"forces in-place update"},
		},
		{
			"environment", func(j *nomadish.Job) { j.TaskGroups[0].Tasks[0].Env = map[string]string{"A": "1"} },
			map[string]uint64{"create/destroy update": 1},
			[]string{"forces create/destroy update"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, endpoint.Config{})
			w.roomy(1, 4)
			w.register(newJob("web"))
			id := w.place("web", 1, nomadish.AllocClientRunning)
			job := newJob("web")
			tt.change(job)
			got := w.plan(job)
			group := got.Diff.TaskGroups[0]
			if diff := cmp.Diff(tt.want, group.Updates); diff != "" {
				t.Errorf("updates (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.task, group.Tasks[0].Annotations); diff != "" {
				t.Errorf("the task's annotations (-want +got):\n%s", diff)
			}
			if tt.name == "environment" && (len(got.Placements) != 1 || got.Placements[0].Replaces != id || got.Placements[0].ReplacesNode != nodeID(1)) {
				t.Errorf("placements %s", shown(t, got.Placements))
			}
		})
	}
}

// A periodic job's plan says when it launches next, and what a launch would do.
func TestPlanPeriodic(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.roomy(1, 4)
	job := newBatch("nightly")
	job.Periodic = &nomadish.PeriodicConfig{Specs: []string{"0 3 * * *"}}
	got := w.plan(job)
	want := time.Date(2023, 11, 15, 3, 0, 0, 0, time.UTC) // the world's time is the evening before
	if !got.NextPeriodicLaunch.Equal(want) || len(got.Placements) != 1 {
		t.Errorf("next launch %s, want %s; placements %s", got.NextPeriodicLaunch, want, shown(t, got.Placements))
	}
}

// What can't be registered can't be planned either.
func TestPlanRefuses(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	job := newJob("web")
	job.TaskGroups = nil
	_, _, err := w.PlanJob(t.Context(), &nomadish.JobPlanRequest{Job: job})
	wantKind(t, err, nomadish.KindInvalid, "1 error occurred:\n\t* Missing job task groups\n\n")
	job.Region = nomadish.Ptr("mars")
	_, _, err = w.PlanJob(t.Context(), &nomadish.JobPlanRequest{Job: job})
	wantKind(t, err, nomadish.KindInternal, "No path to region")
}

func BenchmarkPlan(b *testing.B) {
	for _, nodes := range []int{10, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			w := newWorld(b, endpoint.Config{})
			for i := range nodes {
				w.roomy(i, 10)
			}
			job := newJob("web")
			job.TaskGroups[0].Count = nomadish.Ptr(50)
			b.ReportAllocs()
			for b.Loop() {
				w.plan(job)
			}
		})
	}
}
