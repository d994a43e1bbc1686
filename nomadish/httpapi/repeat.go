package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// An election takes a second or two. A request that it catches is made again, here and not by who sent it:
// a read, or a write with a request ID, which is carried out once however often it is made.
const (
	repeatWithin = 5 * time.Second // from the first attempt, and within the request's deadline
	repeatPause  = 50 * time.Millisecond

	unreachableFor = "5" // seconds after which it makes sense to ask for a region again that can't be reached
)

// attempt answers a request here, or passes it on to where it belongs.
func (a *API) attempt(w http.ResponseWriter, r *Request) error {
	away, err := a.place(r)
	if err != nil {
		return err
	}
	if away == nil {
		return a.run(w, r)
	}
	if r.repeatable() { // where it runs, the caller is asked for its rights
		return transport.Forward(w, r.HTTP, refusals{away})
	}
	return transport.Forward(w, r.HTTP, away)
}

// insist answers a request, if need be in several attempts.
func (a *API) insist(w http.ResponseWriter, r *Request) error {
	if !r.repeatable() || transport.OriginFrom(r.Context()).Hops > 0 { // who passed it on does that
		return a.attempt(w, r)
	}
	if r.HTTP.Method != http.MethodGet {
		if _, err := r.Body(); err != nil {
			return err
		}
	}
	began := time.Now()
	for {
		try := *r
		try.HTTP = r.HTTP.WithContext(transport.WithPatience(r.Context(), repeatWithin-time.Since(began)))
		if r.HTTP.Method != http.MethodGet {
			try.rewind()
		}
		err := a.attempt(w, &try)
		if !passing(err) || time.Since(began) > repeatWithin {
			return unwrapRefusal(err)
		}
		select {
		case <-time.After(repeatPause):
		case <-r.Context().Done():
			return unwrapRefusal(err)
		}
	}
}

// repeatable says whether making the request twice changes nothing more than making it once.
func (r *Request) repeatable() bool {
	switch {
	case r.route.Body > bodyJob || r.route.is(Tunnel|Socket):
		return false
	case r.HTTP.Method == http.MethodGet || r.HTTP.Method == http.MethodHead:
		return r.route.is(Read)
	}
	return r.requestID() != ""
}

// requestID returns the ID that a write came with, if it has an effect. What an answer holds and nobody
// keeps, such as a token's secret, can't be told a second time: there an ID has none.
func (r *Request) requestID() string {
	path := r.route.Path
	if strings.HasPrefix(path, "/v1/acl/") || strings.HasPrefix(path, "/v1/operator/keyring/") {
		return ""
	}
	return r.HTTP.Header.Get(nomadish.RequestIDHeader)
}

// identified puts the request's ID into its context, for its caller alone.
func (r *Request) identified(caller nomadish.Caller) error {
	id := r.requestID()
	if id == "" || r.HTTP.Method == http.MethodGet {
		return nil
	}
	if len(id) > nomadish.MaxRequestID {
		return nomadish.Errorf(nomadish.KindInvalid, "%s: %d bytes, more than %d", nomadish.RequestIDHeader, len(id), nomadish.MaxRequestID)
	}
	id = nomadish.ScopedRequestID(id, caller.Kind.String(), caller.ID, r.HTTP.Method, r.HTTP.URL.Path, r.Query.Namespace)
	r.HTTP = r.HTTP.WithContext(nomadish.WithRequestID(r.Context(), id))
	return nil
}

// passing says that an attempt failed for a reason that will not last.
func passing(err error) bool {
	if err == nil {
		return false
	}
	var refused *refusal
	if errors.As(err, &refused) {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, transport.ErrUnreachable) {
		return false // nobody asks, or nobody could be asked for as long as makes sense
	}
	kind := nomadish.KindOf(err)
	return kind == nomadish.KindNoLeader || kind == nomadish.KindUnknown
}

// refusals makes errors of answers that say that the other agent can't serve just now.
type refusals struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t refusals) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		return resp, err
	}
	if resp.Header.Get("Retry-After") == unreachableFor {
		return resp, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, bodyDefault))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read a refusal: %w", err)
	}
	return nil, &refusal{nomadish.Errorf(nomadish.KindNoLeader, "%s", body)}
}

// refusal is an answer of another agent.
type refusal struct{ said *nomadish.Error }

func (e *refusal) Error() string { return e.said.Error() }

// unwrapRefusal returns what the other agent said, if that is what err is about.
func unwrapRefusal(err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		return refused.said
	}
	return err
}
