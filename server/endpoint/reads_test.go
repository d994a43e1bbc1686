package endpoint_test

import (
	"iter"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/state"
)

// names lists the rows of an answer by name.
func names[T any](t *testing.T, rows iter.Seq[T], err error, name func(T) string) []string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for row := range rows {
		out = append(out, name(row))
	}
	return out
}

// Lists keep to namespace and prefix, and their index is that of their table.
func TestLists(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	eval := w.register(newJob("web")).EvalID
	w.register(newJob("api"))
	alloc := w.place("web", 0, nomadish.AllocClientRunning)
	ctx := t.Context()
	ofJob := func(s *nomadish.JobListStub) string { return s.ID }
	ofAlloc := func(s *nomadish.AllocationListStub) string { return s.ID + " " + s.JobType }
	ofEval := func(e *nomadish.Evaluation) string { return e.ID }
	for _, tt := range []struct {
		name string
		want []string
		list func() ([]string, uint64)
		of   []string // tables
	}{
		{"jobs", []string{"api", "web"}, func() ([]string, uint64) {
			rows, index, err := w.Jobs(ctx, nil, "*", "", false)
			return names(t, rows, err, ofJob), index
		}, []string{state.TableJobs, state.TableJobSummaries}},
		{"jobs by prefix", []string{"web"}, func() ([]string, uint64) {
			rows, index, err := w.Jobs(ctx, nil, "default", "we", false)
			return names(t, rows, err, ofJob), index
		}, []string{state.TableJobs, state.TableJobSummaries}},
		{"jobs of another namespace", []string{}, func() ([]string, uint64) {
			rows, index, err := w.Jobs(ctx, nil, "nope", "", false)
			return names(t, rows, err, ofJob), index
		}, []string{state.TableJobs, state.TableJobSummaries}},
		{"allocations", []string{alloc + " service"}, func() ([]string, uint64) {
			rows, index, err := w.Allocations(ctx, nil, "default", alloc[:4], nomadish.AllocStubOptions{})
			return names(t, rows, err, ofAlloc), index
		}, []string{state.TableAllocations}},
		{"allocations of a namespace without", []string{}, func() ([]string, uint64) {
			rows, index, err := w.Allocations(ctx, nil, "nope", "", nomadish.AllocStubOptions{})
			return names(t, rows, err, ofAlloc), index
		}, []string{state.TableAllocations}},
		{"allocations of an evaluation", []string{alloc + " service"}, func() ([]string, uint64) {
			rows, index, err := w.AllocationsByEvaluation(ctx, nil, w.alloc(alloc).EvalID)
			return names(t, rows, err, ofAlloc), index
		}, []string{state.TableAllocations}},
		{"evaluations of a job", []string{eval}, func() ([]string, uint64) {
			rows, index, err := w.EvaluationsByJob(ctx, nil, "default", "web")
			return names(t, rows, err, ofEval), index
		}, []string{state.TableEvaluations}},
		{"evaluations by prefix", []string{eval}, func() ([]string, uint64) {
			rows, index, err := w.Evaluations(ctx, nil, "*", eval)
			return names(t, rows, err, ofEval), index
		}, []string{state.TableEvaluations}},
		{"nodes", []string{nodeID(0)}, func() ([]string, uint64) {
			rows, index, err := w.Nodes(ctx, nil, "00", nomadish.NodeStubOptions{})
			return names(t, rows, err, func(n *nomadish.NodeListStub) string { return n.ID }), index
		}, []string{state.TableNodes}},
		{"namespaces", []string{"default"}, func() ([]string, uint64) {
			rows, index, err := w.Namespaces(ctx, nil, "")
			return names(t, rows, err, func(n *nomadish.Namespace) string { return n.Name }), index
		}, []string{state.TableNamespaces}},
		{"node pools", []string{"all"}, func() ([]string, uint64) {
			rows, index, err := w.NodePools(ctx, nil, "al")
			return names(t, rows, err, func(p *nomadish.NodePool) string { return p.Name }), index
		}, []string{state.TableNodePools}},
	} {
		got, index := tt.list()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if want := max(w.read().TableIndex(tt.of...), 1); index != want { // clients wait from an index above zero on
			t.Errorf("%s: index %d, want the table's %d", tt.name, index, want)
		}
	}
	if _, _, err := w.Allocations(ctx, nil, "*", "abc", nomadish.AllocStubOptions{}); err == nil {
		t.Error("a prefix of an odd length is taken")
	}
}

// What exists is shown, an allocation with its job; what doesn't is missing in the words that
// clients know, at an index from which on it can be waited for.
func TestObjects(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	w.node(0)
	eval := w.register(newJob("web")).EvalID
	id := w.place("web", 0, nomadish.AllocClientRunning)
	ctx, none := t.Context(), nomadish.NewID()
	for _, tt := range []struct {
		name, id, missing, text string
		get                     func(id string) (uint64, error)
	}{
		{"job", "web", "nope", "job not found", func(id string) (uint64, error) { _, i, err := w.Job(ctx, nil, "default", id); return i, err }},
		{"summary", "web", "nope", "job not found", func(id string) (uint64, error) { _, i, err := w.JobSummary(ctx, nil, "default", id); return i, err }},
		{"allocation", id, none, "alloc not found", func(id string) (uint64, error) { _, i, err := w.Allocation(ctx, nil, id); return i, err }},
		{"evaluation", eval, none, "eval not found", func(id string) (uint64, error) { _, i, err := w.Evaluation(ctx, nil, id); return i, err }},
		{"node", nodeID(0), none, "node not found", func(id string) (uint64, error) { _, i, err := w.Node(ctx, nil, id); return i, err }},
		{"namespace", "default", "nope", "Namespace not found", func(id string) (uint64, error) { _, i, err := w.Namespace(ctx, nil, id); return i, err }},
		{"node pool", "all", "nope", "node pool not found", func(id string) (uint64, error) { _, i, err := w.NodePool(ctx, nil, id); return i, err }},
	} {
		if _, err := tt.get(tt.id); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		index, err := tt.get(tt.missing)
		wantKind(t, err, nomadish.KindNotFound, tt.text)
		if index > w.read().Index() {
			t.Errorf("%s: missing at index %d of %d", tt.name, index, w.read().Index())
		}
	}
	a, _, _ := w.Allocation(ctx, nil, id)
	onNode, _, err := w.AllocationsByNode(ctx, nil, nodeID(0))
	if err != nil || len(onNode) != 1 || onNode[0].Job == nil || a.Job != onNode[0].Job || nomadish.Val(a.Job.ID) != "web" {
		t.Errorf("with their job: %+v and %+v, %v", a, onNode, err)
	}
	if w.alloc(id).Job != nil {
		t.Error("the stored allocation was changed")
	}
}

// A request to collect garbage is one pass, whatever the age of what has ended.
func TestCollectGarbage(t *testing.T) {
	w := newWorld(t, endpoint.Config{})
	if err := w.CollectGarbage(t.Context()); err != nil || w.collects != 1 {
		t.Errorf("%d passes, %v", w.collects, err)
	}
}
