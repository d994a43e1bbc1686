package api_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// A call goes to the next agent where one can't be reached, breaks off, or can't serve; a write with
// the same request ID each time. What an agent refuses for good is not asked of another.
func TestFailover(t *testing.T) {
	var asked, refused atomic.Int64
	ids := make(chan string, 10)
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		ids <- r.Header.Get(nomadish.RequestIDHeader)
		body, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(string(body), "secret") {
			t.Errorf("body %q, %v", body, err)
		}
		_, _ = io.WriteString(w, `{"Path": "a"}`)
	}))
	defer good.Close()
	breaking := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ids <- r.Header.Get(nomadish.RequestIDHeader)
		panic(http.ErrAbortHandler)
	}))
	defer breaking.Close()
	leaderless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids <- r.Header.Get(nomadish.RequestIDHeader)
		http.Error(w, "No cluster leader", http.StatusServiceUnavailable)
	}))
	defer leaderless.Close()
	strict := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refused.Add(1)
		http.Error(w, "Permission denied", http.StatusForbidden)
	}))
	defer strict.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	v := &nomadish.Variable{Items: nomadish.VariableItems{"k": "secret"}}
	v.Path = "a"
	c, err := api.New(api.Config{Address: gone.URL, Others: []string{breaking.URL, leaderless.URL, good.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for range 2 {
		if _, err := c.Variables().Set(ctx, v, nil); err != nil {
			t.Fatal(err)
		}
	}
	first := <-ids
	if second, third := <-ids, <-ids; first == "" || second != first || third != first {
		t.Errorf("attempts of one write have the IDs %q, %q and %q", first, second, third)
	}
	if fourth := <-ids; fourth == first || len(ids) > 0 || asked.Load() != 2 {
		t.Errorf("a second write has the ID %q, the first one %q; %d requests more", fourth, first, len(ids))
	}

	c, err = api.New(api.Config{Address: strict.URL, Others: []string{good.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Variables().Set(ctx, v, nil); nomadish.KindOf(err) != nomadish.KindDenied || refused.Load() != 1 || asked.Load() != 2 {
		t.Errorf("%v after %d requests, and %d to the next agent", err, refused.Load(), asked.Load()-2)
	}
}

// With no agent that answers, the last one's error comes back when the context ends.
func TestFailoverEnds(t *testing.T) {
	leaderless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "No cluster leader", http.StatusServiceUnavailable)
	}))
	defer leaderless.Close()
	c, err := api.New(api.Config{Address: leaderless.URL, Others: []string{leaderless.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := c.Jobs().List(ctx, nil); err == nil {
		t.Error("no error")
	}
	if _, err := api.New(api.Config{Others: []string{"nowhere"}}); err == nil {
		t.Error("an address that is none is taken")
	}
}
