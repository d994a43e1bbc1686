package transport

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"
)

// handover is a listener that gets its connections from somebody else's.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}

	mu     sync.Mutex
	closed bool
}

func newHandover() *handover {
	return &handover{addr: sessionAddr("none"), conns: make(chan net.Conn), done: make(chan struct{})}
}

// give waits until somebody accepts c.
func (h *handover) give(ctx context.Context, c net.Conn) error {
	select {
	case h.conns <- c:
		return nil
	case <-h.done:
		return fmt.Errorf("hand over connection: %w", net.ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(dialTimeout):
		return fmt.Errorf("hand over connection: nobody accepts it")
	}
}

// Accept returns the next connection that is given.
func (h *handover) Accept() (net.Conn, error) { return h.accept(context.Background()) }

func (h *handover) accept(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends Accept. Closing twice is no error.
func (h *handover) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.done)
	}
	return nil
}

// Addr returns the address of the listener that gives.
func (h *handover) Addr() net.Addr { return h.addr }
