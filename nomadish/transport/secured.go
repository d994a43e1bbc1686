package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

// secured is an encrypted connection with another agent, and what that agent has proven.
type secured struct {
	*tls.Conn
	hub   *Hub
	usage x509.ExtKeyUsage // in which the peer uses its certificate

	mu       sync.Mutex
	link     *link               // the session; nil: none, or not yet
	chain    []*x509.Certificate // of the peer
	trusted  *credentials        // by which the chain was found good
	doubted  time.Time           // since when it is not; zero: it is
	shown    *credentials        // whose certificate the peer has seen
	showing  bool                // the peer is being shown a newer one
	attempts int                 // how often that has failed
	next     time.Time           // when it is tried again
}

// secure makes a connection encrypted, that this agent accepted or dialled.
func (h *Hub) secure(ctx context.Context, c net.Conn, conf *tls.Config, dialled bool) (*secured, error) {
	now := h.cfg.TLS.state()
	s := &secured{hub: h, usage: x509.ExtKeyUsageClientAuth, trusted: now, shown: now}
	if dialled {
		s.Conn, s.usage = tls.Client(c, conf), x509.ExtKeyUsageServerAuth
	} else {
		s.Conn = tls.Server(c, conf)
	}
	if err := s.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("secure the connection with %s: %w", c.RemoteAddr(), err)
	}
	s.chain = s.ConnectionState().PeerCertificates
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, net.ErrClosed
	}
	h.secured[s] = struct{}{}
	return s, nil
}

// Close ends the connection.
func (s *secured) Close() error {
	s.hub.mu.Lock()
	delete(s.hub.secured, s)
	s.hub.mu.Unlock()
	return s.Conn.Close()
}

// proven is the chain of the peer's newest certificate; empty: it joins, and has none.
func (s *secured) proven() []*x509.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chain
}

// known is proven, and whether the connection carries a session.
func (s *secured) known() (chain []*x509.Certificate, carries bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chain, s.link != nil
}

// carry remembers the session that the connection carries.
func (s *secured) carry(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

// untrusted says why the peer is not trusted any more; nil: it is.
func (s *secured) untrusted(now *credentials) error {
	t := s.hub.cfg.TLS
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.chain) == 0 {
		return nil // who joins, and proves itself otherwise
	}
	if err := t.refused(s.chain); err != nil {
		return err
	}
	if s.trusted == now {
		if t.cfg.Now().After(s.chain[0].NotAfter) {
			return errors.New("its certificate has expired")
		}
		return nil
	}
	if err := t.verify(now.roots, s.chain, s.usage); err != nil {
		if s.doubted.IsZero() {
			s.doubted = time.Now()
		}
		if time.Since(s.doubted) < doubt {
			return nil
		}
		return err
	}
	s.trusted, s.doubted = now, time.Time{}
	return nil
}

// doubt is how long a peer has to show a certificate that is trusted, when the authorities have
// changed: it may just be getting one.
const doubt = 2500 * time.Millisecond

// sweepEvery is the time between looks at connections whose peers may not be trusted any more.
const sweepEvery = time.Second

// watchTrust ends the connections whose peers are not trusted any more, and shows this agent's
// new certificate to the others, until ctx ends.
func (h *Hub) watchTrust(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		changed := h.cfg.TLS.change()
		h.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

func (h *Hub) sweep(ctx context.Context) {
	h.mu.Lock()
	conns := make([]*secured, 0, len(h.secured))
	for s := range h.secured {
		conns = append(conns, s)
	}
	h.mu.Unlock()
	now := h.cfg.TLS.state()
	for _, s := range conns {
		if err := s.untrusted(now); err != nil {
			h.cfg.Logger.Warn("connection with an agent ends that is not trusted any more", "addr", s.RemoteAddr().String(), "err", err)
			_ = s.Close() // its users see that
			continue
		}
		if s.wantsShow(now) && !h.spawn(func() { s.show(ctx, now) }) {
			return
		}
	}
}

// wantsShow says whether the peer of a session is to be shown a newer certificate, and takes
// that on.
func (s *secured) wantsShow(now *credentials) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.link == nil || s.showing || time.Now().Before(s.next) {
		return false
	}
	if s.shown.Certificate.Leaf.Equal(now.Certificate.Leaf) {
		s.shown = now
		return false
	}
	s.showing = true
	return true
}

// show proves to the peer that this agent has a newer certificate.
func (s *secured) show(ctx context.Context, now *credentials) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	err := s.prove(ctx, l, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.showing = false
	if err == nil {
		s.shown, s.attempts, s.next = now, 0, time.Time{}
		return
	}
	s.attempts++ // the peer may not have learned of its authority yet
	s.next = time.Now().Add(min(time.Duration(s.attempts)*sweepEvery, time.Minute))
	if ctx.Err() == nil {
		s.hub.cfg.Logger.Debug("a new certificate is not taken", "addr", s.RemoteAddr().String(), "err", err)
	}
}

// accept takes a newer certificate of the peer, if it is for the same agent.
func (s *secured) accept(chain []*x509.Certificate) error {
	t, now := s.hub.cfg.TLS, s.hub.cfg.TLS.state()
	if err := t.verify(now.roots, chain, s.usage); err != nil {
		return nomadish.Errorf(nomadish.KindDenied, "certificate: %w", err)
	}
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return nomadish.Errorf(nomadish.KindDenied, "certificate: there is no session yet")
	}
	if err := t.check(chain, s.usage, l.peer.Kind, t.region(l.peer.Region), l.peer.ID); err != nil {
		return err
	}
	s.take(chain, now)
	s.hub.vouch(chain, now)
	return nil
}

// take notes what the peer has proven.
func (s *secured) take(chain []*x509.Certificate, now *credentials) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chain, s.trusted, s.doubted = chain, now, time.Time{}
}

// vouch has the new certificate of a server, which it has proven on a session, count for its connections of
// raft too, on which nobody can say anything else.
func (h *Hub) vouch(chain []*x509.Certificate, now *credentials) {
	names, err := certificate.ParseNames(chain[0])
	if err != nil || names.Agent.Role != certificate.Server {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.secured {
		old, carries := s.known()
		if len(old) == 0 || carries {
			continue
		}
		was, err := certificate.ParseNames(old[0])
		if err == nil && was.Agent == names.Agent && h.cfg.TLS.verify(now.roots, chain, s.usage) == nil {
			s.take(chain, now)
		}
	}
}

// securedKey is the key of the connection that a request came in on.
type securedKey struct{}

// proofs answers the requests by which peers prove that they have newer certificates, and
// leaves all others to next.
func proofs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := r.Context().Value(securedKey{}).(*secured)
		if r.URL.Path != proofPath || s == nil {
			next.ServeHTTP(w, r)
			return
		}
		if err := s.readProof(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// Secured is an encrypted session with another agent.
type Secured struct {
	Local, Remote string            // ends of its connection
	Certificate   *x509.Certificate // newest that the peer has shown
}

// Secured lists the encrypted sessions with other agents, in no order.
func (h *Hub) Secured() (all []Secured) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.secured {
		s.mu.Lock()
		if s.link != nil {
			all = append(all, Secured{s.LocalAddr().String(), s.RemoteAddr().String(), s.chain[0]})
		}
		s.mu.Unlock()
	}
	return all
}
