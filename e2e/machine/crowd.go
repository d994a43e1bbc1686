//go:build linux

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Crowd is many connections to one port that want nothing but to be there.
type Crowd struct {
	conns []net.Conn
}

// Gather connects each times from each of so many addresses of this machine's loopback network
// to addr, and sends greeting on each connection, and no more. Connections that are refused
// are no error: that is one way to deal with a crowd.
func Gather(ctx context.Context, addr string, addresses, each int, greeting string) (*Crowd, error) {
	c := &Crowd{}
	for i := range addresses {
		from := &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}
		d := net.Dialer{LocalAddr: from, Timeout: 10 * time.Second}
		for range each {
			conn, err := d.DialContext(ctx, "tcp", addr)
			if err != nil {
				return c, errors.Join(fmt.Errorf("connection %d: %w", len(c.conns)+1, err), c.Close())
			}
			c.conns = append(c.conns, conn)
			if _, err := io.WriteString(conn, greeting); err != nil && ctx.Err() != nil {
				return c, errors.Join(err, c.Close())
			}
		}
	}
	return c, nil
}

// Len says how many connections were made.
func (c *Crowd) Len() int { return len(c.conns) }

// Dispersed waits until the other side has closed all connections, and closes them here.
func (c *Crowd) Dispersed(ctx context.Context) error {
	var wg sync.WaitGroup
	stuck := make(chan error, len(c.conns))
	for _, conn := range c.conns {
		if deadline, ok := ctx.Deadline(); ok {
			if err := conn.SetReadDeadline(deadline); err != nil {
				return err
			}
		}
		wg.Go(func() {
			_, err := io.Copy(io.Discard, conn)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() { // a reset is a way to close
				stuck <- err
			}
		})
	}
	wg.Wait()
	close(stuck)
	if n := len(stuck); n > 0 {
		return errors.Join(fmt.Errorf("%d of %d connections are still open: %w", n, len(c.conns), <-stuck), c.Close())
	}
	return c.Close()
}

// Close closes the connections from this side.
func (c *Crowd) Close() error {
	var errs []error
	for _, conn := range c.conns {
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
