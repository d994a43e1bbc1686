package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/nomadish/nomadish/nomadish"
)

// whoami answers with what it knows of the caller.
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	o := OriginFrom(r.Context())
	_, limited := r.Context().Deadline()
	_, _ = fmt.Fprintf(w, "%s %s hops=%d deadline=%t", o.Kind, o.ID, o.Hops, limited)
})

func newHub(t *testing.T, kind, id, listen string, h http.Handler) *Hub {
	t.Helper()
	hub, err := NewHub(HubConfig{Self: Hello{Kind: kind, ID: id}, Listen: listen}, h)
	if err != nil {
		t.Fatal(err)
	}
	run(t, hub.Run)
	return hub
}

// ask makes a request and returns the body of the answer.
func ask(t *testing.T, rt http.RoundTripper, header ...string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func expect(t *testing.T, rt http.RoundTripper, want string, header ...string) {
	t.Helper()
	got, err := ask(t, rt, header...)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A session that one side dialled carries requests of both, each told who the other is.
func TestSessionWorksBothWays(t *testing.T) {
	server := newHub(t, "server", "s1", "127.0.0.1:0", whoami)
	node := newHub(t, "node", "n1", "", whoami)
	expect(t, node.Dial(server.Addr().String()), "node n1 hops=0 deadline=false")
	back, err := server.Node("n1")
	if err != nil {
		t.Fatal(err)
	}
	expect(t, back, "server s1 hops=0 deadline=false")
	again, err := node.Server("s1") // who dialled knows the other by its ID, too
	if err != nil {
		t.Fatal(err)
	}
	expect(t, again, "node n1 hops=0 deadline=false")
	if _, err := server.Node("n2"); err == nil || err.Error() != "No path to node" {
		t.Errorf("unknown node: got %v", err)
	}
	if got := server.Nodes(); len(got) != 1 || got[0] != "n1" {
		t.Errorf("nodes: got %v", got)
	}
}

// A session in memory does the same without a socket.
func TestJoinInMemory(t *testing.T) {
	server := newHub(t, "server", "s1", "", whoami)
	near, far := Pipe()
	ended := make(chan error, 1)
	go func() { ended <- server.Join(far, Peer{Kind: nomadish.CallerNode, ID: "n1"}) }()
	expect(t, Client(near), "node n1 hops=0 deadline=false")
	_ = near.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// After its session broke, the next request dials again.
func TestRedial(t *testing.T) {
	server := newHub(t, "server", "s1", "127.0.0.1:0", whoami)
	node := newHub(t, "node", "n1", "", whoami)
	to := node.Dial(server.Addr().String())
	expect(t, to, "node n1 hops=0 deadline=false")
	l := to.(*dialled).current()
	_ = l.session.Close()
	<-l.session.Done()
	expect(t, to, "node n1 hops=0 deadline=false")
}

// Who is refused learns why, and gets no session.
func TestAdmit(t *testing.T) {
	server, err := NewHub(HubConfig{
		Self:   Hello{Kind: "server", ID: "s1"},
		Listen: "127.0.0.1:0",
		Admit: func(_ context.Context, h Hello, _ string) error {
			if h.Secret != "right" {
				return errors.New("wrong secret")
			}
			return nil
		},
	}, whoami)
	if err != nil {
		t.Fatal(err)
	}
	run(t, server.Run)
	for secret, want := range map[string]string{"right": "", "wrong": "wrong secret"} {
		node, err := NewHub(HubConfig{Self: Hello{Kind: "node", ID: "n1", Secret: secret}}, whoami)
		if err != nil {
			t.Fatal(err)
		}
		run(t, node.Run)
		_, err = ask(t, node.Dial(server.Addr().String()))
		if want == "" && err != nil {
			t.Errorf("%s: %v", secret, err)
		}
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %s", secret, err, want)
		}
	}
	stranger := newHub(t, "", "", "", whoami)
	if _, err := ask(t, stranger.Dial(server.Addr().String())); err == nil {
		t.Error("who does not say what it is got a session")
	}
}

// On the agents' port, garbage and silence are closed within 5 s, and raft's connections
// are handed over untouched.
func TestAgentsPort(t *testing.T) {
	hub := newHub(t, "server", "s1", "127.0.0.1:0", whoami)
	for _, bytes := range []string{"GET / HTTP/1.1\r\n\r\n", "A\xff\xff", "A\x00\x02{]", "\x00"} {
		c := dial(t, hub.Addr())
		_, _ = io.WriteString(c, bytes)
		_, _ = io.Copy(io.Discard, c) // returns when the hub closes it
	}
	raft := NewRaft(hub, func(id string) (string, error) {
		if id != "s1" {
			return "", errors.New("unknown server")
		}
		return hub.Addr().String(), nil
	})
	near, err := raft.Dial(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := raft.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	_, _ = io.WriteString(near, "raft")
	buf := make([]byte, 4)
	if _, err := io.ReadFull(far, buf); err != nil || string(buf) != "raft" {
		t.Errorf("got %q, %v; want raft", buf, err)
	}
	if _, err := raft.Dial(t.Context(), "s2"); err == nil {
		t.Error("dialled a server whose address is unknown")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := raft.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("accept: got %v, want context.Canceled", err)
	}
}

func TestAgentsPortClosesTheSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub, err := NewHub(HubConfig{Self: Hello{Kind: "server", ID: "s1"}}, whoami)
		if err != nil {
			t.Fatal(err)
		}
		l := newMemListener()
		hub.listener = l
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- hub.Run(ctx) }()
		c := l.dial(t)
		began := time.Now()
		_, _ = io.Copy(io.Discard, c)
		if got := time.Since(began); got != 5*time.Second {
			t.Errorf("closed after %v, want 5s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Origin headers count when a server sends them, and are taken away from everybody else.
func TestOriginHeaders(t *testing.T) {
	server := newHub(t, "server", "s1", "127.0.0.1:0", whoami)
	forged := []string{headerOriginKind, "server", headerOriginID, "evil", headerHops, "1", headerDeadline, "60000"}
	for _, tt := range []struct {
		name string
		from *Hub
		want string
	}{
		{"a server", newHub(t, "server", "s2", "", whoami), "server evil hops=1 deadline=true"},
		{"a node", newHub(t, "node", "n1", "", whoami), "anonymous  hops=1 deadline=true"},
	} {
		t.Run(tt.name, func(t *testing.T) { expect(t, tt.from.Dial(server.Addr().String()), tt.want, forged...) })
	}
	t.Run("a user", func(t *testing.T) {
		s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for name := range r.Header {
				if strings.HasPrefix(name, headerPrefix) {
					t.Errorf("header %s was passed on", name)
				}
			}
			whoami(w, r)
		}))
		if err != nil {
			t.Fatal(err)
		}
		run(t, s.Run)
		to := http.RoundTripper(&http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("tcp", s.Addrs()[0].String())
		}})
		expect(t, to, "anonymous  hops=0 deadline=true", forged...)
	})
}

// forwarder forwards everything to rt.
func forwarder(rt func() http.RoundTripper) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := Forward(w, r, rt()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, err.Error())
		}
	})
}

// A request is forwarded four times at most and keeps its origin.
func TestForwardHops(t *testing.T) {
	last := newHub(t, "server", "last", "127.0.0.1:0", whoami)
	chain := []*Hub{last}
	for i := range 5 {
		next := chain[len(chain)-1].Addr().String()
		var hub *Hub
		hub = newHub(t, "server", fmt.Sprint("s", i), "127.0.0.1:0", forwarder(func() http.RoundTripper { return hub.Dial(next) }))
		chain = append(chain, hub)
	}
	user := newHub(t, "node", "n1", "", whoami)
	expect(t, user.Dial(chain[1].Addr().String()), "node n1 hops=1 deadline=false")
	expect(t, user.Dial(chain[4].Addr().String()), "node n1 hops=4 deadline=false")
	expect(t, user.Dial(chain[5].Addr().String()), "request was forwarded 4 times without reaching its place")
}

// A forwarded answer arrives as it is written, and an upgraded connection passes through.
func TestForwardStreams(t *testing.T) {
	next := make(chan struct{})
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_ = rw.Flush()
			_, _ = io.Copy(c, rw)
			return
		}
		for range 3 {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-next
		}
	})
	for name, to := range map[string]http.RoundTripper{
		"session":    newHub(t, "server", "s2", "", whoami).Dial(newHub(t, "server", "s1", "127.0.0.1:0", origin).Addr().String()),
		"in process": InProcess(origin, Peer{}),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}}, forwarder(func() http.RoundTripper { return to }))
			if err != nil {
				t.Fatal(err)
			}
			run(t, s.Run)
			c := dial(t, s.Addrs()[0])
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				next <- struct{}{}
			}
			checkUpgrade(t, dial(t, s.Addrs()[0]))
		})
	}
}

func checkUpgrade(t *testing.T, c net.Conn) {
	t.Helper()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	buffered := bufio.NewReader(c)
	resp, err := http.ReadResponse(buffered, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v; want 101", resp, err)
	}
	_, _ = io.WriteString(c, "ping")
	got := make([]byte, 4)
	if _, err := io.ReadFull(buffered, got); err != nil || string(got) != "ping" {
		t.Errorf("got %q, %v; want ping", got, err)
	}
}

// A caller that goes away ends the forwarded request too.
func TestForwardCancel(t *testing.T) {
	began, ended := make(chan struct{}), make(chan struct{})
	server := newHub(t, "server", "s1", "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	}))
	node := newHub(t, "server", "s2", "", whoami)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://peer/", nil)
	go func() {
		<-began
		cancel()
	}()
	if _, err := node.Dial(server.Addr().String()).RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	<-ended
}

// When Run has returned, nothing of the hub is left: 50 times over.
func TestNothingStays(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		server, err := NewHub(HubConfig{Self: Hello{Kind: "server", ID: "s1"}, Listen: "127.0.0.1:0"}, whoami)
		if err != nil {
			t.Fatal(err)
		}
		node, err := NewHub(HubConfig{Self: Hello{Kind: "node", ID: "n1"}}, whoami)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 2)
		for _, hub := range []*Hub{server, node} {
			go func() { done <- hub.Run(ctx) }()
		}
		expect(t, node.Dial(server.Addr().String()), "node n1 hops=0 deadline=false")
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	goleak.VerifyNone(t, ignore)
}
