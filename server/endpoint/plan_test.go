package endpoint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
