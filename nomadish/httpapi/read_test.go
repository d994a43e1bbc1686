package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// A read with ?index waits for a change past it, or for ?wait and at most a sixteenth
// more, and then gives what there is (045, 046).
func TestBlocking(t *testing.T) {
	for _, tt := range []struct {
		name, target string
		changes      []string // a job is stored each second
		want         string
		index        string
		min, max     time.Duration
	}{
		{"no index", "/v1/jobs", nil, `[{"ID":"web"`, "11", 0, 0},
		{"index 0", "/v1/jobs?index=0", nil, `[{"ID":"web"`, "11", 0, 0},
		{"behind", "/v1/jobs?index=10", nil, `[{"ID":"web"`, "11", 0, 0},
		{"a change", "/v1/jobs?index=11", []string{"api"}, `[{"ID":"api"`, "12", time.Second, time.Second},
		{"the third change", "/v1/jobs?index=13", []string{"api", "b", "c"}, `[{"ID":"api"`, "14", 3 * time.Second, 3 * time.Second},
		{"no change", "/v1/jobs?index=11&wait=16s", nil, `[{"ID":"web"`, "11", 16 * time.Second, 17 * time.Second},
		{"default wait", "/v1/jobs?index=11", nil, `[{"ID":"web"`, "11", 300 * time.Second, 319 * time.Second},
		{"longest wait", "/v1/jobs?index=11&wait=24h", nil, `[{"ID":"web"`, "11", 300 * time.Second, 319 * time.Second},
		{"wait 0", "/v1/jobs?index=11&wait=0s", nil, `[{"ID":"web"`, "11", 0, 0},
		{"a change elsewhere", "/v1/job/web?index=11&wait=16s", []string{"api"}, `{`, "11", 16 * time.Second, 17 * time.Second},
		{"a change of the object", "/v1/job/web?index=11", []string{"api", "web"}, `{`, "13", 2 * time.Second, 2 * time.Second},
		{"an object that comes", "/v1/job/new?index=11", []string{"new"}, `{`, "12", time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster()
				c.put(job("web"))
				a := c.api(t)
				go func() {
					for _, id := range tt.changes {
						time.Sleep(time.Second)
						c.put(job(id))
					}
				}()
				began := time.Now()
				got := ask(t, a, "GET", tt.target, "")
				took := time.Since(began)
				if got.status != 200 || !strings.HasPrefix(got.body, tt.want) || got.header.Get(headerIndex) != tt.index {
					t.Errorf("got %d %q at %s, want %q at %s", got.status, got.body, got.header.Get(headerIndex), tt.want, tt.index)
				}
				if took < tt.min || took > tt.max {
					t.Errorf("took %v, want %v to %v", took, tt.min, tt.max)
				}
			})
		})
	}
}

// Something that does not exist is answered with 404, at the end of the wait if there is one.
func TestBlockingOnNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		a := c.api(t)
		began := time.Now()
		if got := ask(t, a, "GET", "/v1/job/nope?index=10&wait=16s", ""); got.status != 404 {
			t.Errorf("got %d %q", got.status, got.body)
		}
		if took := time.Since(began); took < 16*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// A waiter checks that its server is up to date before it reads, each time that it does;
// one that takes stale answers never does.
func TestBlockingSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		a := c.api(t)
		ask(t, a, "GET", "/v1/jobs?index=10&wait=16s", "")
		if c.syncs != 2 {
			t.Errorf("%d checks, want 2: at the start and before the answer", c.syncs)
		}
		c.syncs = 0
		ask(t, a, "GET", "/v1/jobs?index=10&wait=16s&stale", "")
		if c.syncs != 0 {
			t.Errorf("%d checks of a stale read", c.syncs)
		}
	})
}

// A waiter ends with its caller or its agent, and so do a thousand: with an answer that
// does not look like a success to one who still listens.
func TestBlockingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster()
		a := c.api(t)
		done := make(chan int, 1000)
		cancels := make([]func(), 0, 1000)
		for range 1000 {
			req := httptest.NewRequest(http.MethodGet, "/v1/jobs?index=10", nil)
			ctx, cancel := newCancel(req)
			cancels = append(cancels, cancel)
			go func() {
				w := httptest.NewRecorder()
				a.ServeHTTP(w, ctx)
				done <- w.Code
			}()
		}
		synctest.Wait()
		for _, cancel := range cancels {
			cancel()
		}
		for range 1000 {
			if code := <-done; code != http.StatusServiceUnavailable {
				t.Fatalf("a waiter is told %d, want %d", code, http.StatusServiceUnavailable)
			}
		}
	})
}

// Streams carry frames, and a heartbeat in each second in which nothing else comes.
func TestFrames(t *testing.T) {
	frame := func(name string) string {
		return fmt.Sprintf(`{"Offset":5,"Data":"aGVsbG8=","File":%q}`, name)
	}
	for _, tt := range []struct {
		name, target string
		lasts        time.Duration
		want         string
		contentType  string
	}{
		{"089 logs", "/v1/client/fs/logs/" + allocID + "?task=t&type=stdout", 0, frame("alloc/logs/t.stdout.0"), "application/json"},
		{"090 plain", "/v1/client/fs/logs/" + allocID + "?task=t&type=stderr&plain=true", 0, "hello", "text/plain"},
		{"followed", "/v1/client/fs/logs/" + allocID + "?task=t&type=stdout&follow=true", 3500 * time.Millisecond, frame("alloc/logs/t.stdout.0") + "{}{}", "application/json"},
		{"followed, plain", "/v1/client/fs/logs/" + allocID + "?task=t&type=stdout&follow=true&plain=true", 5 * time.Second, "hello", "text/plain"},
		{"088 stream follows", "/v1/client/fs/stream/" + allocID + "?path=x", 2500 * time.Millisecond, frame("x") + "{}", "text/plain"},
		{"stream told not to", "/v1/client/fs/stream/" + allocID + "?path=x&follow=false", 0, frame("x"), "text/plain"},
		{"an error on the way", "/v1/client/fs/logs/" + allocID + "?task=breaks&type=stdout", 0, `{"Offset":1,"Data":"eA==","File":"f"}disk gone`, "application/json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, cancel := newCancel(httptest.NewRequest(http.MethodGet, tt.target, nil))
				if tt.lasts > 0 {
					time.AfterFunc(tt.lasts, cancel)
				}
				w := httptest.NewRecorder()
				newCluster().api(t).ServeHTTP(w, req)
				cancel()
				body := strings.TrimSuffix(w.Body.String(), "context canceled")
				if w.Code != 200 || body != tt.want || w.Header().Get("Content-Type") != tt.contentType {
					t.Errorf("got %d %q %q, want %q %q", w.Code, w.Header().Get("Content-Type"), body, tt.contentType, tt.want)
				}
			})
		})
	}
}

// A caller that takes nothing any more ends its stream.
func TestFramesToNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newCluster().api(t)
		req := httptest.NewRequest(http.MethodGet, "/v1/client/fs/logs/"+allocID+"?task=t&type=stdout&follow=true", nil)
		w := &brokenWriter{header: http.Header{}, after: 2}
		a.ServeHTTP(w, req) // returns
	})
}

// brokenWriter fails after some writes.
type brokenWriter struct {
	header http.Header
	after  int
}

func (w *brokenWriter) Header() http.Header { return w.header }
func (w *brokenWriter) WriteHeader(int)     {}
func (w *brokenWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, fmt.Errorf("broken")
	}
	return len(p), nil
}
func (w *brokenWriter) Flush() {}

// Pages follow each other without a gap, in either direction.
func TestPages(t *testing.T) {
	c := newCluster()
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		c.put(job(id))
	}
	for i, n := range []uint64{5, 3, 9, 7, 9} { // two of one index
		c.evals = append(c.evals, &nomadish.Evaluation{ID: string(rune('a' + i)), CreateIndex: n, Status: "complete", JobID: "web"})
	}
	a := c.api(t)
	for _, tt := range []struct {
		target string
		want   string // IDs, pages apart
		token  string // first
	}{
		{"/v1/jobs?per_page=2", "ab cd e", "c"},
		{"/v1/jobs?per_page=2&reverse=true", "ed cb a", "c"},
		{"/v1/jobs?per_page=2&namespace=*", "ab cd e", "default.c"},
		{"/v1/jobs?per_page=5", "abcde", ""},
		{"/v1/jobs?per_page=0", "abcde", ""},
		{"/v1/jobs?reverse=true", "edcba", ""},
		{"/v1/jobs?reverse=1", "abcde", ""},
		{"/v1/jobs?per_page=1&filter=ID+%3D%3D+b+or+ID+%3D%3D+d", "b d", "d"},
		{"/v1/jobs?per_page=1&prefix=c", "c", ""},
		{"/v1/evaluations?per_page=2", "ba dc e", "7.d"},
		{"/v1/evaluations?per_page=2&reverse=true", "ec da b", "7.d"},
		{"/v1/evaluations", "badce", ""},
		{"/v1/evaluations?status=pending", "", ""},
		{"/v1/evaluations?job=web&status=complete&per_page=4", "badc e", "9.e"},
		{"/v1/evaluations?next_token=9.e", "e", ""},
		{"/v1/evaluations?next_token=nonsense", "badce", ""},
	} {
		t.Run(tt.target, func(t *testing.T) {
			var pages []string
			target, token := tt.target, ""
			for {
				got := ask(t, a, "GET", target, "")
				if got.status != 200 {
					t.Fatalf("got %d %q", got.status, got.body)
				}
				pages = append(pages, ids(got.body))
				next := got.header.Get(headerNextToken)
				if len(pages) == 1 {
					token = next
				}
				if next == "" {
					break
				}
				target = tt.target + "&next_token=" + next
			}
			if got := strings.Join(pages, " "); got != tt.want || token != tt.token {
				t.Errorf("got %q, token %q, want %q, %q", got, token, tt.want, tt.token)
			}
		})
	}
	if got := ask(t, a, "GET", "/v1/evaluations/count?filter=JobID+%3D%3D+web+and+ID+%21%3D+a", ""); !strings.HasPrefix(got.body, `{"Count":4`) {
		t.Errorf("count: got %q", got.body)
	}
}

func newCancel(r *http.Request) (*http.Request, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	return r.WithContext(ctx), cancel
}

// ids returns the IDs of a list, one behind the other.
func ids(body string) string {
	var rows []struct{ ID string }
	if err := json.Unmarshal([]byte(body), &rows); err != nil {
		return err.Error()
	}
	s := ""
	for _, r := range rows {
		s += r.ID
	}
	return s
}
