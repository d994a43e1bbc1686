package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPageSaysWhereItRuns(t *testing.T) {
	t.Setenv("GREETING", "Good day")
	t.Setenv("NOMAD_JOB_NAME", "hello")
	t.Setenv("NOMAD_ALLOC_ID", "a1b2")
	for path, want := range map[string]string{
		"/":       "Good day from hello, allocation a1b2\n",
		"/health": "ok\n",
		"/other":  "404",
	} {
		rec := httptest.NewRecorder()
		handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if got := rec.Body.String(); !strings.Contains(got, want) {
			t.Errorf("GET %s: %q, want %q", path, got, want)
		}
	}
}
