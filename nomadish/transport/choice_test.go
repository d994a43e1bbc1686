package transport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// named answers with the name of a server.
func named(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
			return
		}
		_, _ = fmt.Fprint(w, name)
	})
}

// icebox freezes connections to an address: what is read of them waits until they are closed.
type icebox struct {
	mu     sync.Mutex
	frozen map[string]bool
}

func (b *icebox) freeze(addr string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen[addr] = true
}

func (b *icebox) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := dialTCP(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &icedConn{Conn: c, box: b, addr: addr, closed: make(chan struct{})}, nil
}

type icedConn struct {
	net.Conn
	box    *icebox
	addr   string
	once   sync.Once
	closed chan struct{}
}

func (c *icedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.box.mu.Lock()
	frozen := c.box.frozen[c.addr]
	c.box.mu.Unlock()
	if frozen {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *icedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// chooser is a node that chooses between servers in the order of their names.
func chooser(t *testing.T, box *icebox, addrs ...string) *Choice {
	t.Helper()
	hub, err := NewHub(HubConfig{Self: Hello{Kind: "node", ID: "n1"}, Dial: box.dial}, named("node"))
	if err != nil {
		t.Fatal(err)
	}
	run(t, hub.Run)
	choice := hub.Choose(ChoiceConfig{Every: 20 * time.Millisecond, Shuffle: func(addrs []string) { slices.Sort(addrs) }})
	choice.Set(addrs)
	run(t, choice.Run)
	return choice
}

// A node stays with its server until that is gone or does not answer pings; requests that wait for
// it then end, and the next goes to another one.
func TestChoiceGoesOver(t *testing.T) {
	box := &icebox{frozen: map[string]bool{}}
	one := newHub(t, "server", "s1", "127.0.0.1:0", named("one"))
	two := newHub(t, "server", "s2", "127.0.0.1:0", named("two"))
	first, second := one.Addr().String(), two.Addr().String()
	choice := chooser(t, box, first)
	expect(t, choice, "one")
	choice.Set([]string{first, second})
	expect(t, choice, "one")
	box.freeze(first)
	waiting, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := choice.RoundTrip(waiting); err == nil {
		resp.Body.Close()
		t.Error("a server that does not answer has answered")
	}
	expect(t, choice, "two")
	if got := choice.Servers(); got[0] != second || len(got) != 2 {
		t.Errorf("servers are %v, want %s first", got, second)
	}
}

// Servers that can't be reached are passed over; when there is none, the error says so.
func TestChoiceSkipsTheDead(t *testing.T) {
	box := &icebox{frozen: map[string]bool{}}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	live := newHub(t, "server", "s1", "127.0.0.1:0", named("one"))
	choice := chooser(t, box)
	if _, err := ask(t, choice); nomadish.KindOf(err) != nomadish.KindNoLeader {
		t.Errorf("without servers: got %v", err)
	}
	choice.Set([]string{dead.Addr().String()})
	if _, err := ask(t, choice); err == nil {
		t.Error("a dead server has answered")
	}
	choice.Set([]string{dead.Addr().String(), live.Addr().String()})
	expect(t, choice, "one")
}
