package localstate

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

func open(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func sample(id string) *nomadish.Allocation {
	return &nomadish.Allocation{
		ID: id, Namespace: "default", TaskGroup: "g", CreateIndex: 7,
		Job: &nomadish.Job{ID: nomadish.Ptr("web"), TaskGroups: []*nomadish.TaskGroup{{
			Name:  nomadish.Ptr("g"),
			Tasks: []*nomadish.Task{{Name: "t", Config: map[string]any{"args": []any{"a", "b"}, "n": 1.5}}},
		}}},
	}
}

func TestRecordsSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "state.db")
	db := open(t, path)
	a := sample("a1")
	task := &Task{
		Phase: PhaseDelaying, Attempt: 3, Handle: &drivers.Handle{ID: "a1/t/3", Driver: "d", PID: 9, State: []byte{0, 255}},
		State:  &nomadish.TaskState{State: nomadish.TaskStatePending, Restarts: 2, Events: []*nomadish.TaskEvent{{Type: "Started", Time: 5}}},
		Window: Window{Start: time.Unix(100, 0).UTC(), Count: 2}, RestartAt: time.Unix(200, 5).UTC(), Kill: &Kill{Reason: "why", Fails: true},
	}
	for _, err := range []error{db.PutAlloc(a), db.PutTask("a1", "t", task), db.PutAlloc(sample("a0")), db.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := open(t, path).Allocs()
	if err != nil {
		t.Fatal(err)
	}
	want := []*Alloc{{Alloc: sample("a0"), Tasks: map[string]*Task{}}, {Alloc: a, Tasks: map[string]*Task{"t": task}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDeleteForgetsAll(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "state.db"))
	for _, err := range []error{
		db.PutAlloc(sample("a1")), db.PutTask("a1", "t", &Task{}), db.DeleteAlloc("a1"), db.DeleteAlloc("a1"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got, err := db.Allocs(); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestOneBadRecordDoesNotHideTheOthers(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "state.db"))
	if err := db.PutAlloc(sample("good")); err != nil {
		t.Fatal(err)
	}
	err := db.bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketAllocs).Put([]byte("bad"), []byte{200, 1}) })
	if err != nil {
		t.Fatal(err)
	}
	got, err := db.Allocs()
	if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "allocation bad") {
		t.Errorf("got %d allocations, %v", len(got), err)
	}
}

func TestOtherFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db := open(t, path)
	err := db.bolt.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyFormat, []byte{0, 0, 0, 9}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "its format is 00000009") {
		t.Errorf("got %v", err)
	}
}

func TestWritesThatMeet(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "state.db"))
	if err := db.PutAlloc(sample("a")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := range 4 {
				if err := db.PutTask("a", fmt.Sprint(i), &Task{Attempt: n}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := db.Allocs()
	if err != nil || len(got[0].Tasks) != 50 {
		t.Fatalf("got %v, %v", got, err)
	}
	for name, task := range got[0].Tasks {
		if task.Attempt != 3 {
			t.Errorf("task %s: the newest record is number %d, want 3", name, task.Attempt)
		}
	}
}

func BenchmarkPutTask(b *testing.B) {
	for _, at := range []int{1, 50} {
		b.Run(fmt.Sprintf("at_once=%d", at), func(b *testing.B) {
			db := open(b, filepath.Join(b.TempDir(), "state.db"))
			task := &Task{Phase: PhaseRunning, State: &nomadish.TaskState{}}
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				for i := range at {
					wg.Go(func() {
						if err := db.PutTask("a", fmt.Sprint(i), task); err != nil {
							b.Error(err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}
