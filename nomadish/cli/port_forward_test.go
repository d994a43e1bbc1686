package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish/socket"
)

// TestReadForward: a number stands for itself on both sides, a label gets any local port.
func TestReadForward(t *testing.T) {
	for text, want := range map[string][2]string{"80": {"80", "80"}, "8080:80": {"8080", "80"}, "http": {"0", "http"}, "8080:http": {"8080", "http"}, ":80": {"0", "80"}, "0:80": {"0", "80"}} {
		if got, err := readForward(text); err != nil || [2]string{got.local, got.remote} != want {
			t.Errorf("%s: got %+v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x:80", "70000:80", "80:", "1:2:3", "80:0"} {
		if got, err := readForward(text); err == nil {
			t.Errorf("%q: got %+v, want an error", text, got)
		}
	}
}

// TestPortForward: what connects to the local port talks to the port of the allocation, and is
// told apart by port and task; an interrupt ends the command.
func TestPortForward(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/jobs":
			_, _ = io.WriteString(w, `[{"ID":"web","Namespace":"default"}]`)
		case "/v1/job/web/allocations":
			_, _ = io.WriteString(w, `[{"ID":"a1","Name":"web.g[0]","ClientStatus":"running"}]`)
		case "/v1/allocation/a1":
			_, _ = io.WriteString(w, `{"ID":"a1","Name":"web.g[0]","ClientStatus":"running","Job":{"ID":"web"}}`)
		case "/v1/client/allocation/a1/port-forward":
			ws, err := websocket.Accept(w, r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			conn := socket.New(r.Context(), ws)
			text, err := io.ReadAll(conn) // until the other side has said all
			if err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(conn, r.URL.Query().Get("task")+":"+r.URL.Query().Get("port")+" got "+string(text))
			_ = conn.Close()
		default:
			t.Errorf("asked for %s", r.URL.Path)
		}
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &printed{seen: make(chan struct{}, 8)}
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Program{Stdout: out, Stderr: out, Env: lookup([]string{"NOMAD_ADDR=" + server.URL})}, []string{"port-forward", "-task", "t", "web", "0:80"})
	}()
	<-out.seen
	address, _, ok := strings.Cut(out.String(), " -> web.g[0] port 80\n")
	if !ok {
		t.Fatalf("got %q", out.String())
	}
	for _, text := range []string{"hello", "again"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(conn); err != nil || string(got) != "t:80 got "+text {
			t.Errorf("got %q, %v", got, err)
		}
		conn.Close()
	}
	cancel()
	if code := <-ended; code != ExitDetached {
		t.Errorf("got code %d, want %d\n%s", code, ExitDetached, out.String())
	}
}

// printed keeps what is written to it, and tells of each write.
type printed struct {
	mu   sync.Mutex
	b    bytes.Buffer
	seen chan struct{}
}

func (p *printed) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.seen <- struct{}{}:
	default:
	}
	return p.b.Write(b)
}

func (p *printed) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}
