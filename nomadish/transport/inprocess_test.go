package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/nomadish"
)

func TestInProcess(t *testing.T) {
	rt := InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.RequestURI != "/a%2Fb?c=d" {
			t.Errorf("request URI %q", r.RequestURI)
		}
		w.Header().Set("X-Test", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, OriginFrom(r.Context()).ID+":"+string(body))
	}), Peer{Kind: nomadish.CallerNode, ID: "n1"})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer/a%2Fb?c=d", strings.NewReader("hello"))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || string(body) != "n1:hello" || resp.StatusCode != http.StatusTeapot || resp.Header.Get("X-Test") != "yes" {
		t.Errorf("got %d %v %q, %v", resp.StatusCode, resp.Header, body, err)
	}
}

// A handler that panics before it answers gives an error, one that does later a broken body.
func TestInProcessPanic(t *testing.T) {
	for _, early := range []bool{true, false} {
		rt := InProcess(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !early {
				_, _ = io.WriteString(w, "x")
			}
			panic(http.ErrAbortHandler)
		}), Peer{})
		_, err := ask(t, rt)
		if err == nil {
			t.Errorf("early %t: no error", early)
		}
	}
}

// Closing the body, or ending the context, ends the handler.
func TestInProcessEnds(t *testing.T) {
	ended := make(chan error, 1)
	rt := InProcess(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		for {
			if _, err := io.WriteString(w, "x"); err != nil {
				<-r.Context().Done()
				ended <- err
				return
			}
		}
	}), Peer{})
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://peer/", nil)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Body.Read(make([]byte, 1))
	resp.Body.Close()
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want io.ErrClosedPipe", err)
	}
	cancel()

	blocked := InProcess(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), Peer{})
	ctx, cancel = context.WithCancel(t.Context())
	req, _ = http.NewRequestWithContext(ctx, http.MethodGet, "http://peer/", nil)
	cancel()
	if _, err := blocked.RoundTrip(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
