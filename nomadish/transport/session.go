package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// Session is one connection to a peer that carries any number of streams. Either side may
// open them. Methods may be called concurrently.
type Session interface {
	// Open makes a stream; it arrives at the peer's Accept.
	Open(ctx context.Context) (net.Conn, error)
	// Accept waits for a stream that the peer opens. Once the session has ended, by
	// either side, it returns an error that is net.ErrClosed.
	Accept() (net.Conn, error)
	// Close ends the session and all its streams. Closing twice is no error.
	Close() error
	// Done is closed when the session has ended.
	Done() <-chan struct{}
}

// Bounds of a session. Streams that wait to be accepted are few: servers accept at once.
const (
	streamBacklog  = 256
	sessionIdle    = 10 * time.Second // between signs of life
	sessionWriting = 10 * time.Second // for one write to get through
)

// muxed is a session of yamux on a byte stream.
type muxed struct {
	y    *yamux.Session
	conn net.Conn // below it
}

// newMuxed makes a session on conn, whose two ends must differ in dialled.
func newMuxed(conn net.Conn, dialled bool) (Session, error) {
	cfg := yamux.DefaultConfig()
	cfg.AcceptBacklog = streamBacklog
	// Who dialled asks whether the other end lives; a server with thousands of nodes asks none of them, as the
	// kernel finds those that are gone.
	cfg.EnableKeepAlive, cfg.KeepAliveInterval = dialled, sessionIdle
	cfg.ConnectionWriteTimeout = sessionWriting
	cfg.StreamCloseTimeout = time.Minute
	cfg.LogOutput = io.Discard // what it would say comes back as errors
	start := yamux.Server
	if dialled {
		start = yamux.Client
	}
	y, err := start(&frames{Conn: conn}, cfg)
	if err != nil {
		return nil, fmt.Errorf("session with %s: %w", conn.RemoteAddr(), err)
	}
	return &muxed{y: y, conn: conn}, nil
}

// Open makes a stream.
func (m *muxed) Open(ctx context.Context) (net.Conn, error) {
	type result struct {
		stream *yamux.Stream
		err    error
	}
	opened := make(chan result)
	go func() { // OpenStream waits while too many streams are not yet accepted; it ends with the session
		s, err := m.y.OpenStream()
		select {
		case opened <- result{s, err}:
		case <-ctx.Done():
			if err == nil {
				_ = s.Close() // nobody takes it
			}
		}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, fmt.Errorf("open stream to %s: %w", m.y.RemoteAddr(), m.closedError(r.err))
		}
		return &muxedConn{r.stream}, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open stream to %s: %w", m.y.RemoteAddr(), ctx.Err())
	}
}

// Accept waits for a stream of the peer.
func (m *muxed) Accept() (net.Conn, error) {
	s, err := m.y.AcceptStream()
	if err != nil {
		return nil, fmt.Errorf("accept stream from %s: %w", m.y.RemoteAddr(), m.closedError(err))
	}
	return &muxedConn{s}, nil
}

// Ping returns once the peer has given a sign of life.
func (m *muxed) Ping(ctx context.Context) error {
	answered := make(chan error, 1) // what is given up here ends within sessionWriting
	go func() {
		_, err := m.y.Ping()
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return fmt.Errorf("ping %s: %w", m.y.RemoteAddr(), ctx.Err())
	}
}

// Streams returns how many streams there are, of both sides.
func (m *muxed) Streams() int { return m.y.NumStreams() }

// Close ends the session. The connection is closed first, so that yamux finds that it is gone: from when it
// is told to close until it has seen that, whoever reads from a stream turns in a loop, and of thousands
// of sessions that end together hardly one then gets to see it.
func (m *muxed) Close() error {
	err := m.conn.Close()
	<-m.y.CloseChan()
	if closed := m.y.Close(); errors.Is(err, net.ErrClosed) {
		err = closed
	}
	return err
}

// Done is closed with the session.
func (m *muxed) Done() <-chan struct{} { return m.y.CloseChan() }

// closedError adds net.ErrClosed to an error of a session that has ended.
func (m *muxed) closedError(err error) error {
	if m.y.IsClosed() {
		return fmt.Errorf("%w: %w", net.ErrClosed, err)
	}
	return err
}

// muxedConn is a stream that behaves as sockets do: a close wakes its readers and writers.
type muxedConn struct{ *yamux.Stream }

// Close ends the stream.
func (c *muxedConn) Close() error {
	err := c.Stream.Close()
	_ = c.Stream.SetDeadline(time.Unix(1, 0)) // fails for no time
	return err
}

// memory is one end of a session within the process.
type memory struct {
	incoming chan net.Conn // opened by the other end
	other    *memory
	done     chan struct{} // shared by both ends
	end      func()        // closes done, once

	mu      sync.Mutex
	streams map[net.Conn]struct{} // open ones of this end
}

// Pipe returns the two ends of a session in memory: each stream is a net.Pipe.
func Pipe() (Session, Session) {
	done := make(chan struct{})
	var once sync.Once
	end := func() { once.Do(func() { close(done) }) }
	a := &memory{incoming: make(chan net.Conn, streamBacklog), done: done, end: end, streams: map[net.Conn]struct{}{}}
	b := &memory{incoming: make(chan net.Conn, streamBacklog), done: done, end: end, streams: map[net.Conn]struct{}{}}
	a.other, b.other = b, a
	return a, b
}

// Open makes a stream.
func (m *memory) Open(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	there := m.other.track(far)
	select {
	case <-m.done:
	case <-ctx.Done():
	default:
		select {
		case m.other.incoming <- there:
			return m.track(near), nil
		case <-m.done:
		case <-ctx.Done():
		}
	}
	_ = there.Close()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open stream in memory: %w", err)
	}
	return nil, fmt.Errorf("open stream in memory: %w", net.ErrClosed)
}

// Accept waits for a stream of the other end.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case <-m.done:
	default:
		select {
		case c := <-m.incoming:
			return c, nil
		case <-m.done:
		}
	}
	return nil, fmt.Errorf("accept stream in memory: %w", net.ErrClosed)
}

// Done is closed with the session.
func (m *memory) Done() <-chan struct{} { return m.done }

// Close ends the session at both ends.
func (m *memory) Close() error {
	m.end()
	for _, side := range []*memory{m, m.other} {
		side.mu.Lock()
		streams := side.streams
		side.streams = nil
		side.mu.Unlock()
		for c := range streams {
			_ = c.Close() // a pipe's never fails
		}
	}
	return nil
}

// track keeps a stream until it is closed, so that Close finds it.
func (m *memory) track(c net.Conn) net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams == nil {
		_ = c.Close() // the session ended meanwhile
		return c
	}
	m.streams[c] = struct{}{}
	return &memoryConn{Conn: c, session: m}
}

// memoryConn is a stream of a session in memory.
type memoryConn struct {
	net.Conn
	session *memory
}

// Close ends the stream.
func (c *memoryConn) Close() error {
	c.session.mu.Lock()
	delete(c.session.streams, c.Conn)
	c.session.mu.Unlock()
	return c.Conn.Close()
}
