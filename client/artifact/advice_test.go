package artifact

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// A failure that a known step mends names it, and nothing of what the job keeps to itself.
func TestFailuresSayWhatToDo(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		codes := map[string]int{"/401": 401, "/403": 403, "/404": 404, "/410": 410, "/418": 418}
		w.WriteHeader(codes[r.URL.Path])
	}
	plain, sealed := httptest.NewServer(http.HandlerFunc(answer)), httptest.NewTLSServer(http.HandlerFunc(answer))
	t.Cleanup(plain.Close)
	t.Cleanup(sealed.Close)
	key := map[string]string{"Authorization": "canary"}
	for _, tt := range []struct {
		source  string
		headers map[string]string
		want    string // the last words
	}{
		{plain.URL + "/404", nil, "404 Not Found: correct the artifact's source, or publish the file there"},
		{plain.URL + "/410", nil, "410 Gone: correct the artifact's source, or publish the file there"},
		{plain.URL + "/401", nil, "401 Unauthorized: put what it wants to be let in with into the artifact's headers, or renew a signed source that has expired"},
		{plain.URL + "/403?sig=canary", nil, "403 Forbidden: put what it wants to be let in with into the artifact's headers, or renew a signed source that has expired"},
		{plain.URL + "/403", key, "403 Forbidden: renew what the artifact's headers and source say to be let in with, or ask the server's owner for the right to read it"},
		{strings.Replace(plain.URL, "//", "//u:canary@", 1) + "/401", nil, "401 Unauthorized: renew what the artifact's headers and source say to be let in with, or ask the server's owner for the right to read it"},
		{plain.URL + "/418", nil, "the server answered 418 I'm a teapot"},
		{sealed.URL + "/404", nil, "certificate signed by unknown authority: have the node trust who signed the server's certificate, or set insecure in the artifact"},
	} {
		at, err := url.Parse(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		f := newFetcher(t, Config{Retries: -1, RetryWait: time.Microsecond})
		err = f.Fetch(t.Context(), &Request{Source: tt.source, Headers: maps.Clone(tt.headers), Root: into(t), Dest: "d"})
		if err == nil || !strings.HasSuffix(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: got %v, want … %s", at.Redacted(), err, tt.want)
		}
	}
}
