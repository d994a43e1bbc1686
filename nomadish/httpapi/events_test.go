package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// streamer gives the lines and the error that a test wants, and remembers what it was asked.
type streamer struct {
	lines []string
	err   error
	asked *nomadish.EventRequest
}

func (s *streamer) StreamEvents(_ context.Context, req *nomadish.EventRequest, emit func([]byte) error) error {
	s.asked = req
	for _, line := range s.lines {
		if err := emit([]byte(line)); err != nil {
			return err
		}
	}
	return s.err
}

// What a stream is asked for, and what is refused before it begins.
func TestEventStreamRequests(t *testing.T) {
	all := nomadish.EventTopic{Topic: "*", Key: "*"}
	for _, tt := range []struct {
		query  string
		denied string
		status int
		body   string // its beginning
		want   nomadish.EventRequest
	}{
		{query: "", status: 200, body: "{}\n", want: nomadish.EventRequest{Namespace: "default", FromNow: true}},
		{query: "?index=0", status: 200, want: nomadish.EventRequest{Namespace: "default"}},
		{query: "?index=7&namespace=*&follow=false", status: 200, want: nomadish.EventRequest{Namespace: "*", Index: 7, Once: true}},
		{query: "?topic=*", status: 200, want: nomadish.EventRequest{Namespace: "default", FromNow: true, Topics: []nomadish.EventTopic{all}}},
		{
			query: "?topic=Job:web&topic=Node&topic=Allocation:", status: 200,
			want: nomadish.EventRequest{Namespace: "default", FromNow: true, Topics: []nomadish.EventTopic{
				{Topic: "Job", Key: "web"}, {Topic: "Node", Key: "*"}, {Topic: "Allocation", Key: "*"},
			}},
		},
		{query: "?topic=a:b:c", status: 400, body: "Invalid key value pair"},
		{query: "?topic=:x", status: 400, body: "Invalid key value pair"},
		{query: "?" + strings.Repeat("topic=Job&", maxTopics+1), status: 400, body: "101 topics, at most 100"},
		{query: "?index=x", status: 400, body: "Invalid index"},
		{query: "?topic=Node", denied: "node:read", status: 403, body: "Permission denied"},
		{query: "?topic=Job", denied: "namespace:read-job", status: 403, body: "Permission denied"},
		{query: "?topic=ACLToken", denied: "management", status: 403, body: "Permission denied"},
		{query: "?topic=Job&namespace=*", denied: "namespace:read-job", status: 403, body: "Permission denied"},
	} {
		s := &streamer{lines: []string{"{}\n"}}
		c := newCluster()
		c.denied = tt.denied
		got := ask(t, c.api(t, func(_ *Config, b *Backends) { b.Server.Events = s }), "GET", "/v1/event/stream"+tt.query, "")
		if got.status != tt.status || !strings.HasPrefix(got.body, tt.body) {
			t.Errorf("%s: %d %q, want %d %q", tt.query, got.status, got.body, tt.status, tt.body)
		}
		if tt.status != 200 {
			continue
		}
		for _, what := range []string{"Node", "Job"} {
			permission := map[string]string{"Node": "node:read", "Job": "namespace:read-job"}[what]
			ctx := nomadish.WithCaller(t.Context(), nomadish.Caller{Kind: nomadish.CallerToken, Rights: c})
			if may := s.asked.Allowed(ctx, what, "default"); may == (permission == tt.denied) {
				t.Errorf("%s: %s events may be seen: %t, though %q is denied", tt.query, what, may, tt.denied)
			}
		}
		s.asked.Allowed, s.asked.Check = nil, nil
		if diff := cmp.Diff(&tt.want, s.asked); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.query, diff)
		}
	}
}

// Why a stream ends is its last line. When it can't begin, that is the answer.
func TestEventStreamEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      streamer
		status int
		body   string
	}{
		{"the server ends", streamer{lines: []string{"{}\n"}}, 200, "{}\n"},
		{"too slow", streamer{lines: []string{"{}\n"}, err: errors.New(`too "slow"`)}, 200, "{}\n" + `{"Error":"too \"slow\""}` + "\n"},
		{"no room", streamer{err: nomadish.Errorf(nomadish.KindLimited, "full")}, http.StatusTooManyRequests, "full"},
	} {
		got := ask(t, newCluster().api(t, func(_ *Config, b *Backends) { b.Server.Events = &tt.s }), "GET", "/v1/event/stream", "")
		if got.status != tt.status || got.body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.name, got.status, got.body, tt.status, tt.body)
		}
	}
}

// inside is the inside of an agent.
type inside struct{ Debug }

func (inside) CheckMonitor(req *nomadish.MonitorRequest) error {
	if req.LogLevel == "loud" {
		return nomadish.Errorf(nomadish.KindInvalid, "Unknown log level")
	}
	return nil
}

func (inside) Monitor(_ context.Context, _ *nomadish.MonitorRequest, emit func(*nomadish.StreamFrame) error) error {
	return emit(&nomadish.StreamFrame{Data: []byte("a line\n"), Offset: 7})
}

func (inside) Profile(_ context.Context, req *nomadish.ProfileRequest) ([]byte, string, error) {
	return []byte(req.Name), "application/octet-stream", nil
}

// away answers in the place of another agent.
type away string

func (a away) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	_, err := w.WriteString(string(a))
	return w.Result(), err
}

// Which agent answers a request about agents.
func TestPeers(t *testing.T) {
	for _, tt := range []struct {
		target string
		client bool // the agent that is asked is no server
		status int
		body   string
	}{
		{"/v1/agent/monitor?plain=true", false, 200, "a line\n"},
		{"/v1/agent/monitor", false, 200, `{"Offset":7,"Data":"YSBsaW5lCg=="}`},
		{"/v1/agent/monitor?log_level=loud", false, 400, "Unknown log level"},
		{"/v1/agent/pprof/heap?node_id=" + nodeID, false, 200, "heap"},
		{"/v1/agent/pprof/heap?node_id=" + farNode, false, 500, "No path to node"},
		{"/v1/agent/pprof/heap?node_id=" + allocID, false, 404, "Unknown node " + allocID},
		{"/v1/agent/pprof/heap?server_id=x.global", false, 500, "unknown Nomad server x.global"},
		{"/v1/agent/pprof/heap?server_id=x&node_id=y", false, 400, "Cannot target node and server simultaneously"},
		{"/v1/agent/pprof/heap?node_id=" + farNode, true, 200, "the server"},
		{"/v1/agent/pprof/heap", true, 200, "heap"},
	} {
		c := newCluster()
		c.leader = away("the server")
		a := c.api(t, func(_ *Config, b *Backends) {
			b.Debug = inside{}
			if tt.client {
				b.Server = nil
			}
		})
		if got := ask(t, a, "GET", tt.target, ""); got.status != tt.status || got.body != tt.body {
			t.Errorf("%s: %d %q, want %d %q", tt.target, got.status, got.body, tt.status, tt.body)
		}
	}
	if got := ask(t, newCluster().api(t), "GET", "/v1/agent/host", ""); got.status != http.StatusNotImplemented {
		t.Errorf("an agent without an inside: %d %q", got.status, got.body)
	}
}
