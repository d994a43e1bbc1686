package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"
)

// A node that is well goes over to another server when its own one says that this has fewer sessions.
// The new session stands before the old one is left, and the old one ends when its last stream has.

const (
	farewellPath   = "/nomadish/session/farewell"
	farewellWithin = 5 * time.Second
	linger         = 2 * time.Second // for those who were about to use the old session
)

// keepEven goes over to the servers that leases name, one after the other, until ctx ends.
func (c *Choice) keepEven(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case to := <-c.moves:
			if sleep(ctx, rand.N(c.cfg.MoveWithin)) != nil {
				return
			}
			old, err := c.move(ctx, to)
			if err != nil && ctx.Err() == nil {
				c.cfg.Logger.Debug("this agent stays with its server", "other", to, "err", err)
			}
			if old != nil {
				c.cfg.Logger.Debug("this agent went over to a server with fewer sessions", "from", old.peer.Addr, "to", to)
				c.retire(ctx, old)
			}
		}
	}
}

// move has the next requests go to another server, once that answers, and returns the session that
// they went to before; nil: nothing has changed. It moves nobody whose server is in trouble, which is
// for Run to find out.
func (c *Choice) move(ctx context.Context, to string) (*link, error) {
	c.mu.Lock()
	from := c.current
	_, failed := c.failed[from]
	well := from != "" && from != to && !failed && c.useless.IsZero() && slices.Contains(c.addrs, to) && time.Since(c.failed[to]) >= avoidFor
	c.mu.Unlock()
	if !well {
		return nil, nil
	}
	old := c.hub.Dial(from).(*dialled).current()
	if old == nil {
		return nil, nil
	}
	within, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	_, err := c.hub.Dial(to).(*dialled).connect(within)
	if err == nil {
		err = c.ping(within, to, pingLeast)
	}
	c.mu.Lock()
	moved := err == nil && c.current == from // otherwise Run has chosen meanwhile
	if moved {
		c.current, c.useless = to, time.Time{}
		delete(c.failed, to)
	}
	if err != nil {
		c.failed[to] = time.Now()
	}
	unused := c.current != to
	c.mu.Unlock()
	if unused {
		c.hub.Forget(to)
	}
	if !moved {
		return nil, err
	}
	return old, nil
}

// retire ends a session that this agent opens no more streams on, when the last of it has ended. The
// server is told, so that it opens none either.
func (c *Choice) retire(ctx context.Context, l *link) {
	defer func() { _ = l.session.Close() }() // closing is all that is wanted
	if sleep(ctx, c.linger) != nil {
		return
	}
	c.hub.detach(l)
	l.questions.retire()
	if err := farewell(ctx, l); err != nil && ctx.Err() == nil {
		c.cfg.Logger.Debug("say farewell to a server", "addr", l.peer.Addr, "err", err) // it sees the end
	}
	for quiet := 0; quiet < 2; quiet++ {
		l.client.CloseIdleConnections()
		select {
		case <-ctx.Done():
			return
		case <-l.session.Done():
			return
		case <-time.After(c.linger / 4):
		}
		if s, ok := l.session.(interface{ Streams() int }); ok && s.Streams() > 0 {
			quiet = -1
		}
	}
}

// farewell tells the peer that the session ends when its streams have.
func farewell(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, farewellWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://peer"+farewellPath, nil)
	if err != nil {
		return err
	}
	resp, err := l.client.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // nothing is in it
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// detach has the next request to the address of a session that this agent dialled open another one.
func (h *Hub) detach(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.dialled[l.peer.Addr]; d != nil && d.is(l) {
		delete(h.dialled, l.peer.Addr)
	}
}

// is says whether it is the session there is.
func (d *dialled) is(l *link) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link == l
}

// linkKey is the key of the session that a request came in on.
type linkKey struct{}

// farewells takes the farewells of peers, and leaves all other requests to next.
func (h *Hub) farewells(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l, _ := r.Context().Value(linkKey{}).(*link)
		if r.URL.Path != farewellPath || l == nil {
			next.ServeHTTP(w, r)
			return
		}
		h.left(l)
		w.WriteHeader(http.StatusNoContent)
	})
}

// left has nobody reach a peer over a session any more that goes on for the streams that it has.
func (h *Hub) left(l *link) {
	if h.remove(l) {
		h.cfg.Ended(l.peer, errLeft)
	}
	l.client.CloseIdleConnections()
}

var errLeft = fmt.Errorf("the peer has left: %w", net.ErrClosed)

// remove forgets a session, and says whether it was the peer's newest.
func (h *Hub) remove(l *link) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := peerKey(l.peer.Kind, l.peer.ID)
	newest := h.joined[key] == l
	if newest {
		delete(h.joined, key)
	}
	return newest
}

// sleep waits for a while, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
