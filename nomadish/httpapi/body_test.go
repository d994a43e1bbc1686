package httpapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// malformed are bodies that no route takes, each with what the answer says about it.
var malformed = []struct{ name, body, want string }{
	{"empty", "", "request body is empty"},
	{"blank", " \n", "request body is empty"},
	{"null", "null", "request body is null"},
	{"truncated object", `{"Job":{"ID":"x"`, "ends too early"},
	{"truncated string", `{"Job":{"ID":"x`, "string has no end"},
	{"an array", `[]`, "want an object, got an array"},
	{"a string", `"x"`, "want an object, got a string"},
	{"a string for a number", `{"Job":{"ID":"x","Priority":"high"}}`, "Job.Priority"},
	{"an object for a string", `{"Job":{"ID":{}}}`, "Job.ID: want a string, got an object"},
	{"1e400", `{"Job":{"ID":"x","Priority":1e400}}`, "Job.Priority"},
	{"a fraction for an integer", `{"Job":{"ID":"x","Priority":1.5}}`, "Job.Priority"},
	{"too large an integer", `{"Job":{"ID":"x","Priority":99999999999999999999}}`, "Job.Priority"},
	{"100,000 deep", strings.Repeat("[", 100_000), "want an object, got an array"},
	{"100,000 deep in an unknown field", `{"x":` + strings.Repeat("[", 100_000), "nested deeper than 1024"},
	{"NUL", "{\"Job\":{\"ID\":\"x\x00\"}}", "control character"},
	{"bad UTF-8", "{\"Job\":{\"ID\":\"\xff\xfe\"}}", "not UTF-8"},
	{"two values", `{} {}`, "after the end"},
	{"a comma too many", `{"Job":{"ID":"x",}}`, "want a key in quotes"},
	{"single quotes", `{'Job':1}`, "want a key in quotes"},
	{"too many keys", `{"Job":{"ID":"x","Meta":{` + manyKeys(10_001) + `}}}`, "more than 10000 keys"},
	{"no job", `{}`, "Job must be specified"},
	{"a null job", `{"Job":null}`, "Job must be specified"},
	{"a job without ID", `{"Job":{}}`, "Job ID hasn't been provided"},
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"k%d":""`, i)
	}
	return b.String()
}

// Each malformed body gets a 400 that says what is wrong, changes nothing, and takes at
// most 32 MiB while it is refused.
func TestMalformedBodies(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	for _, tt := range malformed {
		t.Run(tt.name, func(t *testing.T) {
			var got answer
			grown := allocated(func() { got = ask(t, a, "PUT", "/v1/jobs", tt.body) })
			if got.status != 400 || !strings.Contains(got.body, tt.want) {
				t.Errorf("got %d %.200q, want 400 with %q", got.status, got.body, tt.want)
			}
			if grown > 32<<20 {
				t.Errorf("took %d MiB", grown>>20)
			}
		})
	}
	if len(c.registers) != 0 {
		t.Errorf("%d jobs were registered", len(c.registers))
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// endless is a body that says how much of it was read.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

// A body of 100 MB is refused with 413: at once when its length is announced, and when it
// is not, at the limit.
func TestBodyLimits(t *testing.T) {
	a := newCluster().api(t)
	for _, tt := range []struct {
		name, target string
		length       int64
		mayRead      int64
		limit        int64
	}{
		{"job, announced", "/v1/jobs", 100 << 20, 0, bodyJob},
		{"job, not announced", "/v1/jobs", -1, bodyJob + 1<<20, bodyJob},
		{"other, announced", "/v1/node/x/eligibility", bodyDefault + 1, 0, bodyDefault},
		{"other, not announced", "/v1/node/x/eligibility", -1, bodyDefault + 64<<10, bodyDefault},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := &endless{}
			req := httptest.NewRequest(http.MethodPut, tt.target, body)
			req.ContentLength = tt.length
			w := httptest.NewRecorder()
			grown := allocated(func() { a.ServeHTTP(w, req) })
			want := fmt.Sprintf("request body is larger than %d bytes, the limit of PUT ", tt.limit)
			if w.Code != 413 || !strings.HasPrefix(w.Body.String(), want) {
				t.Errorf("got %d %q, want 413 %q", w.Code, w.Body, want)
			}
			if body.read > tt.mayRead {
				t.Errorf("read %d bytes, may read %d", body.read, tt.mayRead)
			}
			if grown > 64<<20 {
				t.Errorf("allocated %d MiB", grown>>20)
			}
		})
	}
	exact := `{"Eligibility":"eligible","x":"` + strings.Repeat("x", bodyDefault-33) + `"}`
	if len(exact) != bodyDefault {
		t.Fatalf("%d bytes", len(exact))
	}
	if got := ask(t, a, "PUT", "/v1/node/x/eligibility", exact); got.status != 200 {
		t.Errorf("at the limit: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "PUT", "/v1/node/x/eligibility", exact+" "); got.status != 413 {
		t.Errorf("beyond it: got %d %q", got.status, got.body)
	}
}

// serve runs the API on a socket and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s, err := transport.Listen(transport.ServerConfig{Addrs: []string{"127.0.0.1:0"}}, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addrs()[0].String()
}

// On a real connection, a client that announces 100 MB has its answer before it sends one.
func TestRefusedBeforeReading(t *testing.T) {
	c, err := net.Dial("tcp", strings.TrimPrefix(serve(t, newCluster().api(t)), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", 100<<20)
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c) // to the end: the server closes the connection
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413 ") {
		t.Errorf("got %q, %v; want 413", got, err)
	}
}

// The source of a job file has a limit of its own.
func TestParseLimits(t *testing.T) {
	a := newCluster().api(t)
	for size, want := range map[int]int{0: 400, 100: 200, sourceMax: 200, sourceMax + 1: 413} {
		body := `{"JobHCL":"` + strings.Repeat("x", size) + `"}`
		if got := ask(t, a, "PUT", "/v1/jobs/parse", body); got.status != want {
			t.Errorf("%d bytes: got %d %.100q, want %d", size, got.status, got.body, want)
		}
	}
}

// Queries are refused at their limits with an error that names them.
func TestQueryLimits(t *testing.T) {
	c := newCluster()
	c.put(job("web"))
	a := c.api(t)
	for _, tt := range []struct {
		target string
		status int
		want   string
	}{
		{"/v1/jobs?filter=" + strings.Repeat("x", filterMax+1), 400, "filter expression is 8193 bytes, at most 8192 are allowed"},
		{"/v1/jobs?filter=" + strings.Repeat("(", 4000), 400, "failed to create result paginator"},
		{"/v1/jobs?per_page=99999999999", 400, "Invalid per_page"},
		{"/v1/jobs?per_page=-1", 400, "Invalid per_page"},
		{"/v1/job/web/versions?diffs=x", 400, "Invalid value"},
		{"/v1/job/web/submission?version=x", 400, "Invalid value"},
		{"/v1/client/fs/readat/" + allocID + "?path=x&offset=-1", 400, "offset must not be negative"},
		{"/v1/client/fs/readat/" + allocID + "?offset=1", 400, "must provide a path"},
		{"/v1/client/fs/logs/" + allocID + "?type=stdout", 400, "must provide task name"},
		{"/v1/client/fs/logs/" + allocID + "?task=x", 400, "log type must be stdout or stderr"},
		{"/v1/client/fs/logs/" + allocID + "?task=x&type=stdout&origin=middle", 400, "origin must be start or end"},
		{"/v1/client/fs/logs/" + allocID + "?task=zz&type=stdout", 400, `unknown task name "zz"`},
		{"/v1/agent/health?type=both", 400, "Invalid value"},
	} {
		if got := ask(t, a, "GET", tt.target, ""); got.status != tt.status || !strings.HasPrefix(got.body, tt.want) {
			t.Errorf("%.80s: got %d %.200q, want %d %q", tt.target, got.status, got.body, tt.status, tt.want)
		}
	}
}

// Every kind of error has a status.
func TestStatuses(t *testing.T) {
	for kind := nomadish.KindInternal; kind <= nomadish.KindNoLeader; kind++ {
		if statuses[kind] == 0 {
			t.Errorf("kind %d has no status", kind)
		}
	}
	for _, k := range kept {
		if k.client == "" {
			t.Errorf("%q is kept for nobody", k.text)
		}
	}
}
