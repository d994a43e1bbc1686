package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// protocols are what encrypted connections are for, by their ALPN.
var protocols = map[string]byte{alpnAPI: protocolAPI, alpnRaft: protocolRaft, alpnJoin: protocolJoin}

func alpn(protocol byte) string {
	for name, p := range protocols {
		if p == protocol {
			return name
		}
	}
	return ""
}

// protocol finds out what a connection is for that another agent has opened, and secures it.
func (h *Hub) protocol(ctx context.Context, c net.Conn) (net.Conn, byte, error) {
	if h.cfg.TLS == nil || h.cfg.TLS.cfg.Upgrade {
		var first [1]byte
		if _, err := io.ReadFull(c, first[:]); err != nil {
			return c, 0, fmt.Errorf("read protocol: %w", err)
		}
		if h.cfg.TLS == nil || first[0] != recordHandshake {
			return c, first[0], nil
		}
		c = &prefixed{Conn: c, prefix: first[:]}
	}
	s, err := h.secure(ctx, c, h.cfg.TLS.server(h.joins != nil), false)
	if err != nil {
		return c, 0, err
	}
	return s, protocols[s.ConnectionState().NegotiatedProtocol], nil
}

// connect opens a connection to another agent.
func (h *Hub) connect(ctx context.Context, addr string, protocol byte) (net.Conn, error) {
	if h.cfg.TLS == nil {
		return h.connectPlain(ctx, addr, protocol)
	}
	c, err := h.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	s, err := h.secure(ctx, c, h.cfg.TLS.client(alpn(protocol)), true)
	if err == nil {
		return s, nil
	}
	_ = c.Close() // it is of no use
	if h.cfg.TLS.cfg.Upgrade && speaksNoTLS(err) {
		return h.connectPlain(ctx, addr, protocol)
	}
	return nil, err
}

// speaksNoTLS says whether a handshake failed as it does with agents without TLS, which hang up
// or answer something else.
func speaksNoTLS(err error) bool {
	var garbage tls.RecordHeaderError
	var network *net.OpError
	return errors.Is(err, io.EOF) || errors.As(err, &garbage) || errors.As(err, &network) && network.Op == "read" && !network.Timeout()
}

func (h *Hub) connectPlain(ctx context.Context, addr string, protocol byte) (net.Conn, error) {
	c, err := h.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := announce(ctx, c, protocol); err != nil {
		_ = c.Close() // it is of no use
		return nil, err
	}
	return c, nil
}

// announce says what an unencrypted connection is for.
func announce(ctx context.Context, c net.Conn, protocol byte) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(dialTimeout)
	}
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := c.Write([]byte{protocol}); err != nil {
		return err
	}
	return c.SetDeadline(time.Time{})
}

// checkPeer says why who is at the other end of a connection can't be who it says it is.
func (h *Hub) checkPeer(c net.Conn, hello Hello) error {
	s, ok := c.(*secured)
	if !ok {
		return nil // of unencrypted connections nothing is known
	}
	t := h.cfg.TLS
	return t.check(s.proven(), s.usage, parseKind(hello.Kind), t.region(hello.Region), hello.ID)
}

// checkRaft says why who is at the other end of a connection can't be a server of this region;
// id is which one it is, if that is known.
func (h *Hub) checkRaft(c net.Conn, id string) error {
	s, ok := c.(*secured)
	if !ok {
		return nil
	}
	return h.cfg.TLS.check(s.proven(), s.usage, nomadish.CallerServer, h.cfg.TLS.cfg.Region, id)
}
