package nomadish_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// planned is a file of the corpus of plans: what Nomad answered for a changed job.
type planned struct {
	Changed *nomadish.Job
	Diff    *nomadish.JobDiff
}

// readPlanned returns a registered job of the corpus, its changed form, and Nomad's diff.
func readPlanned(t testing.TB, name string) (old, next *nomadish.Job, want *nomadish.JobDiff) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var p planned
	if err := nomadish.DecodeJSON(data, &p); err != nil {
		t.Fatal(err)
	}
	old = parseJob(t, strings.TrimSuffix(filepath.Base(name), ".json"))
	old.Admit()
	old.JobModifyIndex = nomadish.Ptr(uint64(7))
	p.Changed.Admit()
	return old, p.Changed, p.Diff
}

func plannedFiles(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob("testdata/plan/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no corpus: %v", err)
	}
	return names
}

// withoutAnnotations drops what a plan adds to a diff.
func withoutAnnotations(d *nomadish.JobDiff) *nomadish.JobDiff {
	for _, f := range d.Fields {
		f.Annotations = nil
	}
	for _, g := range d.TaskGroups {
		g.Updates = nil
		for _, f := range g.Fields {
			f.Annotations = nil
		}
		for _, t := range g.Tasks {
			t.Annotations = nil
			for _, f := range t.Fields {
				f.Annotations = nil
			}
		}
	}
	return d
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDiffCorpus: diffs are Nomad's. Annotations are the scheduler's to add.
func TestDiffCorpus(t *testing.T) {
	equal := 0
	names := plannedFiles(t)
	for _, name := range names {
		old, next, want := readPlanned(t, name)
		got := nomadish.DiffJobs(old, next)
		if diff := cmp.Diff(asJSON(t, withoutAnnotations(want)), asJSON(t, got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
			continue
		}
		equal++
	}
	t.Logf("%d of %d equal", equal, len(names))
}

// versions are pairs of jobs that differ in many ways: neighbours in the corpus.
func versions(t testing.TB) [][2]*nomadish.Job {
	t.Helper()
	var all [][2]*nomadish.Job
	var last *nomadish.Job
	for _, name := range plannedFiles(t) {
		old, next, _ := readPlanned(t, name)
		old.JobModifyIndex = nil
		all = append(all, [2]*nomadish.Job{old, next}, [2]*nomadish.Job{nil, next})
		if last != nil {
			all = append(all, [2]*nomadish.Job{last, old})
		}
		last = old
	}
	return all
}

var mirrored = map[string]string{
	nomadish.DiffAdded: nomadish.DiffDeleted, nomadish.DiffDeleted: nomadish.DiffAdded,
	nomadish.DiffEdited: nomadish.DiffEdited, nomadish.DiffNone: nomadish.DiffNone,
}

func mirror(d *nomadish.JobDiff) *nomadish.JobDiff {
	d.Type = mirrored[d.Type]
	mirrorFields(d.Fields)
	mirrorObjects(d.Objects)
	for _, g := range d.TaskGroups {
		g.Type = mirrored[g.Type]
		mirrorFields(g.Fields)
		mirrorObjects(g.Objects)
		for _, t := range g.Tasks {
			t.Type = mirrored[t.Type]
			mirrorFields(t.Fields)
			mirrorObjects(t.Objects)
		}
	}
	return d
}

func mirrorFields(fields []*nomadish.FieldDiff) {
	for _, f := range fields {
		f.Type, f.Old, f.New = mirrored[f.Type], f.New, f.Old
	}
	slices.SortFunc(fields, func(a, b *nomadish.FieldDiff) int {
		return strings.Compare(a.Name+"\x00"+a.Old+"\x00"+a.New, b.Name+"\x00"+b.Old+"\x00"+b.New)
	})
}

func mirrorObjects(objects []*nomadish.ObjectDiff) {
	text := func(o *nomadish.ObjectDiff) string { b, _ := json.Marshal(o); return string(b) }
	for _, o := range objects {
		o.Type = mirrored[o.Type]
		mirrorFields(o.Fields)
		mirrorObjects(o.Objects)
	}
	slices.SortFunc(objects, func(a, b *nomadish.ObjectDiff) int { return strings.Compare(text(a), text(b)) })
}

// TestDiffMirrors: what one direction adds the other deletes.
func TestDiffMirrors(t *testing.T) {
	for _, v := range versions(t) {
		there := mirror(nomadish.DiffJobs(v[0], v[1]))
		back := mirror(mirror(nomadish.DiffJobs(v[1], v[0])))
		there.ID, back.ID = "", "" // those of different jobs
		if one, other := asJSON(t, there), asJSON(t, back); one != other {
			t.Fatalf("mirrored (-there +back):\n%s", cmp.Diff(one, other))
		}
	}
}

// TestDiffOfEqual: a job differs in nothing from itself, and nothing but names is shown.
func TestDiffOfEqual(t *testing.T) {
	for _, v := range versions(t) {
		d := nomadish.DiffJobs(v[1], v[1].Copy())
		if d.Type != nomadish.DiffNone || d.Fields != nil || d.Objects != nil {
			t.Errorf("got %s", asJSON(t, d))
		}
		for _, g := range d.TaskGroups {
			if g.Type != nomadish.DiffNone || g.Fields != nil || g.Objects != nil {
				t.Errorf("got %s", asJSON(t, g))
			}
			for _, task := range g.Tasks {
				if task.Type != nomadish.DiffNone || task.Fields != nil || task.Objects != nil {
					t.Errorf("got %s", asJSON(t, task))
				}
			}
		}
	}
}

// TestDiffSeesChanges: whatever makes a new version of a job shows in the diff.
func TestDiffSeesChanges(t *testing.T) {
	for _, v := range versions(t) {
		if v[0] == nil {
			continue
		}
		if got, want := nomadish.DiffJobs(v[0], v[1]).Type != nomadish.DiffNone, v[0].SpecChanged(v[1]); got != want {
			t.Errorf("job %s: diff %t, changed %t", *v[0].ID, got, want)
		}
	}
}

// TestDiffOrder: lists of groups, tasks and keyed blocks are compared by name, so their order
// in the file is no difference, and the diff is the same every time.
func TestDiffOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, v := range versions(t) {
		if v[0] == nil {
			continue
		}
		want := asJSON(t, nomadish.DiffJobs(v[0], v[1]))
		shuffled := v[1].Copy()
		groups := shuffled.TaskGroups
		random.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		for _, g := range groups {
			random.Shuffle(len(g.Tasks), func(i, j int) { g.Tasks[i], g.Tasks[j] = g.Tasks[j], g.Tasks[i] })
		}
		if got := asJSON(t, nomadish.DiffJobs(v[0], shuffled)); got != want {
			t.Fatalf("(-want +got):\n%s", cmp.Diff(want, got))
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	old, next, _ := readPlanned(b, "testdata/plan/203.json")
	b.ReportAllocs()
	for b.Loop() {
		nomadish.DiffJobs(old, next)
	}
}
