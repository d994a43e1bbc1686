package state_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/state"
)

// filled returns a store with rows in every table.
func filled(t testing.TB) *state.Store {
	t.Helper()
	s := withAllocs(t, 3)
	write(t, s, 3, func(w *state.Writer) error {
		return errors.Join(
			w.PutEvaluation(&nomadish.Evaluation{ID: id(1), Namespace: "default", JobID: "web", Status: "pending"}),
			w.PutDeployment(&nomadish.Deployment{ID: id(1), Namespace: "default", JobID: "web"}),
			w.PutSchedulerConfig(&nomadish.SchedulerConfiguration{SchedulerAlgorithm: "spread"}),
			w.PutJobSubmission("default", "web", 0, &nomadish.JobSubmission{Source: "job {}"}),
			w.KeepResult("request", []byte("result")),
			w.BeginTerm(4, id(77)),
		)
	})
	return s
}

// A restored store is the same in all that can be read, and goes on in the same way.
func TestSnapshot(t *testing.T) {
	s := filled(t)
	r := s.Reader()
	var b bytes.Buffer
	if err := r.WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	again := state.New()
	if err := again.Restore(bytes.NewReader(b.Bytes())); err != nil {
		t.Fatal(err)
	}
	got := again.Reader()
	if got.Hash() != r.Hash() || got.Index() != 3 || got.Term() != 4 || got.ClusterID() != id(77) || !got.Time().Equal(r.Time()) {
		t.Errorf("index %d, term %d, cluster %s, time %s", got.Index(), got.Term(), got.ClusterID(), got.Time())
	}
	if i := got.TableIndex(state.TableAllocations); i != 2 {
		t.Errorf("allocations changed at index %d, want 2", i)
	}
	if _, result, ok := got.Result("request"); !ok || string(result) != "result" {
		t.Errorf("kept result %q, %v", result, ok)
	}
	if d, err := got.Deployment(nil, id(1)); err != nil || d.JobID != "web" {
		t.Errorf("deployment %+v (error %v)", d, err)
	}
	stop := func(w *state.Writer) error {
		return w.ChangeAllocation(id(0), func(a *nomadish.Allocation) { a.DesiredStatus = "stop" })
	}
	write(t, s, 4, stop)
	write(t, again, 4, stop)
	if got, want := again.Reader().Hash(), s.Reader().Hash(); got != want {
		t.Errorf("after one more command: hash %s, want %s", got, want)
	}
}

// A damaged snapshot is refused, whatever byte is damaged, and changes nothing.
func TestSnapshotDamage(t *testing.T) {
	var b bytes.Buffer
	if err := filled(t).Reader().WriteSnapshot(&b); err != nil {
		t.Fatal(err)
	}
	s := withAllocs(t, 1)
	before := s.Reader().Hash()
	check := func(what string, at int, text []byte) {
		if err := s.Restore(bytes.NewReader(text)); !errors.Is(err, state.ErrSnapshot) {
			t.Errorf("%s at byte %d: error %v, want %v", what, at, err, state.ErrSnapshot)
		}
	}
	for i := range b.Len() {
		check("cut", i, b.Bytes()[:i])
		flipped := bytes.Clone(b.Bytes())
		flipped[i] ^= 0x10
		check("flipped", i, flipped)
	}
	check("longer", b.Len(), append(bytes.Clone(b.Bytes()), 0))
	if s.Reader().Hash() != before {
		t.Error("a damaged snapshot changed the state")
	}
}

// What comes in instead of a snapshot gives an error and little memory, or a state.
func FuzzSnapshot(f *testing.F) {
	var b bytes.Buffer
	if err := filled(f).Reader().WriteSnapshot(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		s := state.New()
		if err := s.Restore(bytes.NewReader(text)); err != nil {
			return
		}
		var again bytes.Buffer
		if err := s.Reader().WriteSnapshot(&again); err != nil {
			t.Fatal(err)
		}
		other := state.New()
		if err := other.Restore(&again); err != nil || other.Reader().Hash() != s.Reader().Hash() {
			t.Errorf("restored again: error %v", err)
		}
	})
}
