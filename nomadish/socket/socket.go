// Package socket carries a byte stream over a websocket. Unlike a bare websocket it can end
// one direction and keep the other: an empty message says that no more will come.
//
//	conn := socket.New(ctx, ws) // until ctx ends
//	err := socket.Join(conn, other)
package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/coder/websocket"
)

// pieceSize bounds a message.
const pieceSize = 32 << 10

// Conn is a stream over a websocket. When its context ends, so does the connection.
type Conn struct {
	ws     *websocket.Conn
	ctx    context.Context //nolint:containedctx // Read and Write take none
	cancel context.CancelFunc

	rest  []byte // of the newest message
	ended bool   // the peer writes no more

	closing sync.Mutex
	closed  bool // for writing
}

// New takes a websocket over.
func New(ctx context.Context, ws *websocket.Conn) *Conn {
	ctx, cancel := context.WithCancel(ctx)
	ws.SetReadLimit(pieceSize)
	return &Conn{ws: ws, ctx: ctx, cancel: cancel}
}

// Read reads what the peer wrote. It returns io.EOF when the peer writes no more.
func (c *Conn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.ended {
			return 0, io.EOF
		}
		_, data, err := c.ws.Read(c.ctx)
		switch {
		case websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		c.rest, c.ended = data, len(data) == 0
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write sends p in messages of a bounded size.
func (c *Conn) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		piece := p[sent:min(len(p), sent+pieceSize)]
		if err := c.ws.Write(c.ctx, websocket.MessageBinary, piece); err != nil {
			return sent, err
		}
		sent += len(piece)
	}
	return sent, nil
}

// CloseWrite says that no more will be written. Saying it again changes nothing.
func (c *Conn) CloseWrite() error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	return c.ws.Write(c.ctx, websocket.MessageBinary, nil)
}

// Close ends the connection in both directions.
func (c *Conn) Close() error {
	defer c.cancel()
	err := c.ws.CloseNow()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Join copies between two connections until both directions have ended or one has failed,
// and closes both. It returns the first failure.
func Join(a, b io.ReadWriteCloser) error {
	errs := make(chan error, 2)
	go func() { errs <- pass(a, b) }()
	go func() { errs <- pass(b, a) }()
	first := <-errs
	if first != nil {
		closeBoth(a, b) // wakes the other direction
	}
	second := <-errs
	closeBoth(a, b)
	if first == nil {
		first = second
	}
	return first
}

// closeBoth closes connections whose use is over: an error tells nothing new.
func closeBoth(a, b io.Closer) {
	_ = a.Close()
	_ = b.Close()
}

// pass copies one direction, and its end.
func pass(to, from io.ReadWriteCloser) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return to.Close()
	}
	if err := half.CloseWrite(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
