package transport

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// errRetired says that a question can be asked again on another session.
var errRetired = errors.New("the session is being left")

// questions are the requests on a session that change nothing and have no answer yet, as a node's watch,
// which may wait for minutes. They do not keep a session that is left: they are asked again elsewhere.
type questions struct {
	mu      sync.Mutex
	retired bool
	open    map[*http.Request]context.CancelCauseFunc
}

// ask makes a request by a way. The error is errRetired if it has to be asked again.
func (q *questions) ask(way http.RoundTripper, r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "" || r.Body != nil && r.Body != http.NoBody {
		return way.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	q.add(r, cancel)
	resp, err := way.RoundTrip(r.WithContext(ctx))
	q.remove(r)
	if r.Context().Err() == nil && errors.Is(context.Cause(ctx), errRetired) {
		if err == nil {
			_ = resp.Body.Close() // it is cut off
		}
		return nil, errRetired
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &question{resp.Body, cancel}
	return resp, nil
}

func (q *questions) add(r *http.Request, cancel context.CancelCauseFunc) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.retired {
		cancel(errRetired)
		return
	}
	if q.open == nil {
		q.open = map[*http.Request]context.CancelCauseFunc{}
	}
	q.open[r] = cancel
}

func (q *questions) remove(r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, r)
}

// retire has all questions asked again elsewhere.
func (q *questions) retire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.retired = true
	for _, cancel := range q.open {
		cancel(errRetired)
	}
}

// question is an answer's body, which frees what its request holds when it is closed.
type question struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (q *question) Close() error {
	q.cancel(nil)
	return q.ReadCloser.Close()
}
