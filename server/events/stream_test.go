package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/state"
)

// What each kind of change is called.
func TestTypes(t *testing.T) {
	w := newWorld(t, events.Config{}).run()
	from := w.index + 1
	w.place(2)
	w.report(2, "running")
	w.write(func(w *state.Writer) error {
		return w.ChangeAllocation(id(2), func(a *nomadish.Allocation) { a.DesiredTransition.Migrate = nomadish.Ptr(true) })
	})
	w.write(func(w *state.Writer) error {
		return w.PutEvaluation(&nomadish.Evaluation{ID: id(3), Namespace: "default", JobID: "web", Status: "complete"})
	})
	node := func(change func(n *nomadish.Node)) {
		w.write(func(w *state.Writer) error {
			old, err := w.Node(nil, id(1))
			if err != nil {
				return err
			}
			n := *old
			change(&n)
			return w.PutNode(&n)
		})
	}
	node(func(n *nomadish.Node) { n.SchedulingEligibility = nomadish.NodeIneligible })
	node(func(n *nomadish.Node) { n.Drain = true })
	node(func(n *nomadish.Node) { n.Status = nomadish.NodeStatusDown })
	node(func(n *nomadish.Node) { n.Meta = map[string]string{"a": "b"} })
	stopped := job("default", "web")
	stopped.Stop = nomadish.Ptr(true)
	w.write(func(w *state.Writer) error {
		_, _, err := w.PutJob(stopped)
		return err
	})
	w.write(func(w *state.Writer) error { return w.DeleteJob("default", "web") })
	w.write(func(w *state.Writer) error { return w.DeleteNode(id(1)) })

	var got []string
	for _, line := range w.read(&nomadish.EventRequest{Namespace: "*", Index: from}, 11) {
		var names []string
		for _, e := range line.Events {
			if e.Index != line.Index {
				t.Errorf("event of index %d in the line of %d", e.Index, line.Index)
			}
			names = append(names, e.Topic+" "+e.Type)
		}
		got = append(got, strings.Join(names, ", "))
	}
	want := []string{
		"Allocation PlanResult, Job PlanResult",
		"Allocation AllocationUpdated",
		"Allocation AllocationUpdateDesiredStatus",
		"Evaluation EvaluationUpdated",
		"Node NodeEligibility",
		"Node NodeDrain",
		"Node NodeEvent",
		"Node NodeRegistration",
		"Job JobDeregistered",
		"Job JobDeregistered",
		"Node NodeDeregistration",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// No event holds a node's secret, and no allocation its job. A job that is forgotten is told
// of by its last state.
func TestPayloads(t *testing.T) {
	w := newWorld(t, events.Config{}).run()
	w.place(2)
	w.write(func(w *state.Writer) error {
		n, err := w.Node(nil, id(1))
		if err != nil {
			return err
		}
		changed := *n
		changed.Name = "renamed"
		return w.PutNode(&changed)
	})
	w.write(func(w *state.Writer) error { return w.DeleteJob("default", "web") })
	var text strings.Builder
	for _, line := range w.read(&nomadish.EventRequest{Namespace: "*"}, 3) {
		b, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(b)
		for _, e := range line.Events {
			if p := e.Payload; p == nil || p.Allocation != nil && p.Allocation.Job != nil {
				t.Errorf("%s: payload %+v", e.Type, p)
			}
			if e.Type == nomadish.EventJobDeregistered && (!e.Payload.Deleted || nomadish.Val(e.Payload.Job.ID) != "web") {
				t.Errorf("deleted job: payload %+v", e.Payload)
			}
		}
	}
	if strings.Contains(text.String(), "hidden") {
		t.Errorf("a secret shows in %s", text.String())
	}
}

// Where a reader begins: with the short backlog at index 0, with nothing of the past from now,
// with the first command that is not older than its index, and from now when that is to come.
func TestWhereReadersBegin(t *testing.T) {
	w := newWorld(t, events.Config{Backlog: 3}).run()
	for n := range 9 {
		w.place(n + 2)
	}
	w.follow()
	last := w.index
	go func() { // for those who get nothing of the past
		for n := range 2_000 {
			if t.Context().Err() != nil {
				return
			}
			w.report(2+n%2, []string{"pending", "running"}[n/2%2])
			time.Sleep(time.Millisecond)
		}
	}()
	for _, tt := range []struct {
		name string
		req  nomadish.EventRequest
		want func(first uint64) bool
	}{
		{"index 0", nomadish.EventRequest{}, func(first uint64) bool { return first >= last-2 }},
		{"index 5", nomadish.EventRequest{Index: 5}, func(first uint64) bool { return first == 5 }},
		{"from now", nomadish.EventRequest{FromNow: true}, func(first uint64) bool { return first > last }},
		{"an index to come", nomadish.EventRequest{Index: 1 << 40}, func(first uint64) bool { return first > last }},
	} {
		tt.req.Namespace = "default"
		if lines := w.read(&tt.req, 1); !tt.want(lines[0].Index) {
			t.Errorf("%s: the first line is of index %d, the newest was %d", tt.name, lines[0].Index, last)
		}
	}
}

// Topics, keys and namespaces choose what a reader gets.
func TestFilters(t *testing.T) {
	w := newWorld(t, events.Config{}).run()
	from := w.index + 1
	w.write(func(w *state.Writer) error {
		for _, j := range []*nomadish.Job{job("default", "a"), job("default", "b"), job("other", "a")} {
			if _, _, err := w.PutJob(j); err != nil {
				return err
			}
		}
		if err := w.PlaceAllocation(alloc(2)); err != nil {
			return err
		}
		return w.PutNode(&nomadish.Node{ID: id(7), Name: "new"})
	})
	topic := func(topic, key string) nomadish.EventTopic { return nomadish.EventTopic{Topic: topic, Key: key} }
	for _, tt := range []struct {
		name      string
		namespace string
		topics    []nomadish.EventTopic
		deny      string // topic/namespace that the reader may not see
		want      []string
	}{
		{"all of a namespace", "default", nil, "", []string{"Allocation " + id(2), "Job a", "Job b", "Job web", "Node " + id(7)}},
		{"all", "*", nil, "", []string{"Allocation " + id(2), "Job a", "Job a", "Job b", "Job web", "Node " + id(7)}},
		{"a topic", "*", []nomadish.EventTopic{topic("Job", "*")}, "", []string{"Job a", "Job a", "Job b", "Job web"}},
		{"a job", "default", []nomadish.EventTopic{topic("Job", "a")}, "", []string{"Job a"}},
		{"a job in everything", "default", []nomadish.EventTopic{topic("*", "web")}, "", []string{"Allocation " + id(2), "Job web"}},
		{"a job's neighbour is another job", "default", []nomadish.EventTopic{topic("Job", "we")}, "", nil},
		{"two topics", "other", []nomadish.EventTopic{topic("Job", "a"), topic("Node", id(7))}, "", []string{"Job a", "Node " + id(7)}},
		{"not the nodes", "*", nil, "Node/", []string{"Allocation " + id(2), "Job a", "Job a", "Job b", "Job web"}},
		{"not the other namespace", "*", []nomadish.EventTopic{topic("Job", "*")}, "Job/other", []string{"Job a", "Job b", "Job web"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := &nomadish.EventRequest{Namespace: tt.namespace, Topics: tt.topics, Index: from}
			req.Allowed = func(_ context.Context, topic, namespace string) bool { return topic+"/"+namespace != tt.deny }
			if tt.want == nil { // another line shows that this one was passed over
				w.write(func(w *state.Writer) error {
					_, _, err := w.PutJob(job("default", "we"))
					return err
				})
				tt.want = []string{"Job we"}
			}
			var got []string
			for _, e := range w.read(req, 1)[0].Events {
				got = append(got, e.Topic+" "+e.Key)
			}
			if diff := cmp.Diff(sorted(tt.want), sorted(got)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// While nobody reads, few commands are kept, but not at once: who was cut off and comes back
// finds what it has missed.
func TestFewAreKeptForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, events.Config{Idle: 5, Backlog: 1, Linger: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.buffer.Run(ctx) }()
		synctest.Wait()
		w.place(2)
		from := w.index + 1
		oldest := func() uint64 {
			for range 20 {
				w.report(2, "running")
				synctest.Wait()
			}
			return w.read(&nomadish.EventRequest{Namespace: "*", Index: from}, 1)[0].Index
		}
		if got, want := oldest(), from+20-5; got != want {
			t.Errorf("nobody has ever read: the oldest is of index %d, want %d", got, want)
		}
		if got, want := oldest(), from+20-5; got != want {
			t.Errorf("somebody has just read: the oldest is of index %d, want %d still", got, want)
		}
		time.Sleep(2 * time.Minute)
		if got, want := oldest(), from+60-5; got != want {
			t.Errorf("after a while: the oldest is of index %d, want %d", got, want)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// A quiet stream shows signs of life. Readers' rights are looked at every few seconds: one
// that loses them gets nothing more, and one that is not known any more is cut off.
func TestQuietStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, events.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 2)
		go func() { ended <- w.buffer.Run(ctx) }()
		synctest.Wait()
		begin, beats := time.Now(), 0
		revoked := errors.New("revoked")
		go func() {
			ended <- w.buffer.StreamEvents(ctx, &nomadish.EventRequest{Namespace: "*", FromNow: true, Check: func(context.Context) error {
				if time.Since(begin) > 100*time.Second {
					return revoked
				}
				return nil
			}}, func(line []byte) error {
				if string(line) == "{}\n" {
					beats++
				}
				return nil
			})
		}()
		if err := <-ended; !errors.Is(err, revoked) {
			t.Errorf("the stream ended with %v, want %v", err, revoked)
		}
		if took := time.Since(begin); took > 106*time.Second {
			t.Errorf("the stream lived for %s, its reader was known for 100s", took)
		}
		if beats != 4 { // at once, and every 30s
			t.Errorf("%d heartbeats in 100s, want 4", beats)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// When the server ends, streams end without an error. When its state is replaced, they end
// with one.
func TestStreamsEnd(t *testing.T) {
	w := newWorld(t, events.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended, streamed, begun := make(chan error, 1), make(chan error, 1), make(chan bool, 10)
	go func() { ended <- w.buffer.Run(ctx) }()
	w.follow()
	go func() {
		streamed <- w.buffer.StreamEvents(t.Context(), &nomadish.EventRequest{Namespace: "*", FromNow: true}, func([]byte) error {
			begun <- true
			return nil
		})
	}()
	<-begun
	cancel()
	if err := errors.Join(<-ended, <-streamed); err != nil {
		t.Error(err)
	}
}

// Who wants to know only what has happened gets that, and no more.
func TestOnce(t *testing.T) {
	w := newWorld(t, events.Config{}).run()
	w.place(2)
	w.place(3)
	lines := 0
	err := w.buffer.StreamEvents(t.Context(), &nomadish.EventRequest{Namespace: "*", Once: true}, func([]byte) error {
		lines++
		return nil
	})
	if err != nil || lines != 3 {
		t.Errorf("%d lines, %v; want a heartbeat and two lines", lines, err)
	}
}

// Readers beyond the bound are refused, and there is room again when one leaves.
func TestReadersAreBounded(t *testing.T) {
	w := newWorld(t, events.Config{Readers: 1}).run()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		ended <- w.buffer.StreamEvents(ctx, &nomadish.EventRequest{}, func([]byte) error {
			select {
			case begun <- true:
			default:
			}
			return nil
		})
	}()
	<-begun
	err := w.buffer.StreamEvents(ctx, &nomadish.EventRequest{}, func([]byte) error { return nil })
	if nomadish.KindOf(err) != nomadish.KindLimited {
		t.Errorf("a second reader: %v, want that it is refused", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	w.place(2)
	w.read(&nomadish.EventRequest{Namespace: "*"}, 1)
}
