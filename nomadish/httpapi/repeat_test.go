package httpapi

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// flaky is a way to a leader that is lost, then refuses, and then works.
type flaky struct {
	next     http.RoundTripper
	attempts int
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	f.attempts++
	switch f.attempts {
	case 1:
		return nil, errors.New("connection reset")
	case 2:
		return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	return f.next.RoundTrip(r)
}

// A write with a request ID outlasts an election, with its body; one without is made once, and who sent it
// is told that its outcome is unknown.
func TestWritesAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const body = `{"Job":{"ID":"web"}}`
		there, c := newCluster(), newCluster()
		way := &flaky{next: transport.InProcess(there.api(t), transport.Peer{Kind: nomadish.CallerServer, ID: "s1"})}
		c.leader = way
		a := c.api(t)
		got := ask(t, a, "PUT", "/v1/jobs", body, "Content-Type", "application/json")
		if got.status != 503 || way.attempts != 1 {
			t.Fatalf("without an ID: %d %q after %d attempts, want 503 after 1", got.status, got.body, way.attempts)
		}
		way.attempts = 0
		got = ask(t, a, "PUT", "/v1/jobs", body, "Content-Type", "application/json", nomadish.RequestIDHeader, "one")
		if got.status != 200 || way.attempts != 3 || len(there.registers) != 1 {
			t.Fatalf("with an ID: %d %q after %d attempts, want 200 after 3", got.status, got.body, way.attempts)
		}
		if id := nomadish.Val(there.registers[0].Job.ID); id != "web" {
			t.Errorf("the third attempt registers %q, want web", id)
		}
	})
}

// A cluster without a leader refuses in the end, and says when to ask again.
func TestRepeatingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.syncErr = nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
		began := time.Now()
		got := ask(t, c.api(t), "GET", "/v1/jobs", "")
		if got.status != 503 || got.header.Get("Retry-After") == "" || time.Since(began) > repeatWithin+time.Second {
			t.Errorf("got %d %v after %s", got.status, got.header, time.Since(began))
		}
	})
}

// The same ID of somebody else, or for something else, is another request.
func TestRequestIDsAreScoped(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range []struct{ caller, method, path string }{
		{"a", "PUT", "/v1/jobs"}, {"b", "PUT", "/v1/jobs"}, {"a", "POST", "/v1/jobs"}, {"a", "PUT", "/v1/job/web"},
	} {
		hr, err := http.NewRequestWithContext(t.Context(), r.method, r.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		hr.Header.Set(nomadish.RequestIDHeader, "one")
		req := &Request{HTTP: hr, route: &Route{Path: r.path}}
		if err := req.identified(nomadish.Caller{Kind: nomadish.CallerToken, ID: r.caller}); err != nil {
			t.Fatal(err)
		}
		id := nomadish.NextCommandID(req.Context())
		if id == "" || seen[id] {
			t.Errorf("%v: command ID %q, empty or that of another request", r, id)
		}
		seen[id] = true
	}
}
