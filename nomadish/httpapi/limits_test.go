package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

// readingOnly serves all routes, with handlers that only read the body, to anybody.
func readingOnly(t *testing.T) (*API, []Route) {
	t.Helper()
	a := newCluster().api(t)
	routes := a.routes()
	for i := range routes {
		r := &routes[i]
		r.Permission, r.Where, r.Options = nomadish.PermNone, OnAgent, 0
		r.Handle = func(r *Request) (any, error) {
			_, err := r.Body()
			return nil, err
		}
	}
	var err error
	if a.table, err = newTable(routes); err != nil {
		t.Fatal(err)
	}
	return a, routes
}

// smallBodies bounds the bodies that are sent in full; larger ones only say their length.
const smallBodies = 16 << 20

// Every route takes a body of its limit and refuses one that is a byte longer with 413 and
// the limit, whether or not the body says its length. No limit is higher than that of a job's
// but those of images and snapshots, which are streamed.
func TestBodyLimitsOfAllRoutes(t *testing.T) {
	a, routes := readingOnly(t)
	send := func(method, path string, size, length int64) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, io.LimitReader(blanks{}, size))
		r.ContentLength = length
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		return w
	}
	n := 0
	for i := range routes {
		r := &routes[i]
		path := strings.NewReplacer(":", "x", "*", "x").Replace(r.Path)
		if r.Body > bodyJob && !strings.HasPrefix(r.Path, "/v1/client/image") && r.Path != "/v1/operator/snapshot" {
			t.Errorf("%s takes %d bytes", r.Path, r.Body)
		}
		for _, method := range r.Methods {
			n++
			if w := send(method, path, 0, r.Body+1); w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "limit") {
				t.Errorf("%s %s: a length of %d: %d %s, want 413 and the limit", method, r.Path, r.Body+1, w.Code, w.Body)
			}
			if r.Body > smallBodies {
				continue
			}
			if w := send(method, path, r.Body, r.Body); w.Code != http.StatusOK {
				t.Errorf("%s %s: a body of %d bytes: %d %s, want 200", method, r.Path, r.Body, w.Code, w.Body)
			}
			if w := send(method, path, r.Body+1, -1); w.Code != http.StatusRequestEntityTooLarge {
				t.Errorf("%s %s: a body of %d bytes without a length: %d %s, want 413", method, r.Path, r.Body+1, w.Code, w.Body)
			}
		}
	}
	t.Logf("%d methods of %d routes", n, len(routes))
}

// blanks reads as spaces without end.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// JSON is taken to its bounds of nesting and keys, and refused one beyond them.
func TestJSONLimits(t *testing.T) {
	nested := func(n int) string { return `{"x":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	keys := func(n int) string { return `{"x":{` + manyKeys(n) + `}}` }
	for _, tt := range []struct {
		name, body, want string
	}{
		{"nested to the limit", nested(1024), ""},
		{"nested one beyond", nested(1025), "nested deeper than 1024"},
		{"keys to the limit", keys(10_000), ""},
		{"one key beyond", keys(10_001), "more than 10000 keys"},
	} {
		var v struct{ ID string }
		err := decodeJSON([]byte(tt.body), &v)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
