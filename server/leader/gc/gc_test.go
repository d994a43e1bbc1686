package gc_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/gc"
	"github.com/nomadish/nomadish/server/state"
)

var epoch = time.Unix(1_700_000_000, 0)

// world builds a state by commands, all at the epoch.
type world struct {
	t     *testing.T
	store *state.Store
	index uint64
	names map[string]string // ID to the name that the test uses
	ids   map[string]string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, store: state.New(), names: map[string]string{}, ids: map[string]string{}}
}

func (w *world) id(name string) string {
	if w.ids[name] == "" {
		id := nomadish.NewID()
		w.ids[name], w.names[id] = id, name
	}
	return w.ids[name]
}

func (w *world) apply(c fsm.Command) {
	w.t.Helper()
	w.index++
	txn := w.store.Begin()
	writer, err := txn.Writer(w.index, epoch)
	if err == nil {
		_, err = c.Apply(writer)
	}
	if err == nil {
		err = writer.Finish()
	}
	if err == nil {
		err = txn.Commit()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) node(name, status string) {
	w.apply(&fsm.RegisterNode{Node: &nomadish.Node{ID: w.id(name), SecretID: "s", Name: name, Status: status}})
}

func (w *world) job(name, kind string) {
	job := &nomadish.Job{
		ID: &name, Type: &kind,
		TaskGroups: []*nomadish.TaskGroup{{Name: nomadish.Ptr("g"), Tasks: []*nomadish.Task{{Name: "t", Driver: "mock"}}}},
	}
	job.Admit()
	job.SubmitTime = nomadish.Ptr(epoch.UnixNano())
	w.apply(&fsm.RegisterJob{Job: job})
}

func (w *world) stop(job string) {
	w.apply(&fsm.DeregisterJob{Namespace: "default", JobID: job, SubmitTime: epoch.UnixNano()})
}

func (w *world) eval(name, job, kind, status string) {
	w.apply(&fsm.UpdateEvaluations{Evals: []*nomadish.Evaluation{{
		ID: w.id(name), Namespace: "default", JobID: job, Type: kind, Status: status, Priority: 50,
	}}})
}

// alloc places an allocation and has its node report its state.
func (w *world) alloc(name, eval, job, node, desired, client string) {
	a := &nomadish.Allocation{
		ID: w.id(name), Namespace: "default", JobID: job, EvalID: w.id(eval), NodeID: w.id(node), TaskGroup: "g",
		Name: job + ".g[0]", DesiredStatus: desired,
		AllocatedResources: &nomadish.AllocatedResources{},
	}
	w.index++
	txn := w.store.Begin()
	writer, err := txn.Writer(w.index, epoch)
	if err == nil {
		err = writer.PlaceAllocation(a)
	}
	if err == nil {
		err = writer.UpdateAllocation(a.NodeID, &nomadish.Allocation{ID: a.ID, ClientStatus: client})
	}
	if err == nil {
		err = writer.Finish()
	}
	if err == nil {
		err = txn.Commit()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) selected(after time.Duration) []string {
	d := gc.Select(w.store.Reader(), epoch.Add(after), gc.Thresholds{
		Eval: time.Hour, BatchEval: 24 * time.Hour, Job: 4 * time.Hour, Node: 24 * time.Hour,
	})
	var out []string
	for _, id := range slices.Concat(d.Evals, d.Allocs, d.Nodes) {
		out = append(out, w.names[id])
	}
	for _, j := range d.Jobs {
		out = append(out, "job "+j.ID)
	}
	slices.Sort(out)
	return out
}

func TestSelect(t *testing.T) {
	for _, tt := range []struct {
		name  string
		build func(w *world)
		after time.Duration
		want  []string
	}{
		{"what runs stays", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "n", "run", "running")
		}, 1000 * time.Hour, nil},
		{"an evaluation goes with what it placed, at its age", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "n", "stop", "complete")
		}, time.Hour, []string{"a", "e"}},
		{"and not before", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "n", "stop", "complete")
		}, time.Hour - time.Second, nil},
		{"a failed allocation that waits for its replacement stays", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "n", "run", "failed")
		}, 1000 * time.Hour, nil},
		{"what a batch job has completed stays while the job is there to run", func(w *world) {
			w.job("sum", "batch")
			w.eval("e", "sum", "batch", "complete")
			w.eval("blocked", "sum", "batch", "blocked")
			w.alloc("a", "e", "sum", "n", "run", "complete")
		}, 1000 * time.Hour, nil},
		{"a stopped job goes with all of its, at the job's age", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "n", "stop", "complete")
			w.stop("web")
		}, 4 * time.Hour, []string{"a", "e", "job web"}},
		{"a waiting evaluation keeps its job", func(w *world) {
			w.job("web", "service")
			w.eval("e", "web", "service", "pending")
			w.stop("web")
		}, 1000 * time.Hour, nil},
		{"a node that is down goes when nothing is left on it", func(w *world) {
			w.node("dead", "down")
			w.node("dead but used", "down")
			w.job("web", "service")
			w.eval("e", "web", "service", "complete")
			w.alloc("a", "e", "web", "dead but used", "run", "running")
		}, 24 * time.Hour, []string{"dead"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.node("n", "ready")
			tt.build(w)
			if diff := cmp.Diff(tt.want, w.selected(tt.after)); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
		})
	}
}

// Propose makes the world a proposer.
func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.apply(c)
	return w.index, nil, nil
}

// A pass that removed much says so, once it is done; one that removed little does not.
func TestEmptied(t *testing.T) {
	for _, tt := range []struct {
		rows, told int
	}{{499, 0}, {500, 1}, {1500, 1}} {
		w := newWorld(t)
		var evals []*nomadish.Evaluation
		for range tt.rows {
			evals = append(evals, &nomadish.Evaluation{
				ID: nomadish.NewID(), Namespace: "default", JobID: "gone", Type: nomadish.JobTypeService, Status: nomadish.EvalStatusComplete,
			})
		}
		w.apply(&fsm.UpdateEvaluations{Evals: evals})
		told := 0
		reaper := gc.New(gc.Config{Now: func() time.Time { return epoch.Add(time.Hour) }, Emptied: func() { told++ }}, w.store, w)
		if err := reaper.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if told != tt.told {
			t.Errorf("after %d rows: told %d times, want %d", tt.rows, told, tt.told)
		}
		if left := slices.Collect(w.store.Reader().Evaluations(nil)); len(left) > 0 {
			t.Errorf("%d of %d rows are left", len(left), tt.rows)
		}
	}
}
