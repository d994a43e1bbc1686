package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// InProcess returns a RoundTripper that calls a handler of this process: no socket, no
// encoding of requests. Answers stream, and handlers may take the connection over. The
// caller counts as peer.
func InProcess(h http.Handler, peer Peer) http.RoundTripper {
	return &inProcess{handler: h, peer: peer}
}

type inProcess struct {
	handler http.Handler
	peer    Peer
}

// RoundTrip calls the handler.
func (p *inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(WithOrigin(ctx, Origin{Peer: p.peer}))
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if in.Host == "" {
		in.Host = in.URL.Host
	}
	in.RequestURI = in.URL.RequestURI()
	in.RemoteAddr = p.peer.Addr
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1

	body, out := io.Pipe()
	w := &inProcessWriter{header: http.Header{}, request: r, out: out, body: body, cancel: cancel, answered: make(chan *http.Response, 1)}
	go w.run(arrive(p.handler), in)
	var resp *http.Response
	select {
	case resp = <-w.answered:
	case <-r.Context().Done():
	}
	if err := r.Context().Err(); err != nil { // also when the handler ended for that reason
		_ = body.CloseWithError(err) // wakes a handler that writes
		if resp != nil {
			_ = resp.Body.Close() // nobody reads it
		}
		return nil, err
	}
	if resp == nil {
		cancel()
		return nil, errors.New("handler gave no answer")
	}
	return resp, nil
}

// inProcessWriter is the ResponseWriter of one request.
type inProcessWriter struct {
	header   http.Header
	request  *http.Request
	out      *io.PipeWriter
	body     *io.PipeReader
	cancel   context.CancelFunc
	answered chan *http.Response // the answer once its header is known; nil if there is none

	mu       sync.Mutex
	wrote    bool
	hijacked bool
}

// run calls the handler and ends the answer's body, as an aborted one if the handler panics.
func (w *inProcessWriter) run(h http.Handler, in *http.Request) {
	defer w.cancel()
	defer func() {
		_ = in.Body.Close() // as RoundTrippers must
		fault := recover()
		if w.hijacked {
			return
		}
		if fault != nil {
			_ = w.out.CloseWithError(io.ErrUnexpectedEOF)
			if !w.wrote {
				w.answered <- nil
			}
			return
		}
		w.WriteHeader(http.StatusOK)
		_ = w.out.Close() // never fails
	}()
	h.ServeHTTP(w, in)
}

// Header returns the answer's header.
func (w *inProcessWriter) Header() http.Header { return w.header }

// WriteHeader lets the caller have the answer, whose body follows.
func (w *inProcessWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote || w.hijacked || status < http.StatusOK {
		return
	}
	w.wrote = true
	w.answered <- &http.Response{
		Status:        http.StatusText(status),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        w.header.Clone(),
		Body:          &inProcessBody{w.body, w.cancel},
		ContentLength: -1,
		Request:       w.request,
	}
}

func (w *inProcessWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if len(p) == 0 {
		return 0, nil
	}
	return w.out.Write(p)
}

// Flush does nothing: each write waits for its reader.
func (w *inProcessWriter) Flush() { w.WriteHeader(http.StatusOK) }

// Hijack gives the handler one end of a pipe. What it writes there is read as an answer.
func (w *inProcessWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote || w.hijacked {
		return nil, nil, http.ErrHijacked
	}
	w.hijacked = true
	near, far := net.Pipe()
	go w.readAnswer(far)
	return near, bufio.NewReadWriter(bufio.NewReader(near), bufio.NewWriter(near)), nil
}

// readAnswer reads the answer that a handler writes itself.
func (w *inProcessWriter) readAnswer(c net.Conn) {
	buffered := bufio.NewReader(c)
	resp, err := http.ReadResponse(buffered, w.request) //nolint:bodyclose // who asked closes the body
	if err != nil {
		_ = c.Close() // a pipe's never fails
		w.answered <- nil
		return
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = &upgraded{Conn: c, r: buffered}
	} else {
		resp.Body = &closeBoth{resp.Body, c}
	}
	w.answered <- resp
}

// inProcessBody ends the request when it is closed.
type inProcessBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close ends the request.
func (b *inProcessBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// upgraded is a connection after its protocol was switched.
type upgraded struct {
	net.Conn
	r *bufio.Reader
}

func (u *upgraded) Read(p []byte) (int, error) { return u.r.Read(p) }

// closeBoth is a body that ends its connection.
type closeBoth struct {
	io.ReadCloser
	c net.Conn
}

// Close ends the connection.
func (b *closeBoth) Close() error {
	return errors.Join(b.ReadCloser.Close(), b.c.Close())
}
