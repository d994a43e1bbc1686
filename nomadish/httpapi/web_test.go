package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func webAPI(cfg Config) *API {
	return &API{cfg: cfg.withDefaults(), always: cfg.always(), table: &table{}, meter: newMeter(Rates{})}
}

// Every answer, also that of an unknown path or to a bad request, tells browsers to take it
// for what its type says, to run nothing and to keep nothing.
func TestAnswersAreInert(t *testing.T) {
	a := webAPI(Config{Headers: map[string]string{"X-Custom": "yes"}})
	for _, target := range []string{"/v1/nothing", "/"} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		for name, want := range map[string]string{
			"X-Content-Type-Options":  "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
			"Cache-Control":           "no-store",
			"X-Custom":                "yes",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
	}
}

// A page of another site can't change anything, by whatever method; our own pages, those of
// the configuration and programs, which name no origin, can.
func TestOtherSitesChangeNothing(t *testing.T) {
	a := webAPI(Config{Origins: []string{"ui.example", "*.trusted.example"}})
	for _, tt := range []struct {
		method, host, origin string
		denied               bool
	}{
		{http.MethodPost, "127.0.0.1:4646", "", false},
		{http.MethodPost, "127.0.0.1:4646", "http://127.0.0.1:4646", false},
		{http.MethodPost, "nomad.example:4646", "https://NOMAD.example:4646", false},
		{http.MethodPut, "127.0.0.1:4646", "https://ui.example", false},
		{http.MethodPut, "127.0.0.1:4646", "https://a.trusted.example", false},
		{http.MethodPost, "127.0.0.1:4646", "https://evil.example", true},
		{http.MethodPut, "127.0.0.1:4646", "http://127.0.0.1:8080", true},
		{http.MethodDelete, "127.0.0.1:4646", "https://evil.example", true},
		{http.MethodPost, "127.0.0.1:4646", "null", true},
		{http.MethodPost, "127.0.0.1:4646", "https://trusted.example.evil.example", true},
		{http.MethodGet, "127.0.0.1:4646", "https://evil.example", false}, // it can't read the answer
	} {
		r := httptest.NewRequest(tt.method, "/v1/jobs", nil)
		r.Host = tt.host
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if got := w.Code == http.StatusForbidden; got != tt.denied {
			t.Errorf("%s to %s from %q: %d, want denied %v", tt.method, tt.host, tt.origin, w.Code, tt.denied)
		}
	}
}

// An agent that knows its names does not answer to others, which somebody may have pointed
// at it to read it with a visitor's browser.
func TestNamesOfTheAgent(t *testing.T) {
	for _, tt := range []struct {
		hosts  []string
		host   string
		denied bool
	}{
		{nil, "evil.example", false},
		{[]string{"localhost"}, "localhost:4646", false},
		{[]string{"localhost"}, "LOCALHOST.", false},
		{[]string{"localhost"}, "app.localhost:4646", false},
		{[]string{"localhost"}, "127.0.0.1:4646", false},
		{[]string{"localhost"}, "[::1]:4646", false},
		{[]string{"localhost"}, "[::1]", false},
		{[]string{"localhost", "nomad.example"}, "nomad.example", false},
		{[]string{"localhost"}, "evil.example:4646", true},
		{[]string{"localhost"}, "evillocalhost", true},
		{[]string{"localhost"}, "127.0.0.1.evil.example", true},
	} {
		r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		webAPI(Config{Hosts: tt.hosts}).ServeHTTP(w, r)
		if got := w.Code == http.StatusForbidden; got != tt.denied {
			t.Errorf("hosts %q, asked as %q: %d, want denied %v", tt.hosts, tt.host, w.Code, tt.denied)
		}
	}
}

// What a task wrote is text to a browser, whatever it looks like, and nothing in it runs.
func TestFilesAreText(t *testing.T) {
	a := newCluster().api(t)
	for _, target := range []string{
		"/v1/client/fs/cat/" + allocID + "?path=x.html",
		"/v1/client/fs/readat/" + allocID + "?path=x.html&offset=0&limit=5",
		"/v1/client/fs/stream/" + allocID + "?path=x.html&follow=false",
		"/v1/client/fs/logs/" + allocID + "?task=t&type=stdout&plain=true",
	} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		h := w.Header()
		if w.Code != http.StatusOK || h.Get("Content-Type") != "text/plain" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Content-Security-Policy") != contentPolicy {
			t.Errorf("%s: %d, headers %v", target, w.Code, h)
		}
	}
}
