package httpapi

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// What every endpoint shares, by the numbers of the recordings of Nomad that show it.
func TestSharedBehaviour(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	if got := ask(t, a, "GET", "/v1/jobs", ""); got.body != "[]" {
		t.Errorf("007 an empty list: got %q, want []", got.body)
	}
	c.put(job("web"))
	for _, tt := range []struct {
		name           string
		method, target string
		body           string
		status         int
		want           string
	}{
		{"003 unknown route", "GET", "/v1/nope", "", 404, ""},
		{"003 unknown route outside of /v1", "GET", "/nope", "", 404, ""},
		{"007 no newline", "GET", "/v1/namespaces", "", 200, `[{"Name":"default"`},
		{"008 pretty", "GET", "/v1/regions?pretty", "", 200, "[\n    \"global\"\n]\n"},
		{"008 pretty=0", "GET", "/v1/regions?pretty=0", "", 200, `["global"]`},
		{"009 HEAD", "HEAD", "/v1/jobs", "", 405, "Invalid method"},
		{"009 DELETE", "DELETE", "/v1/jobs", "", 405, "Invalid method"},
		{"013 OPTIONS elsewhere", "OPTIONS", "/v1/jobs", "", 405, "Invalid method"},
		{"018 validation is 500", "PUT", "/v1/jobs", `{"Job":{"ID":"bad"}}`, 500, "1 error occurred:\n\t* Missing job task groups\n\n"},
		{"022 EnforceIndex is 500", "PUT", "/v1/jobs", `{"Job":{"ID":"x"},"EnforceIndex":true}`, 500, "Enforcing job modify index 7: job exists with conflicting job modify index: 10"},
		{"028 bad filter", "GET", "/v1/jobs?filter=%3D%3D", "", 400, "failed to create result paginator: failed to read filter expression: "},
		{"029 unknown field", "GET", "/v1/jobs?filter=Nope+%3D%3D+x", "", 400, "failed to read result page: error finding value in datum: "},
		{"032 bad per_page", "GET", "/v1/jobs?per_page=x", "", 400, "Invalid per_page"},
		{"033 unknown token", "GET", "/v1/jobs?next_token=zzz", "", 200, "[]"},
		{"034 filter beside another", "GET", "/v1/evaluations?job=x&filter=ID+%3D%3D+x", "", 400, "Filter expression cannot be used with other filter parameters"},
		{"036 list of a missing namespace", "GET", "/v1/jobs?namespace=nope", "", 200, "[]"},
		{"037 object of a missing namespace", "GET", "/v1/job/web?namespace=nope", "", 404, "job not found"},
		{"038 unknown region", "GET", "/v1/jobs?region=nope", "", 500, "No path to region"},
		{"042 bad stale", "GET", "/v1/jobs?stale=x", "", 400, "Invalid value"},
		{"042 bare stale", "GET", "/v1/jobs?stale", "", 200, `[{"ID":"web"`},
		{"043 bad wait", "GET", "/v1/jobs?wait=x", "", 400, "Invalid wait time"},
		{"044 bad index", "GET", "/v1/jobs?index=x", "", 400, "Invalid index"},
		{"044 negative index", "GET", "/v1/jobs?index=-1", "", 400, "Invalid index"},
		{"046 index behind", "GET", "/v1/jobs?index=1&wait=1h", "", 200, `[{"ID":"web"`},
		{"051 missing single object", "GET", "/v1/job/web/deployment", "", 200, "null"},
		{"073 odd prefix", "GET", "/v1/allocations?prefix=abc", "", 500, "Input (without hyphens) must be even length"},
		{"073 even prefix with a hyphen", "GET", "/v1/allocations?prefix=33333333-3333", "", 200, "[]"},
		{"079 unknown node", "GET", "/v1/client/stats?node_id=nope", "", 404, "Unknown node nope"},
		{"081 unknown allocation", "GET", "/v1/client/fs/ls/nope", "", 404, `Unknown allocation "nope"`},
		{"no path to a node", "GET", "/v1/client/fs/ls/" + farAlloc, "", 500, "No path to node"},
		{"missing job", "GET", "/v1/job/nope", "", 404, "job not found"},
		{"a write without an answer", "PUT", "/v1/system/gc", "", 200, ""},
		{"escaped path is broken", "GET", "/v1/job/%2", "", 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.regErr = nil
			if strings.Contains(tt.body, "bad") {
				c.regErr = nomadish.Errorf(nomadish.KindInvalid, "1 error occurred:\n\t* Missing job task groups\n\n")
			}
			var got answer
			if tt.target == "/v1/job/%2" {
				req := httptest.NewRequest(http.MethodGet, "/", nil)
				req.URL.Path, req.URL.RawPath = "/v1/job/%2", "/v1/job/%2"
				w := httptest.NewRecorder()
				a.ServeHTTP(w, req)
				got = answer{w.Code, w.Result().Header, w.Body.String()}
				if got.status != 404 {
					t.Errorf("got %d, want 404", got.status)
				}
				return
			}
			got = ask(t, a, tt.method, tt.target, tt.body)
			if got.status != tt.status || !strings.HasPrefix(got.body, tt.want) || (tt.want == "" && got.body != "") {
				t.Errorf("got %d %q, want %d %q", got.status, got.body, tt.status, tt.want)
			}
			if got.header.Get("Vary") != "Accept-Encoding" {
				t.Error("no Vary")
			}
			if tt.status >= 400 && tt.want != "" {
				if ct := got.header.Get("Content-Type"); ct != "text/plain; charset=utf-8" {
					t.Errorf("content type of an error: %q", ct)
				}
				if got.header.Get("X-Content-Type-Options") != "nosniff" || strings.HasSuffix(got.body, "\n") != strings.HasSuffix(tt.want, "\n") {
					t.Errorf("error %q, headers %v", got.body, got.header)
				}
			}
			if tt.want == "" && got.header.Get("Content-Type") != "" {
				t.Errorf("122 content type of an empty body: %q", got.header.Get("Content-Type"))
			}
		})
	}
}

// Reads carry three index headers, writes one (021, 023).
func TestIndexHeaders(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	c.put(job("web"))
	read := ask(t, a, "GET", "/v1/jobs", "").header
	if read.Get(headerIndex) != "11" || read.Get(headerKnownLeader) != "true" || read.Get(headerLastContact) != "3" {
		t.Errorf("read: %v", read)
	}
	write := ask(t, a, "PUT", "/v1/jobs", `{"Job":{"ID":"x"}}`)
	if write.header.Get(headerIndex) != "12" || write.header.Get(headerKnownLeader) != "" || write.header.Get(headerLastContact) != "" {
		t.Errorf("write: %v", write.header)
	}
	for _, want := range []string{`"Index":12`, `"KnownLeader":false`, `"LastContact":0`, `"NextToken":""`, `"EvalID":"e1"`} {
		if !strings.Contains(write.body, want) {
			t.Errorf("body %s has no %s", write.body, want)
		}
	}
	if got := ask(t, a, "GET", "/v1/agent/health", ""); got.header.Get(headerIndex) != "" {
		t.Errorf("agent route: %v", got.header)
	}
}

// gzip is used whenever it is accepted, whatever the size (075).
func TestGzip(t *testing.T) {
	a := newCluster().api(t)
	for accept, want := range map[string]bool{
		"gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "": false, "br": false,
	} {
		got := ask(t, a, "GET", "/v1/regions", "", "Accept-Encoding", accept)
		if !want {
			if got.body != `["global"]` || got.header.Get("Content-Length") != "10" {
				t.Errorf("%q: got %q, %v", accept, got.body, got.header)
			}
			continue
		}
		z, err := gzip.NewReader(strings.NewReader(got.body))
		if err != nil {
			t.Fatalf("%q: %v", accept, err)
		}
		body, err := io.ReadAll(z)
		if err != nil || string(body) != `["global"]` || got.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%q: got %q, %v", accept, body, err)
		}
	}
}

// Browsers may call the routes of nodes from any origin, and no others (010 to 013).
func TestCORS(t *testing.T) {
	a := newCluster().api(t)
	got := ask(t, a, "GET", "/v1/client/fs/ls/"+allocID, "", "Origin", "http://x")
	if got.header.Get("Access-Control-Allow-Origin") != "*" || got.header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("fs: %v", got.header)
	}
	pre := ask(t, a, "OPTIONS", "/v1/client/stats", "", "Origin", "http://x", "Access-Control-Request-Headers", "x-nomad-token")
	if pre.status != 204 || pre.header.Get("Access-Control-Allow-Headers") != "x-nomad-token" || pre.header.Get("Access-Control-Allow-Methods") != "GET, OPTIONS" {
		t.Errorf("preflight: %d %v", pre.status, pre.header)
	}
	if got := ask(t, a, "GET", "/v1/jobs", "", "Origin", "http://x"); got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("jobs: %v", got.header)
	}
}

// A wrong token is denied, a missing permission too: 403, the same text (026, 027).
func TestPermissions(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	c.denied = string(nomadish.PermListJobs)
	for _, header := range [][]string{{"X-Nomad-Token", "bad"}, {"Authorization", "bEaReR bad"}, {}} {
		if got := ask(t, a, "GET", "/v1/jobs", "", header...); got.status != 403 || got.body != "Permission denied" {
			t.Errorf("%v: got %d %q", header, got.status, got.body)
		}
	}
	c.asked = nil
	ask(t, a, "GET", "/v1/job/x?namespace=prod", "")
	ask(t, a, "GET", "/v1/status/leader", "") // needs none, so nobody is asked
	if len(c.asked) != 1 || c.asked[0] != "namespace:read-job prod" {
		t.Errorf("asked %q", c.asked)
	}
}

// Internal routes are for the node that the path names, and for servers.
func TestInternalRoutesNeedIdentity(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	heartbeat := "/v1/internal/node/" + nodeID + "/heartbeat"
	for _, tt := range []struct {
		name, method, target string
		header               []string
		status               int
	}{
		{"anonymous", "PUT", heartbeat, nil, 403},
		{"the node", "PUT", heartbeat, []string{headerNodeID, nodeID, headerNodeSecret, "node secret"}, 200},
		{"another node", "PUT", heartbeat, []string{headerNodeID, farNode, headerNodeSecret, "node secret"}, 403},
		{"wrong secret", "PUT", heartbeat, []string{headerNodeID, nodeID, headerNodeSecret, "guess"}, 403},
		{"commit index for a user", "GET", "/v1/internal/commit-index", nil, 403},
		{"commit index for who says it is a server", "GET", "/v1/internal/commit-index", []string{"X-Nomadish-Origin-Kind", "server", "X-Nomadish-Hops", "1"}, 403},
	} {
		if got := ask(t, a, tt.method, tt.target, `{"Status":"ready"}`, tt.header...); got.status != tt.status {
			t.Errorf("%s: got %d %q, want %d", tt.name, got.status, got.body, tt.status)
		}
	}
	server := transport.InProcess(a, transport.Peer{Kind: nomadish.CallerServer, ID: "s2"})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://peer/v1/internal/commit-index", nil)
	resp, err := server.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != `{"Index":10}` {
		t.Errorf("a server: got %d %s", resp.StatusCode, body)
	}
}

// A panic ends its request with 500, and nothing else.
func TestPanic(t *testing.T) {
	c := newCluster()
	a := c.api(t)
	c.fault = "boom"
	if got := ask(t, a, "GET", "/v1/job/x", ""); got.status != 500 || got.body != "internal error" {
		t.Errorf("got %d %q", got.status, got.body)
	}
	c.fault = nil
	if got := ask(t, a, "GET", "/v1/jobs", ""); got.status != 200 {
		t.Errorf("after it: got %d", got.status)
	}
}

// Without a leader consistent reads fail with 503 and say when to try again; stale ones don't.
func TestNoLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		c.syncErr = nomadish.Errorf(nomadish.KindNoLeader, "No cluster leader")
		a := c.api(t)
		got := ask(t, a, "GET", "/v1/jobs", "")
		if got.status != 503 || got.body != "No cluster leader" || got.header.Get("Retry-After") != "1" {
			t.Errorf("got %d %q %v", got.status, got.body, got.header)
		}
		if got := ask(t, a, "GET", "/v1/jobs?stale", ""); got.status != 200 {
			t.Errorf("stale: got %d %q", got.status, got.body)
		}
	})
}

// A request that is not for this agent is passed on whole, and its answer back; its body
// is limited all the same.
func TestForwarding(t *testing.T) {
	there := newCluster()
	far := there.api(t)
	c := newCluster()
	c.leader = transport.InProcess(far, transport.Peer{Kind: nomadish.CallerServer, ID: "s1"})
	a := c.api(t)
	got := ask(t, a, "PUT", "/v1/jobs?namespace=prod", `{"Job":{"ID":"a/b"}}`, "Content-Type", "application/json")
	if got.status != 200 || got.header.Get(headerIndex) != "11" || len(there.registers) != 1 || len(c.registers) != 0 {
		t.Fatalf("got %d %q %v", got.status, got.body, got.header)
	}
	if vary := got.header.Values("Vary"); len(vary) != 1 {
		t.Errorf("headers are there twice: %v", got.header)
	}
	if ns := there.registers[0].Namespace; ns != "prod" {
		t.Errorf("namespace %q, want prod", ns)
	}
	if got := ask(t, a, "DELETE", "/v1/job/a%2Fb?purge=true", ""); got.status != 200 || there.stopped[0].JobID != "a/b" || !there.stopped[0].Purge {
		t.Errorf("got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "GET", "/v1/jobs", ""); got.body != "[]" {
		t.Errorf("a read is answered here: got %q", got.body)
	}
	req := httptest.NewRequest(http.MethodPut, "/v1/jobs", io.MultiReader(bytes.NewReader(make([]byte, bodyJob+1))))
	req.ContentLength = -1
	w := httptest.NewRecorder()
	a.ServeHTTP(w, req)
	if w.Code != 413 {
		t.Errorf("a body of unknown length beyond the limit: got %d %q, want 413", w.Code, w.Body)
	}
}

// An agent that is no server sends what servers answer to one of them.
func TestClientOnlyAgent(t *testing.T) {
	there := newCluster()
	there.put(job("web"))
	far := there.api(t, func(_ *Config, b *Backends) { b.Node = nil })
	c := newCluster()
	c.leader = transport.InProcess(far, transport.Peer{Kind: nomadish.CallerNode, ID: nodeID})
	a := c.api(t, func(_ *Config, b *Backends) { b.Server = nil })
	if got := ask(t, a, "GET", "/v1/job/web", ""); got.status != 200 {
		t.Errorf("a server's route: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "GET", "/v1/client/fs/ls/"+allocID+"?path=/", ""); got.status != 200 {
		t.Errorf("its own files: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "GET", "/v1/client/fs/ls/"+farAlloc, ""); got.status != 500 || got.body != "No path to node" {
		t.Errorf("another node's files: got %d %q", got.status, got.body)
	}
	if got := ask(t, a, "GET", "/v1/client/stats", ""); got.status != 200 {
		t.Errorf("its own stats: got %d %q", got.status, got.body)
	}
}
