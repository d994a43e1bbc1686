package nomadish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// RequestIDHeader names the header in which a write carries its request ID: however often the same
// request is made with it, it is carried out once, and later answers are the first one's. An ID counts
// for the caller, the method and the path that it came with, for ten minutes.
const RequestIDHeader = "X-Nomadish-Request-Id"

// MaxRequestID is how long a request ID may be.
const MaxRequestID = 128

// request is a write under a request ID: what it has had so far.
type request struct {
	id       string
	commands atomic.Uint32
	ids      atomic.Uint32
}

type requestKey struct{}

// WithRequestID returns the context of one attempt at a write. All attempts have to be made with the
// same id, which nobody else may have.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, &request{id: id})
}

// NextCommandID returns the ID of the request's next command; empty for a request that has no ID. An
// attempt that makes the same commands in the same order as an earlier one gets the same IDs.
func NextCommandID(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return ""
	}
	return r.id + "/" + strconv.FormatUint(uint64(r.commands.Add(1)-1), 10)
}

// FirstCommandID returns the ID that the request's first command has, or had in an earlier attempt.
func FirstCommandID(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return ""
	}
	return r.id + "/0"
}

// NewIDFor returns an ID for something that a request makes: all attempts at one write give it the same.
// It is no secret to who knows the request's ID.
func NewIDFor(ctx context.Context) string {
	r, _ := ctx.Value(requestKey{}).(*request)
	if r == nil {
		return NewID()
	}
	sum := sha256.Sum256([]byte(r.id + "#" + strconv.FormatUint(uint64(r.ids.Add(1)-1), 10)))
	return asUUID([16]byte(sum[:16]))
}

// ScopedRequestID returns the ID under which the servers know a request, made of the one that its caller
// chose and of what else tells requests apart.
func ScopedRequestID(id string, scope ...string) string {
	h := sha256.New()
	for _, part := range append(scope, id) {
		h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
