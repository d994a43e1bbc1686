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
)

// memListener accepts the far ends of pipes that dial makes.
type memListener struct{ *handover }

func newMemListener() memListener { return memListener{newHandover()} }

func (l memListener) dial(t *testing.T) net.Conn {
	t.Helper()
	near, far := net.Pipe()
	if err := l.give(t.Context(), far); err != nil {
		t.Fatal(err)
	}
	return near
}

// A connection that does not send its header within 5 s, or nothing for 60 s after an
// answer, is closed; one that sends drops of a header is no exception.
func TestSlowConnectionsAreClosed(t *testing.T) {
	for _, tt := range []struct {
		name string
		talk func(c net.Conn)
		want time.Duration
	}{
		{"silent", func(net.Conn) {}, 5 * time.Second},
		{"a byte of header each second", func(c net.Conn) {
			for _, b := range []byte("GET / HTTP/1.1\r\nHost: example.org\r\n") {
				if _, err := c.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, 5 * time.Second},
		{"idle", func(c net.Conn) { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newMemListener()
				srv := newHTTPServer(Limits{}.withDefaults(), http.NotFoundHandler(), nil)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- serve(ctx, srv, time.Second, l) }()
				c := l.dial(t)
				began := time.Now()
				talked := make(chan struct{})
				go func() {
					tt.talk(c)
					close(talked)
				}()
				_, _ = io.Copy(io.Discard, c) // until the server closes it
				if got := time.Since(began).Round(time.Second); got != tt.want {
					t.Errorf("closed after %v, want %v", got, tt.want)
				}
				cancel()
				c.Close()
				<-talked
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// run runs a part until the test ends, and fails it if the part does.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// Connections beyond a limit get 429 and are closed; when one of the others ends, its
// place is free again.
func TestConnectionLimits(t *testing.T) {
	for _, tt := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"per address", Limits{MaxConnsPerAddr: 3}, "too many connections from 127.0.0.1: the limit is 3"},
		{"in all", Limits{MaxConns: 3}, "too many connections: the limit is 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}, Limits: tt.limits}, http.NotFoundHandler())
			if err != nil {
				t.Fatal(err)
			}
			run(t, s.Run)
			var conns []net.Conn
			for range 3 {
				c := dial(t, s.Addrs()[0])
				if got := get(t, c); got != "404" {
					t.Fatalf("got %s, want 404", got)
				}
				conns = append(conns, c)
			}
			if status, body := raw(t, dial(t, s.Addrs()[0])); status != 429 || body != tt.want {
				t.Errorf("got %d %q, want 429 %q", status, body, tt.want)
			}
			conns[0].Close()
			for { // the server notices by and by
				c := dial(t, s.Addrs()[0])
				status, _ := raw(t, c)
				c.Close()
				if status == 404 {
					return
				}
			}
		})
	}
}

func dial(t *testing.T, addr net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func get(t *testing.T, c net.Conn) string {
	t.Helper()
	status, _ := raw(t, c)
	return fmt.Sprint(status)
}

// raw makes a request on c and returns the answer.
func raw(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	_, _ = io.WriteString(c, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n") // a refused one may be closed already
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// A header beyond the limit is answered with 431.
func TestHeaderLimit(t *testing.T) {
	s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}}, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	for size, want := range map[int]int{60 << 10: 404, 80 << 10: 431} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.Addrs()[0].String()+"/", nil)
		req.Header.Set("X-Long", strings.Repeat("x", size))
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("header of %d bytes: got %d, want %d", size, resp.StatusCode, want)
		}
	}
}

// A server that is told to stop ends the contexts of its requests, and then returns.
func TestStopEndsRequests(t *testing.T) {
	began := make(chan struct{})
	s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		w.WriteHeader(http.StatusTeapot)
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	go func() {
		<-began
		cancel()
	}()
	if got := get(t, dial(t, s.Addrs()[0])); got != "418" {
		t.Errorf("got %s, want 418", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestListenErrors(t *testing.T) {
	s, err := Listen(ServerConfig{Addrs: []string{"127.0.0.1:0"}}, http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.Run)
	taken := s.Addrs()[0].String()
	_, err = Listen(ServerConfig{Addrs: []string{"127.0.0.1:0", taken}}, http.NotFoundHandler())
	var opErr *net.OpError
	if !errors.As(err, &opErr) {
		t.Errorf("got %v, want an error of %s", err, taken)
	}
}
