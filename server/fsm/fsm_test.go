package fsm_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

var start = time.Unix(1_700_000_000, 0)

// entry makes a log entry of a command.
func entry(t rapid.TB, index uint64, request string, at time.Time, c fsm.Command) *raft.Log {
	t.Helper()
	b, err := fsm.Encode(c, request, at)
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Type: raft.LogCommand, Data: b}
}

// apply applies a command and returns what it answers.
func apply(t testing.TB, f *fsm.FSM, index uint64, c fsm.Command) fsm.Result {
	t.Helper()
	return f.Apply(entry(t, index, "", start, c)).(fsm.Result)
}

func mustApply(t testing.TB, f *fsm.FSM, index uint64, c fsm.Command) any {
	t.Helper()
	r := apply(t, f, index, c)
	if r.Err != nil {
		t.Fatalf("%s at index %d: %v", c.Kind(), index, r.Err)
	}
	return r.Value
}

func registerWeb(count int) *fsm.RegisterJob {
	return &fsm.RegisterJob{
		Job: &nomadish.Job{
			Namespace: nomadish.Ptr("default"), ID: nomadish.Ptr("web"),
			TaskGroups: []*nomadish.TaskGroup{{
				Name: nomadish.Ptr("group"), Count: &count,
				Tasks: []*nomadish.Task{{Name: "task", Resources: &nomadish.Resources{CPU: nomadish.Ptr(10 * count)}}},
			}},
		},
		Eval: &nomadish.Evaluation{ID: id('e', count), Namespace: "default", JobID: "web", Status: "pending"},
	}
}

// A request that comes again is not carried out again: it gets the first answer, also
// when that was an error, until its time is over. A leader whose clock is far ahead does not end that time.
func TestRequestID(t *testing.T) {
	f := newFSM(t)
	first := f.Apply(entry(t, 1, "r1", start, registerWeb(1))).(fsm.Result)
	if first.Err != nil {
		t.Fatal(first.Err)
	}
	second := f.Apply(entry(t, 2, "r1", start.Add(9*time.Minute), registerWeb(2))).(fsm.Result)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("answers (-first +again):\n%s", diff)
	}
	missing := &fsm.DeregisterJob{Namespace: "default", JobID: "none"}
	failed := f.Apply(entry(t, 3, "r2", start.Add(9*time.Minute), missing)).(fsm.Result)
	again := f.Apply(entry(t, 4, "r2", start.Add(9*time.Minute), &fsm.DeregisterJob{Namespace: "default", JobID: "web"})).(fsm.Result)
	if !errors.Is(failed.Err, nomadish.ErrNotFound) || !errors.Is(again.Err, nomadish.ErrNotFound) || again.Err.Error() != failed.Err.Error() {
		t.Errorf("answered %v, then %v; want not found twice", failed.Err, again.Err)
	}
	other := f.Apply(entry(t, 5, "r2", start.Add(9*time.Minute), registerWeb(3))).(fsm.Result)
	if nomadish.KindOf(other.Err) != nomadish.KindConflict {
		t.Errorf("the ID of a request of another kind: %v, want a conflict", other.Err)
	}
	job, err := f.Store().Reader().Job(nil, "default", "web")
	if err != nil || *job.Version != 0 {
		t.Errorf("version %d (error %v), want 0", *job.Version, err)
	}
	leap := start.Add(10 * 365 * 24 * time.Hour)
	again = f.Apply(entry(t, 6, "r1", leap, registerWeb(2))).(fsm.Result)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("answers (-first +again after the clock leapt):\n%s", diff)
	}
	index := uint64(6)
	for at := leap; at.Before(leap.Add(10 * time.Minute)); at = at.Add(time.Second) {
		index++
		f.Apply(entry(t, index, "", at, &fsm.Barrier{}))
	}
	later := f.Apply(entry(t, index+1, "r1", leap.Add(10*time.Minute), registerWeb(2))).(fsm.Result)
	if later.Err != nil || later.Index != index+1 || later.Value.(*fsm.RegisterJobResult).Version != 1 {
		t.Errorf("after ten minutes of writes: %+v, want version 1 at index %d", later, index+1)
	}
}

// The log's time is the greatest that a command has carried.
func TestTimeNeverGoesBack(t *testing.T) {
	f := newFSM(t)
	for i, seconds := range []time.Duration{5, 3, 7} {
		f.Apply(entry(t, uint64(i+1), "", start.Add(seconds*time.Second), &fsm.Barrier{}))
		want := start.Add(max(5, seconds) * time.Second)
		if got := f.Store().Reader().Time(); !got.Equal(want) {
			t.Errorf("after %ds: %s, want %s", seconds, got, want)
		}
	}
}

// What this program can't apply stops it: nothing of the batch is applied, nothing after
// it, and no snapshot is taken.
func TestFatal(t *testing.T) {
	good := entry(t, 5, "", start, registerWeb(1))
	for _, tt := range []struct {
		name string
		data []byte
		want string
	}{
		{"unknown kind", codec.Marshal(&fsm.Entry{Kind: 999, Level: 1}), "kind 999 is unknown"},
		{"newer level", codec.Marshal(&fsm.Entry{Kind: fsm.KindBarrier, Level: fsm.MaxLevel + 1}), "level 2, this program knows up to 1"},
		{"damaged entry", []byte{0xff}, "truncated"},
		{"damaged command", codec.Marshal(&fsm.Entry{Kind: fsm.KindRegisterJob, Level: 1, Body: []byte{0xff}}), "command RegisterJob"},
		{"damaged compression", codec.Marshal(&fsm.Entry{Kind: fsm.KindRegisterJob, Level: 1, Packed: []byte{0xff, 0xff, 3}}), "command RegisterJob"},
		{"cluster level of another program", entry(t, 6, "", start, &fsm.RaiseClusterLevel{Level: 99}).Data, "cluster level becomes 99"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told []error
			f := fsm.New(state.New(), fsm.Config{OnFatal: func(err error) { told = append(told, err) }})
			results := f.ApplyBatch([]*raft.Log{good, {Index: 6, Type: raft.LogCommand, Data: tt.data}})
			for _, r := range results {
				if err := r.(fsm.Result).Err; !errors.Is(err, fsm.ErrStopped) {
					t.Errorf("result %v, want %v", err, fsm.ErrStopped)
				}
			}
			f.Apply(good)
			if len(told) != 1 || !strings.Contains(told[0].Error(), tt.want) || !errors.Is(f.Err(), fsm.ErrStopped) {
				t.Errorf("told %v, want once and with %q", told, tt.want)
			}
			if f.Store().Reader().Index() != 0 {
				t.Error("something was applied")
			}
			if _, err := f.Snapshot(); !errors.Is(err, fsm.ErrStopped) {
				t.Errorf("snapshot: error %v, want %v", err, fsm.ErrStopped)
			}
		})
	}
}

// An entry is refused before it is proposed when it is too large; a job that compresses
// well is not.
func TestEntryLimit(t *testing.T) {
	source := func(n int, text func(i int) byte) *fsm.StoreSubmission {
		b := make([]byte, n)
		for i := range b {
			b[i] = text(i)
		}
		return &fsm.StoreSubmission{Submission: &nomadish.JobSubmission{Source: string(b)}}
	}
	random := uint32(1)
	noise := func(int) byte {
		random = random*1664525 + 1013904223
		return byte(random >> 24)
	}
	same := func(int) byte { return 'x' }
	if _, err := fsm.Encode(source(8<<20, same), "", start); err != nil {
		t.Errorf("8 MiB that compress well: %v", err)
	}
	for name, c := range map[string]fsm.Command{"2 MiB of noise": source(2<<20, noise), "17 MiB": source(17<<20, same)} {
		if _, err := fsm.Encode(c, "", start); nomadish.KindOf(err) != nomadish.KindTooLarge {
			t.Errorf("%s: error %v, want that it is too large", name, err)
		}
	}
}

// The FSM's snapshot is a state that another FSM goes on from.
func TestSnapshot(t *testing.T) {
	f := newFSM(t)
	mustApply(t, f, 1, registerWeb(1))
	snap, err := f.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	mustApply(t, f, 2, registerWeb(2)) // not in the snapshot
	sink := &sink{}
	if err := snap.Persist(sink); err != nil || !sink.closed {
		t.Fatalf("persist: %v, closed %v", err, sink.closed)
	}
	snap.Release()
	again := newFSM(t)
	if err := again.Restore(io.NopCloser(bytes.NewReader(sink.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if got := again.Store().Reader().Index(); got != 1 {
		t.Errorf("restored to index %d, want 1", got)
	}
	if err := again.Restore(io.NopCloser(strings.NewReader("nonsense"))); !errors.Is(err, state.ErrSnapshot) {
		t.Errorf("restore of nonsense: error %v", err)
	}
}

type sink struct {
	bytes.Buffer
	closed bool
}

func (*sink) ID() string     { return "snapshot" }
func (*sink) Cancel() error  { return nil }
func (s *sink) Close() error { s.closed = true; return nil }

// The state hash is told at the indexes at which servers compare it, also inside a batch,
// and is the one that a reader sees there.
func TestHashIsTold(t *testing.T) {
	told := map[uint64]state.Hash{}
	f := fsm.New(state.New(), fsm.Config{OnHash: func(index uint64, level uint32, h state.Hash) { told[index] = h }})
	one := newFSM(t)
	logs := []*raft.Log{
		entry(t, 1023, "", start, registerWeb(1)),
		entry(t, 1024, "", start, registerWeb(2)),
		{Index: 1025, Type: raft.LogConfiguration},
		entry(t, 1026, "", start, registerWeb(3)),
	}
	if results := f.ApplyBatch(logs); results[2] != nil {
		t.Errorf("entry without a command: %v", results[2])
	}
	one.ApplyBatch(logs[:2])
	want := map[uint64]state.Hash{1024: one.Store().Reader().Hash()}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The cluster level rises to what all servers speak, and never falls.
func TestNextLevel(t *testing.T) {
	for _, tt := range []struct {
		name    string
		present uint32
		servers []fsm.Levels
		want    uint32
	}{
		{"nobody known", 2, nil, 2},
		{"all newer", 1, []fsm.Levels{{1, 3}, {2, 4}}, 3},
		{"one is old", 1, []fsm.Levels{{1, 1}, {1, 4}}, 1},
		{"never down", 3, []fsm.Levels{{1, 2}, {1, 4}}, 3},
		{"nothing in common", 1, []fsm.Levels{{1, 1}, {2, 3}}, 1},
	} {
		if got := fsm.NextLevel(tt.present, tt.servers); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	if l := fsm.SupportedLevels(); !l.Speaks(fsm.MaxLevel) || l.Speaks(fsm.MaxLevel+1) {
		t.Errorf("supported levels %+v", l)
	}
}
