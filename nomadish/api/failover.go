package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Times of going from one agent to the next.
const (
	answerWithin   = time.Second // that the first agent has to begin its answer; each next one has twice as long
	failoverWithin = 10 * time.Second
	failoverPause  = 50 * time.Millisecond // after all agents were asked
)

// failover passes requests to the first of several agents that answers, beginning with the one that
// did last. What may be made twice goes to the next where a connection fails or breaks, where an
// agent says that it can't serve now, and where it says nothing: it may be paused, or its machine gone.
type failover struct {
	next   http.RoundTripper
	agents []*url.URL
	first  atomic.Int64 // index of the agent to ask first: one that answered, or was not asked yet
}

// CloseIdleConnections is called by http.Client.
func (f *failover) CloseIdleConnections() {
	if c, ok := f.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// repeatable says whether a request may be made more than once: a read, or a write with an ID, with
// which it is carried out once.
func repeatable(r *http.Request) bool {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return false
	}
	return r.Method == http.MethodGet || r.Header.Get(nomadish.RequestIDHeader) != ""
}

// RoundTrip implements http.RoundTripper.
func (f *failover) RoundTrip(r *http.Request) (*http.Response, error) {
	first := int(f.first.Load())
	if !repeatable(r) {
		return f.attempt(r, first, 0)
	}
	began := time.Now()
	for try := 0; ; try++ {
		agent := (first + try) % len(f.agents)
		resp, err := f.attempt(r, agent, answerWithin<<min(try, 10))
		if err == nil && resp.StatusCode != http.StatusServiceUnavailable {
			f.first.Store(int64(agent))
			return resp, nil
		}
		f.first.Store(int64((agent + 1) % len(f.agents))) // also for calls whose time is over by now
		if r.Context().Err() != nil || time.Since(began) > failoverWithin {
			return resp, err
		}
		if try%len(f.agents) == len(f.agents)-1 {
			select {
			case <-time.After(failoverPause):
			case <-r.Context().Done():
				return resp, err
			}
		}
		if err == nil {
			_ = resp.Body.Close() // it is the next one's turn, whatever was wrong with this one
		}
	}
}

// attempt asks one agent, which has so long to begin its answer; 0: as long as it takes.
func (f *failover) attempt(r *http.Request, agent int, within time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	try := r.Clone(ctx)
	try.URL.Scheme, try.URL.Host, try.Host = f.agents[agent].Scheme, f.agents[agent].Host, ""
	if r.GetBody != nil {
		body, err := r.GetBody()
		if err != nil {
			cancel()
			return nil, err
		}
		try.Body = body
	}
	if within > 0 && !waits(r.URL) {
		timer := time.AfterFunc(within, cancel)
		defer timer.Stop()
	}
	resp, err := f.next.RoundTrip(try)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &answer{resp.Body, cancel}
	return resp, nil
}

// waits says whether a request asks for an answer that comes when something has changed.
func waits(u *url.URL) bool {
	q := u.Query()
	return q.Has("index") || q.Has("wait") || q.Has("follow")
}

// answer is a body that ends its request's context when it is closed.
type answer struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (a *answer) Close() error {
	defer a.cancel()
	return a.ReadCloser.Close()
}

// agents are the addresses of all agents, the first one's first.
func (c Config) agents(first *url.URL) ([]*url.URL, error) {
	all := []*url.URL{first}
	for _, address := range c.Others {
		u, err := Config{Address: address}.base()
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}
