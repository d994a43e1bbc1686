package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
)

// holder is a caller's rights, which can be taken away, or become unknown.
type holder struct {
	lost   atomic.Pointer[error] // what the authority says from now on
	denied atomic.Pointer[nomadish.Permission]
	looks  atomic.Int32
}

func (h *holder) Authenticate(context.Context, nomadish.Credentials) (nomadish.Caller, error) {
	h.looks.Add(1)
	if err := h.lost.Load(); err != nil {
		return nomadish.Caller{}, *err
	}
	return nomadish.Caller{Kind: nomadish.CallerToken, ID: "accessor", Rights: h}, nil
}

func (h *holder) Management() bool { return false }

func (h *holder) Allows(p nomadish.Permission, _, _ string) bool {
	denied := h.denied.Load()
	return denied == nil || *denied != p
}

func (h *holder) lose(err error) { h.lost.Store(&err) }

// waiter tells nothing, and ends with the request.
type waiter struct{}

func (waiter) StreamEvents(ctx context.Context, _ *nomadish.EventRequest, emit func([]byte) error) error {
	if err := emit([]byte("{}\n")); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// lasting are requests that go on until somebody ends them.
var lasting = map[string]string{
	"blocking query": "/v1/jobs?index=1000000&wait=5m",
	"events":         "/v1/event/stream?topic=Job",
	"log":            "/v1/client/fs/logs/" + allocID + "?task=web&type=stdout&follow=true",
	"plain log":      "/v1/client/fs/logs/" + allocID + "?task=web&type=stdout&follow=true&plain=true",
	"file":           "/v1/client/fs/stream/" + allocID + "?path=x",
}

// last asks for something that lasts, and has something happen after a while. It returns the
// answer and how long after that it ended.
func last(t *testing.T, h *holder, target string, after time.Duration, happen func()) (got answer, took time.Duration) {
	t.Helper()
	a := newCluster().api(t, func(_ *Config, b *Backends) { b.Authority, b.Server.Events = h, waiter{} })
	var at time.Time
	go func() {
		time.Sleep(after)
		at = time.Now()
		happen()
	}()
	got = ask(t, a, "GET", target, "", "X-Nomad-Token", "x")
	return got, time.Since(at)
}

// Whoever loses the right to a request that lasts loses the request within 5 s, and is told why:
// when the token has ended, and when it has lost what the request needs.
func TestLostRightsEndRequests(t *testing.T) {
	for what, target := range lasting {
		for why, lose := range map[string]func(*holder){
			"token": func(h *holder) { h.lose(nomadish.ErrDenied) },
			"permission": func(h *holder) {
				for _, p := range []nomadish.Permission{nomadish.PermListJobs, nomadish.PermReadFS, nomadish.PermReadLogs} {
					if strings.Contains(target, "/jobs") == (p == nomadish.PermListJobs) && strings.Contains(target, "/logs/") == (p == nomadish.PermReadLogs) {
						h.denied.Store(&p)
					}
				}
			},
		} {
			if what == "events" && why == "permission" {
				continue // package events asks for what each topic needs
			}
			t.Run(what+"/"+why, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &holder{}
					got, took := last(t, h, target, 31*time.Second, func() { lose(h) })
					if took <= 0 || took > 5*time.Second {
						t.Errorf("it ended %s after the right", took)
					}
					if what == "blocking query" && got.status != http.StatusForbidden || !strings.Contains(got.body, "Permission denied") {
						t.Errorf("got %d, ending with %q", got.status, got.body[max(0, len(got.body)-60):])
					}
				})
			})
		}
	}
}

// When nobody can tell whether the caller still has its rights, a request goes on for a moment,
// since a server may be starting anew, and then ends.
func TestUnknownRightsEndRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{}
		away := nomadish.Errorf(nomadish.KindNoLeader, "no server")
		_, took := last(t, h, lasting["events"], 11*time.Second, func() {
			h.lose(away)
			time.Sleep(2 * time.Second)
			h.lost.Store(nil)
			time.Sleep(20 * time.Second)
			h.lose(away)
		})
		if rest := took - 22*time.Second; rest <= 0 || rest > 5*time.Second {
			t.Errorf("it ended %s after the last time that its rights were known", rest)
		}
	})
}

// Rights that change are those that count, from the next look on.
func TestChangedRights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &holder{}
		a := newCluster().api(t, func(_ *Config, b *Backends) { b.Authority = h })
		seen := []bool{}
		a.back.Server.Events = follower(func(ctx context.Context, _ *nomadish.EventRequest, _ func([]byte) error) error {
			may := func() bool { return nomadish.CallerFrom(ctx).Allows(nomadish.PermNodeRead, "", "") }
			seen = append(seen, may())
			p := nomadish.PermNodeRead
			h.denied.Store(&p)
			time.Sleep(2 * recheckEvery)
			seen = append(seen, may())
			return ctx.Err()
		})
		ask(t, a, "GET", "/v1/event/stream", "", "X-Nomad-Token", "x")
		if fmt.Sprint(seen) != "[true false]" {
			t.Errorf("nodes could be seen: %v", seen)
		}
	})
}

type follower func(context.Context, *nomadish.EventRequest, func([]byte) error) error

func (f follower) StreamEvents(ctx context.Context, req *nomadish.EventRequest, emit func([]byte) error) error {
	return f(ctx, req, emit)
}

// Short requests are looked at once.
func TestShortRequestsAreLookedAtOnce(t *testing.T) {
	h := &holder{}
	a := newCluster().api(t, func(_ *Config, b *Backends) { b.Authority = h })
	for range 10 {
		ask(t, a, "GET", "/v1/jobs", "", "X-Nomad-Token", "x")
	}
	if n := h.looks.Load(); n != 10 {
		t.Errorf("%d looks at 10 requests", n)
	}
}

// A command in a task ends with the right to it.
func TestLostRightsEndCommands(t *testing.T) {
	h := &holder{}
	tasks := tasksOf{killed: make(chan struct{})}
	_, url := node(t, tasks, func(_ *Config, b *Backends) { b.Authority = h })
	c := dial(t, execURL(url, "web", `["hang"]`), nil)
	h.lose(nomadish.ErrDenied)
	<-tasks.killed
	_, _, err := c.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.StatusPolicyViolation || closed.Reason != "Permission denied" {
		t.Errorf("it ended with %v", err)
	}
}

// A command in a task without a file system of its own runs on the node, and needs the right to
// that as well.
func TestExecOnTheNode(t *testing.T) {
	h := &holder{}
	p := nomadish.PermAllocNodeExec
	h.denied.Store(&p)
	for isolated, want := range map[bool]int{true: http.StatusBadRequest, false: http.StatusForbidden} {
		a := newCluster().api(t, func(_ *Config, b *Backends) {
			b.Authority, b.Node.Tasks = h, onNode{tasksOf{}, isolated}
		})
		got := ask(t, a, "GET", "/v1/client/allocation/"+allocID+"/exec?task=web&command=[\"x\"]", "", "X-Nomad-Token", "x")
		if got.status != want {
			t.Errorf("isolated %t: %d %s", isolated, got.status, got.body)
		}
	}
}

type onNode struct {
	tasksOf
	isolated bool
}

func (o onNode) Isolated(string, string) bool { return o.isolated }

// book keeps what is recorded.
type book struct{ lines []string }

func (b *book) Record(e *audit.Entry) error {
	status := 0
	if e.Payload.Response != nil {
		status = e.Payload.Response.StatusCode
	}
	who := ""
	if e.Payload.Auth != nil {
		who = e.Payload.Auth.AccessorID
	}
	b.lines = append(b.lines, fmt.Sprintf("%s %s %q %d", e.Payload.Stage, e.Payload.Request.Operation, who, status))
	return nil
}

// The audit log hears of a request before it is carried out and of what came of it, and of one
// that is refused.
func TestAudited(t *testing.T) {
	h, b := &holder{}, &book{}
	a := newCluster().api(t, func(_ *Config, back *Backends) { back.Authority, back.Audit = h, b })
	ask(t, a, "GET", "/v1/jobs", "", "X-Nomad-Token", "x")
	ask(t, a, "GET", "/v1/job/missing", "", "X-Nomad-Token", "x")
	p := nomadish.PermNodeRead
	h.denied.Store(&p)
	ask(t, a, "GET", "/v1/nodes", "", "X-Nomad-Token", "x")
	h.lose(nomadish.ErrDenied)
	ask(t, a, "GET", "/v1/jobs", "", "X-Nomad-Token", "x")
	want := []string{
		`OperationReceived GET "accessor" 0`, `OperationComplete GET "accessor" 200`,
		`OperationReceived GET "accessor" 0`, `OperationComplete GET "accessor" 404`,
		`OperationComplete GET "accessor" 403`, `OperationComplete GET "" 403`,
	}
	if got := strings.Join(b.lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("recorded\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}
