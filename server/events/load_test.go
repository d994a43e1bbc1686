package events_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/state"
)

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// A hundred readers get every event in order. One that takes nothing is cut off with an error
// that says so, and delays nobody.
func TestManyReaders(t *testing.T) {
	const changes = 500
	w := newWorld(t, events.Config{Commands: 64}).run()
	w.place(2)
	w.follow()
	from := w.index + 1
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	stuck, cut := make(chan bool), make(chan error, 1)
	go func() {
		cut <- w.buffer.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*", Index: from}, func(line []byte) error {
			if string(line) != "{}\n" {
				<-stuck
			}
			return nil
		})
	}()

	var wg sync.WaitGroup
	seen := make([]progress, 100)
	for i := range seen {
		seen[i].set(w.index)
		wg.Go(func() {
			readerCtx, done := context.WithCancel(ctx)
			defer done()
			next := from
			err := w.buffer.StreamEvents(readerCtx, &nomadish.EventRequest{Namespace: "*", Index: from}, func(line []byte) error {
				if string(line) == "{}\n" {
					return nil
				}
				if want := fmt.Sprintf(`{"Index":%d,`, next); !strings.HasPrefix(string(line), want) {
					t.Errorf("reader %d got %.40s, want index %d", i, line, next)
				}
				seen[i].set(next)
				if next++; next == from+changes {
					done()
				}
				return nil
			})
			if err != nil || next != from+changes {
				t.Errorf("reader %d ended at index %d with %v, want %d", i, next, err, from+changes)
			}
		})
	}
	for n := range changes {
		w.report(2, []string{"running", "pending"}[n%2])
		for i := range seen { // nobody falls behind but the one who is stuck
			seen[i].wait(ctx, w.index)
		}
	}
	wg.Wait()
	close(stuck)
	if err := <-cut; nomadish.KindOf(err) != nomadish.KindLimited || !strings.Contains(err.Error(), "too slow") {
		t.Errorf("the stuck reader ended with %v, want that it was too slow", err)
	}
}

// progress is how far a reader has come.
type progress struct {
	mu    sync.Mutex
	index uint64
}

func (p *progress) set(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
}

func (p *progress) wait(ctx context.Context, index uint64) {
	for ctx.Err() == nil {
		p.mu.Lock()
		there := p.index+32 >= index
		p.mu.Unlock()
		if there {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Memory stays flat while a reader is stuck and a hundred thousand events go by.
func TestMemoryIsBounded(t *testing.T) {
	const bound = 32 << 20
	w := newWorld(t, events.Config{})
	for n := range 100 {
		w.place(n + 2)
	}
	batch := func(n int) {
		w.write(func(w *state.Writer) error {
			for i := range 100 {
				said := &nomadish.Allocation{ID: id(i + 2), ClientStatus: []string{"running", "pending"}[n%2]}
				if err := w.UpdateAllocation(id(1), said); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for n := range 340 { // the store's own feed of changes is full then
		batch(n)
	}
	before := heap()
	w.run()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stuck, cut := make(chan bool), make(chan error, 1)
	go func() {
		cut <- w.buffer.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*"}, func([]byte) error {
			<-stuck
			return nil
		})
	}()
	go func() { // another has everything encoded
		_ = w.buffer.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*"}, func([]byte) error { return nil })
	}()
	for n := range 1000 {
		batch(n)
	}
	w.follow()
	if grown := heap() - before; grown > bound {
		t.Errorf("the heap grew by %d MiB, want at most %d", grown>>20, bound>>20)
	} else {
		t.Logf("the heap grew by %.1f MiB", float64(grown)/(1<<20))
	}
	close(stuck)
	if err := <-cut; nomadish.KindOf(err) != nomadish.KindLimited {
		t.Errorf("the stuck reader ended with %v, want that it was too slow", err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Whoever applies events onto a snapshot has the state: there is no gap, and none comes twice
// or in another order.
func TestEventsAreTheState(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, events.Config{})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- w.buffer.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				rt.Error(err)
			}
		}()
		w.follow()
		mutate := func(label string) {
			for range rapid.IntRange(1, 20).Draw(rt, label) {
				w.random(rt)
			}
		}
		mutate("before")
		snapshot := w.store.Reader()
		model := modelOf(snapshot)
		from := snapshot.Index() + 1
		mutate("after")
		w.place(1 << 20) // so that there is a last event
		for last := uint64(0); last < w.index; {
			for _, line := range w.read(&nomadish.EventRequest{Namespace: "*", Index: max(from, last+1)}, 1) {
				if line.Index <= last {
					rt.Fatalf("index %d after %d", line.Index, last)
				}
				last = line.Index
				model.apply(line)
			}
		}
		if diff := cmp.Diff(modelOf(w.store.Reader()), model); diff != "" {
			rt.Fatalf("events lead elsewhere than the state (-state +events):\n%s", diff)
		}
	})
}

// random makes a change that makes an event, or one that doesn't.
func (w *world) random(rt *rapid.T) {
	n := rapid.IntRange(2, 5).Draw(rt, "thing")
	status := rapid.SampledFrom([]string{"pending", "running", "failed"}).Draw(rt, "status")
	kind := rapid.IntRange(0, 5).Draw(rt, "kind")
	w.write(func(w *state.Writer) error {
		switch kind {
		case 0:
			if w.CheckPlacement(alloc(n)) != nil {
				return nil
			}
			return w.PlaceAllocation(alloc(n))
		case 1:
			return w.UpdateAllocation(id(1), &nomadish.Allocation{ID: id(n), ClientStatus: status})
		case 2:
			return w.PutEvaluation(&nomadish.Evaluation{ID: id(n), Namespace: "default", JobID: "web", Status: status})
		case 3:
			_, _, err := w.PutJob(job("other", fmt.Sprintf("job-%d", n)))
			return err
		case 4:
			return w.DeleteJob("other", fmt.Sprintf("job-%d", n))
		}
		return w.PutNode(&nomadish.Node{ID: id(n), Name: status})
	})
}

// model is what is known of the state: each thing's index of change, by its name.
type model map[string]uint64

func modelOf(r state.Reader) model {
	m := model{}
	for a := range r.Allocations(nil) {
		m["Allocation "+a.ID] = a.ModifyIndex
	}
	for e := range r.Evaluations(nil) {
		m["Evaluation "+e.ID] = e.ModifyIndex
	}
	for j := range r.Jobs(nil, state.AnyNamespace) {
		m["Job "+nomadish.Val(j.Namespace)+"/"+nomadish.Val(j.ID)] = nomadish.Val(j.ModifyIndex)
	}
	for n := range r.Nodes(nil) {
		m["Node "+n.ID] = n.ModifyIndex
	}
	return m
}

func (m model) apply(line *nomadish.Events) {
	for _, e := range line.Events {
		p := e.Payload
		switch e.Topic {
		case nomadish.TopicAllocation:
			m["Allocation "+e.Key] = p.Allocation.ModifyIndex
		case nomadish.TopicEvaluation:
			m["Evaluation "+e.Key] = p.Evaluation.ModifyIndex
		case nomadish.TopicNode:
			m["Node "+e.Key] = p.Node.ModifyIndex
		case nomadish.TopicJob:
			name := "Job " + e.Namespace + "/" + e.Key
			if m[name] = nomadish.Val(p.Job.ModifyIndex); p.Deleted {
				delete(m, name)
			}
		}
	}
}

// What one more reader costs, per command that changed one allocation: the line is composed
// of what is encoded already.
func BenchmarkReader(b *testing.B) {
	w := newWorld(b, events.Config{Backlog: 1000}).run()
	w.place(2)
	for n := range 999 {
		w.report(2, []string{"running", "pending"}[n%2])
	}
	w.follow()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	lines := 0
	read := func() {
		ctx, done := context.WithCancel(ctx)
		defer done()
		left := 900
		_ = w.buffer.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*"}, func([]byte) error {
			if left--; left == 0 {
				done()
			}
			lines++
			return nil
		})
	}
	read() // the first one encodes
	lines = 0
	b.ReportAllocs()
	for b.Loop() {
		read()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines), "ns/line")
}
