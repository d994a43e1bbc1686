package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// wayFunc is a way that is a function.
type wayFunc func(r *http.Request) (*http.Response, error)

func (f wayFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hangs is the way to an agent that does not answer when it is dialled.
func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	_ = r.Body.Close()
	return nil, r.Context().Err()
}

func connect(r *http.Request) {
	httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
}

func echo(r *http.Request) (*http.Response, error) {
	connect(r)
	time.Sleep(time.Minute) // an answer may take its time
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: r.Body}, nil
}

// A request goes to the first agent that can be reached, with all of its body, and to one alone;
// whoever can't be reached costs no more than patience altogether.
func TestFirst(t *testing.T) {
	lost := errors.New("lost")
	loses := func(r *http.Request) (*http.Response, error) {
		connect(r)
		return nil, lost
	}
	refuses := func(r *http.Request) (*http.Response, error) {
		_ = r.Body.Close()
		return nil, errors.New("refused")
	}
	for _, tt := range []struct {
		name string
		ways []wayFunc
		hold time.Duration // given by the context
		took time.Duration
		err  error
	}{
		{name: "the first", ways: []wayFunc{echo, loses}, took: time.Minute},
		{name: "the first that answers", ways: []wayFunc{hangs, refuses, echo}, took: attempt + time.Minute},
		{name: "sent once", ways: []wayFunc{refuses, loses, echo}, err: lost},
		{name: "nobody", ways: []wayFunc{hangs, hangs, hangs}, took: patience, err: ErrUnreachable},
		{name: "nobody, for who is in a hurry", ways: []wayFunc{hangs, hangs}, hold: time.Second, took: time.Second, err: ErrUnreachable},
		{name: "there is none", err: ErrUnreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.hold > 0 {
					ctx = WithPatience(ctx, tt.hold)
				}
				r, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://x/", strings.NewReader("all of it"))
				if err != nil {
					t.Fatal(err)
				}
				var ways []http.RoundTripper
				for _, w := range tt.ways {
					ways = append(ways, w)
				}
				began := time.Now()
				resp, err := First("region x", ways).RoundTrip(r)
				if got := time.Since(began); got != tt.took {
					t.Errorf("it took %s, want %s", got, tt.took)
				}
				if !errors.Is(err, tt.err) {
					t.Fatalf("got %v, want %v", err, tt.err)
				}
				if err != nil {
					if errors.Is(err, ErrUnreachable) && nomadish.KindOf(err) != nomadish.KindNoLeader {
						t.Errorf("%v is of kind %d", err, nomadish.KindOf(err))
					}
					return
				}
				defer resp.Body.Close()
				if text, err := io.ReadAll(resp.Body); string(text) != "all of it" || err != nil {
					t.Errorf("the body came as %q, %v", text, err)
				}
			})
		})
	}
}

// Who asks may stop asking.
func TestFirstCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://x/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := First("region x", []http.RoundTripper{wayFunc(hangs)}).RoundTrip(r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
