package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/codec"
)

// Request is a request as handlers see it.
type Request struct {
	HTTP  *http.Request
	Query Query

	api     *API
	route   *Route
	params  params     // of the path
	values  url.Values // of the query string
	control *http.ResponseController
	id      string // in the audit log; "": not there yet
	body    []byte // as far as it was read

	presence *presence // of the caller; nil before it is known

	status      int    // of the answer; 0: 200
	index       uint64 // of the answer, if hasIndex
	hasIndex    bool
	nextToken   string
	knownLeader bool
	lastContact time.Duration
	maxAge      time.Duration // for which the answer may be kept; 0: nothing is said of that
	digest      string        // of the answer's body (RFC 3230); "": nothing is said of that
}

// Context carries the caller (nomadish.CallerFrom) and ends with the request.
func (r *Request) Context() context.Context { return r.HTTP.Context() }

// Param returns a parameter of the path, unescaped.
func (r *Request) Param(name string) string { return r.params.Get(name) }

// Value returns a parameter of the query string.
func (r *Request) Value(name string) string { return r.values.Get(name) }

// Bool returns an optional bool of the query string; a key without a value is false.
func (r *Request) Bool(name string) (bool, error) { return boolParam(r.values, name, false) }

// Int returns an optional integer of the query string.
func (r *Request) Int(name string, byDefault int64) (int64, error) {
	s := r.values.Get(name)
	if s == "" {
		return byDefault, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of %s: must be an integer", s, name)
	}
	return n, nil
}

// SetIndex says at which index the answer holds.
func (r *Request) SetIndex(index uint64) { r.index, r.hasIndex = index, true }

// bodyRate is the slowest pace at which a body may come in, after a grace of bodyGrace.
const (
	bodyRate  = 64 << 10 // bytes per second
	bodyGrace = 10 * time.Second
)

// Body reads the request's body, which is at most the route's limit.
func (r *Request) Body() ([]byte, error) {
	grace := bodyGrace + time.Duration(r.route.Body/bodyRate)*time.Second
	if err := r.control.SetReadDeadline(time.Now().Add(grace)); err == nil {
		defer r.control.SetReadDeadline(time.Time{}) //nolint:errcheck // the connection is gone, then
	}
	body, err := io.ReadAll(r.HTTP.Body) // serve has bounded it
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, r.tooLarge()
	case err != nil:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "request body: %w", err)
	}
	r.body = body
	return body, nil
}

// rewind lets the body be read again, by the handler or by another agent.
func (r *Request) rewind() { r.HTTP.Body = io.NopCloser(bytes.NewReader(r.body)) }

// peek decodes from the body what says where the request runs. The body can be read again
// afterwards; an empty one says nothing.
func (r *Request) peek(v any) error {
	body, err := r.Body()
	if err != nil {
		return err
	}
	r.rewind()
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return nomadish.DecodeJSON(body, v)
}

func (r *Request) tooLarge() error {
	return nomadish.Errorf(nomadish.KindTooLarge, "request body is larger than %d bytes, the limit of %s %s",
		r.route.Body, r.HTTP.Method, r.route.Path)
}

// Decode reads the body into v: as JSON, or in the binary encoding where the route takes
// it. An empty body is an error.
func (r *Request) Decode(v any) error {
	body, err := r.Body()
	if err != nil {
		return err
	}
	if d, ok := v.(codec.Decoder); ok && r.route.is(Binary) && r.HTTP.Header.Get("Content-Type") == nomadish.BinaryMediaType {
		if err := codec.Unmarshal(body, d); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "request body: %w", err)
		}
		return nil
	}
	return decodeJSON(body, v)
}

// DecodeOptional is Decode for a body that may be empty: v stays as it is then.
func (r *Request) DecodeOptional(v any) error {
	body, err := r.Body()
	if err != nil || len(body) == 0 {
		return err
	}
	return decodeJSON(body, v)
}

// meta is what some answers repeat of their headers.
func (r *Request) meta() nomadish.QueryMeta {
	return nomadish.QueryMeta{Index: r.index, KnownLeader: r.knownLeader, LastContact: int64(r.lastContact), NextToken: r.nextToken}
}

// required returns a parameter of the query string that must be there.
func (r *Request) required(name string) (string, error) {
	if s := r.values.Get(name); s != "" {
		return s, nil
	}
	return "", nomadish.Errorf(nomadish.KindInvalid, "must provide a %s", name)
}
