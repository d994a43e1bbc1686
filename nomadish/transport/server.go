package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ServerConfig says where and how a Server listens.
type ServerConfig struct {
	Addrs  []string // host:port; port 0 takes a free one
	TLS    *TLS     // encrypts connections; nil: they are not
	Limits Limits
	Grace  time.Duration // for requests in flight when it is told to stop; default 3s
	Logger *slog.Logger  // default: discard
}

// Server answers HTTP requests of users.
type Server struct {
	http      *http.Server
	listeners []net.Listener
	grace     time.Duration
}

// Listen binds the addresses; Run serves them.
func Listen(cfg ServerConfig, h http.Handler) (*Server, error) {
	if cfg.TLS != nil {
		h = cfg.TLS.guard(h)
	}
	s := &Server{
		http:  newHTTPServer(cfg.Limits.withDefaults(), h, cfg.Logger),
		grace: cmp.Or(cfg.Grace, 3*time.Second),
	}
	lim := newLimiter(cfg.Limits.withDefaults())
	for _, addr := range cfg.Addrs {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
		if err != nil {
			for _, bound := range s.listeners {
				_ = bound.Close()
			}
			return nil, fmt.Errorf("listen for HTTP: %w", err)
		}
		s.listeners = append(s.listeners, encrypted(limitListener(l, lim, refuseHTTP), cfg.TLS))
	}
	return s, nil
}

// encrypted encrypts what l accepts. Who is turned away can't be told why before a handshake.
func encrypted(l *limitedListener, t *TLS) net.Listener {
	if t == nil {
		return l
	}
	l.refuse = nil
	return t.listener(l)
}

// Addrs returns what the server is bound to, in the order of the configuration.
func (s *Server) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.Addr()
	}
	return addrs
}

// Run serves until ctx ends. The contexts of its requests end then, too.
func (s *Server) Run(ctx context.Context) error { return serve(ctx, s.http, s.grace, s.listeners...) }

// serve runs a server on listeners until ctx ends or one of them fails.
func serve(ctx context.Context, srv *http.Server, grace time.Duration, listeners ...net.Listener) error {
	srv.BaseContext = func(net.Listener) context.Context { return ctx }
	failed := make(chan error, len(listeners))
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { failed <- srv.Serve(l) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if srv.Shutdown(stopping) != nil {
		_ = srv.Close() // those that did not end in time
	}
	wg.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// newHTTPServer makes a server that knows who is at the other end of each connection.
func newHTTPServer(l Limits, h http.Handler, logger *slog.Logger) *http.Server {
	logger = cmp.Or(logger, slog.New(slog.DiscardHandler))
	return &http.Server{
		Handler:           arrive(h),
		ReadHeaderTimeout: l.HeaderTimeout,
		IdleTimeout:       l.IdleTimeout,
		MaxHeaderBytes:    l.MaxHeaderBytes,
		ErrorLog:          log.New(logWriter{logger}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			switch c := c.(type) {
			case *peerConn:
				if c.link.secured != nil {
					ctx = context.WithValue(ctx, securedKey{}, c.link.secured)
				}
				ctx = context.WithValue(ctx, linkKey{}, c.link)
				return WithOrigin(ctx, Origin{Peer: c.link.peer})
			case *tls.Conn:
				return context.WithValue(ctx, seenKey{}, new(atomic.Pointer[trust]))
			}
			return ctx
		},
	}
}

// arrive prepares a request for h: where it comes from, and how much time it has.
func arrive(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := OriginFrom(r.Context()).Peer
		r = identify(r, peer)
		if ms, err := strconv.ParseInt(r.Header.Get(headerDeadline), 10, 32); err == nil && ms > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), time.Duration(ms)*time.Millisecond)
			defer cancel()
			r = r.WithContext(ctx)
		}
		r.Header.Del(headerDeadline)
		h.ServeHTTP(w, r)
	})
}

// logWriter passes on the lines that net/http logs, which are about misbehaving callers.
type logWriter struct{ logger *slog.Logger }

func (l logWriter) Write(p []byte) (int, error) {
	l.logger.Debug("http server", "message", string(p))
	return len(p), nil
}

// peerConn is a stream of a session.
type peerConn struct {
	net.Conn
	link *link
}

// sessionListener accepts the streams of one session.
type sessionListener struct{ link *link }

// Accept returns the peer's next stream.
func (l *sessionListener) Accept() (net.Conn, error) {
	c, err := l.link.session.Accept()
	if err != nil {
		return nil, err
	}
	return &peerConn{Conn: c, link: l.link}, nil
}

// Close ends the session.
func (l *sessionListener) Close() error { return l.link.session.Close() }

// Addr returns where the peer is.
func (l *sessionListener) Addr() net.Addr { return sessionAddr(l.link.peer.Addr) }

// sessionAddr is the address of a peer.
type sessionAddr string

// Network says that it is no address of the operating system.
func (a sessionAddr) Network() string { return "session" }
func (a sessionAddr) String() string  { return string(a) }
