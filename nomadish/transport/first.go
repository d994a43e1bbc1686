package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// ErrUnreachable says that a request was sent to nobody: none of those who could have taken it can be
// reached.
var ErrUnreachable = &nomadish.Error{Kind: nomadish.KindNoLeader, Message: "it can't be reached"}

// patience is how long it may take altogether to reach one of several agents, and attempt how long
// each of them is waited for at least: a session with one far away takes a few journeys to and fro. How
// long an answer takes is not bounded by them.
const (
	patience = 4 * time.Second
	attempt  = 1500 * time.Millisecond
)

type patienceKey struct{}

// WithPatience returns a context in which requests wait no longer for one of several agents.
func WithPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// First returns the way to the first of several agents that can be reached, tried anew with each
// request; what is their name in errors. A request goes to another one only as long as nothing of it
// has been sent. If it was sent to none, the error is ErrUnreachable.
func First(what string, ways []http.RoundTripper) http.RoundTripper {
	return &firstOf{what: what, ways: ways}
}

type firstOf struct {
	what string
	ways []http.RoundTripper
}

// RoundTrip makes a request to one of the agents.
func (f *firstOf) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &keptBody{ReadCloser: r.Body}
	until := time.Now().Add(patience)
	if d, ok := r.Context().Value(patienceKey{}).(time.Duration); ok && d < patience {
		until = time.Now().Add(d)
	}
	err := errors.New("there is none")
	for i, way := range f.ways {
		left := time.Until(until)
		if left <= 0 {
			break
		}
		resp, sent, failed := f.try(r, body, way, min(left, max(left/time.Duration(len(f.ways)-i), attempt)))
		if failed == nil || sent {
			return resp, failed
		}
		if err = failed; r.Context().Err() != nil {
			break
		}
	}
	if body.ReadCloser != nil {
		_ = body.ReadCloser.Close() // as RoundTrippers must
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("no path to %s: %w: %w", f.what, ErrUnreachable, err)
}

var errNoConnection = errors.New("no connection in time")

// try makes the request by one of the ways, which has a time to connect. It says whether the request
// may have been sent.
func (f *firstOf) try(r *http.Request, body *keptBody, way http.RoundTripper, patience time.Duration) (*http.Response, bool, error) {
	var sent atomic.Bool
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(patience, func() {
		if !sent.Load() {
			cancel(errNoConnection)
		}
	})
	defer timer.Stop()
	out := r.Clone(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent.Store(true) }}))
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = body
	}
	resp, err := way.RoundTrip(out)
	if err == nil {
		return resp, true, nil // its body may be read as long as the caller's context lasts
	}
	if cause := context.Cause(ctx); errors.Is(cause, errNoConnection) {
		err = cause
	}
	cancel(err)
	return nil, sent.Load() || body.read.Load(), err
}

// keptBody is a request's body that stays open while ways are tried that do not read it: each closes
// it, as RoundTrippers must.
type keptBody struct {
	io.ReadCloser
	read atomic.Bool
}

// Read implements io.Reader.
func (b *keptBody) Read(p []byte) (int, error) {
	b.read.Store(true)
	return b.ReadCloser.Read(p)
}

// Close closes a body that was read.
func (b *keptBody) Close() error {
	if b.read.Load() {
		return b.ReadCloser.Close()
	}
	return nil
}
