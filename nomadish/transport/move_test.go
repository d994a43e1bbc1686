package transport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// mover is a node with a session with the first of two servers, which lingers for no time.
type mover struct {
	one, two, node *Hub
	choice         *Choice
	left           chan Peer // nodes that the first server has no session with any more
}

func newMover(t *testing.T) *mover {
	t.Helper()
	m := &mover{left: make(chan Peer, 8)}
	var err error
	m.one, err = NewHub(HubConfig{
		Self: Hello{Kind: "server", ID: "s1"}, Listen: "127.0.0.1:0", Ended: func(p Peer, _ error) { m.left <- p },
	}, named("one"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, m.one.Run)
	m.two = newHub(t, "server", "s2", "127.0.0.1:0", named("two"))
	m.node = newHub(t, "node", "n1", "", lines)
	m.choice = m.node.Choose(ChoiceConfig{Servers: []string{m.first()}, MoveWithin: time.Millisecond})
	m.choice.linger = 20 * time.Millisecond
	run(t, m.choice.Run)
	expect(t, m.choice, "one")
	return m
}

func (m *mover) first() string  { return m.one.Addr().String() }
func (m *mover) second() string { return m.two.Addr().String() }

// told has the node told of a server with fewer sessions until it has heard.
func (m *mover) told(t *testing.T, to string, heard func() bool) {
	t.Helper()
	lease := &nomadish.NodeLease{HeartbeatTTL: time.Second, Servers: []string{m.first(), m.second()}, Move: to}
	until(t, "a move to "+to, func() bool {
		m.choice.Leased(lease, nil)
		return heard()
	})
}

// A node goes over to a server with fewer sessions without any time in which it has none. Nobody opens
// streams on the old session from then on, and it ends with its last stream.
func TestMove(t *testing.T) {
	m := newMover(t)
	old := m.node.Dial(m.first()).(*dialled).current()
	t.Run("with a stream", func(t *testing.T) {
		back, err := m.one.Node("n1")
		if err != nil {
			t.Fatal(err)
		}
		say := talk(t, back)
		m.told(t, m.second(), func() bool { return m.choice.Servers()[0] == m.second() })
		expect(t, m.choice, "two")
		if gone := <-m.left; gone.ID != "n1" {
			t.Errorf("%s has left, want n1", gone.ID)
		}
		if _, err := m.one.Node("n1"); err == nil {
			t.Error("the node is still reached through the server that it has left")
		}
		if here := m.two.Nodes(); len(here) != 1 {
			t.Errorf("the other server has sessions with %v, want n1", here)
		}
		if err := say("still there"); err != nil {
			t.Errorf("the stream was cut off: %v", err)
		}
	})
	select {
	case <-old.session.Done():
	case <-time.After(20 * time.Second):
		t.Error("the old session goes on without a stream")
	}
	m.told(t, m.first(), func() bool { return m.choice.Servers()[0] == m.first() })
	expect(t, m.choice, "one")
}

// A question that waits for an answer does not keep the old session: it is asked again at the other server.
func TestMoveTakesQuestionsAlong(t *testing.T) {
	m := newMover(t)
	old := m.node.Dial(m.first()).(*dialled).current()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://peer/wait", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = m.choice.RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
		}
		answered <- err
	}()
	m.told(t, m.second(), func() bool { return m.choice.Servers()[0] == m.second() })
	<-old.session.Done()
	select {
	case err := <-answered:
		t.Errorf("the question ended with %v, want it to wait on", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want what its context says", err)
	}
}

// Requests that are made while nodes go to and fro are all answered.
func TestMovesLoseNoRequest(t *testing.T) {
	m := newMover(t)
	ctx, cancel := context.WithCancel(t.Context())
	moves := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			to := []string{m.second(), m.first()}[n%2]
			m.choice.Leased(&nomadish.NodeLease{Servers: []string{m.first(), m.second()}, Move: to}, nil)
			if m.choice.Servers()[0] == to {
				n++
			}
			time.Sleep(time.Millisecond)
		}
		moves <- n
	}()
	for range 2000 {
		if _, err := ask(t, m.choice); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Microsecond)
	}
	cancel()
	if n := <-moves; n < 3 {
		t.Errorf("it went over %d times, want more", n)
	}
}

// A node stays where it is when the other server does not answer, or is not one of the cluster.
func TestMoveStays(t *testing.T) {
	m := newMover(t)
	dead, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	away := dead.Addr().String()
	m.choice.Set([]string{m.first(), away})
	for name, to := range map[string]string{"a dead server": away, "a stranger": m.second(), "itself": m.first()} {
		if old, _ := m.choice.move(t.Context(), to); old != nil || m.choice.Servers()[0] != m.first() {
			t.Errorf("it went over to %s", name)
		}
	}
	m.node.mu.Lock()
	defer m.node.mu.Unlock()
	if n := len(m.node.joined); n != 1 {
		t.Errorf("%d sessions, want the first alone", n)
	}
}

// Farewells are for sessions: others may have a route of that name.
func TestFarewellOfNobody(t *testing.T) {
	h := newHub(t, "server", "s1", "127.0.0.1:0", named("one"))
	way := InProcess(h.farewells(named("next")), Peer{Kind: nomadish.CallerNode, ID: "n1"})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer"+farewellPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := way.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, want that of the next handler", resp.StatusCode)
	}
}
