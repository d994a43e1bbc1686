package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clock is a wall clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to %s", what)
		}
	}
}

// pair is a server and a node with an encrypted session.
type pair struct {
	t            *testing.T
	ca           *authority
	clock        *clock
	server, node *Hub
	tls          map[*Hub]*PeerTLS
}

var (
	serverNames = holder{names: []string{"server.global.nomad"}, uri: "nomadish://global/server/" + idA}
	nodeNames   = holder{names: []string{"client.global.nomad"}, uri: "nomadish://global/client/" + idB}
)

func newPair(t *testing.T, h http.Handler) *pair {
	t.Helper()
	p := &pair{t: t, ca: newAuthority(t, "ca"), clock: &clock{now: time.Now()}, tls: map[*Hub]*PeerTLS{}}
	make := func(self Hello, listen string, names holder) *Hub {
		tls := peerTLS(t, PeerTLSConfig{Now: p.clock.time}, p.ca.certify(t, names), p.ca)
		hub := secureHub(t, HubConfig{Self: self, Listen: listen, TLS: tls}, h)
		p.tls[hub] = tls
		return hub
	}
	p.server = make(Hello{Kind: "server", ID: idA, Region: "global"}, "127.0.0.1:0", serverNames)
	p.node = make(Hello{Kind: "node", ID: idB, Region: "global"}, "", nodeNames)
	return p
}

// renew gives both agents certificates of an authority, both of which trust some, and waits until each
// has seen the other's.
func (p *pair) renew(by *authority, ends time.Duration, trusted ...*authority) {
	p.t.Helper()
	for hub, names := range map[*Hub]holder{p.server: serverNames, p.node: nodeNames} {
		names.ends = time.Until(p.clock.time().Add(ends))
		if err := p.tls[hub].Replace(credentialsOf(by.certify(p.t, names), trusted...)); err != nil {
			p.t.Fatal(err)
		}
	}
	until(p.t, "each having seen the other's certificate", func() bool {
		for hub, other := range map[*Hub]*Hub{p.server: p.node, p.node: p.server} {
			for _, s := range conns(hub) {
				if !s.proven()[0].Equal(p.tls[other].Credentials().Certificate.Leaf) {
					return false
				}
			}
		}
		return true
	})
}

func conns(h *Hub) (all []*secured) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.secured {
		all = append(all, s)
	}
	return all
}

// lines answers with a line for each that comes in, on one stream.
var lines = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex()
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		_, _ = fmt.Fprintln(w, s.Text())
		_ = rc.Flush()
	}
})

// talk opens a stream and returns what says something on it and hears it again.
func talk(t *testing.T, rt http.RoundTripper) func(text string) error {
	t.Helper()
	in, out := io.Pipe()
	t.Cleanup(func() { _ = out.Close() })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer/", in)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(out, "hello\n") }()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	heard := bufio.NewReader(resp.Body)
	if line, err := heard.ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return func(text string) error {
		if _, err := io.WriteString(out, text+"\n"); err != nil {
			return err
		}
		line, err := heard.ReadString('\n')
		if err == nil && line != text+"\n" {
			return fmt.Errorf("heard %q, said %q", line, text)
		}
		return err
	}
}

// A stream goes on while both ends get new certificates, after the ends of the old ones, and while their
// authority is replaced.
func TestStreamsOutliveCertificates(t *testing.T) {
	p := newPair(t, lines)
	next := newAuthority(t, "next")
	say := talk(t, p.node.Dial(p.server.Addr().String()))
	was := conns(p.server)
	for round, step := range []struct {
		by      *authority
		trusted []*authority
	}{{p.ca, []*authority{p.ca}}, {p.ca, []*authority{p.ca, next}}, {next, []*authority{p.ca, next}}, {next, []*authority{next}}} {
		p.clock.pass(40 * time.Minute) // a certificate is good for an hour
		p.renew(step.by, time.Hour, step.trusted...)
		if err := say(fmt.Sprint("round ", round)); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	p.server.sweep(t.Context())
	if now := conns(p.server); len(now) != 1 || now[0] != was[0] {
		t.Errorf("%d connections, want the first one alone", len(now))
	}
}

// What a server has proven on its session counts for its connections of raft: they go on after the end of the certificate
// with which they began, and those of other servers do not.
func TestRaftOutlivesCertificates(t *testing.T) {
	p := newPair(t, whoami)
	p.node.cfg.Self = Hello{Kind: "server", ID: idB, Region: "global"}
	names := holder{names: []string{"server.global.nomad"}, uri: "nomadish://global/server/" + idB}
	if err := p.tls[p.node].Replace(credentialsOf(p.ca.certify(t, names), p.ca)); err != nil {
		t.Fatal(err)
	}
	to := func(string) (string, error) { return p.server.Addr().String(), nil }
	expect(t, p.node.Dial(p.server.Addr().String()), "server "+idB+" hops=0 deadline=false")
	lasting, err := NewRaft(p.node, to).Dial(t.Context(), idA)
	if err != nil {
		t.Fatal(err)
	}
	other := secureHub(t, HubConfig{
		Self: Hello{Kind: "server", ID: "x", Region: "global"},
		TLS:  peerTLS(t, PeerTLSConfig{Now: p.clock.time}, p.ca.certify(t, holder{names: []string{"server.global.nomad"}}), p.ca),
	}, whoami)
	ending, err := NewRaft(other, to).Dial(t.Context(), idA)
	if err != nil {
		t.Fatal(err)
	}
	raftEcho(t, p.server)
	p.clock.pass(40 * time.Minute)
	names.ends = time.Until(p.clock.time().Add(time.Hour))
	serverNew := serverNames
	serverNew.ends = names.ends
	for hub, h := range map[*Hub]holder{p.node: names, p.server: serverNew} {
		if err := p.tls[hub].Replace(credentialsOf(p.ca.certify(t, h), p.ca)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "both having seen the other's certificate", func() bool {
		for hub, peer := range map[*Hub]*Hub{p.node: p.server, p.server: p.node} {
			for _, s := range hub.Secured() {
				if !s.Certificate.Equal(p.tls[peer].Credentials().Certificate.Leaf) {
					return false
				}
			}
		}
		return true
	})
	p.clock.pass(40 * time.Minute) // the first certificates have ended
	if _, err := ending.Read(make([]byte, 1)); err == nil {
		t.Error("another server's connection goes on")
	}
	if _, err := io.WriteString(lasting, "raft"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(lasting, make([]byte, 4)); err != nil {
		t.Errorf("the server's connection has ended: %v", err)
	}
}

// Who is not trusted any more is cut off within seconds: because its authority is not, or because its
// certificate has ended and it has shown no other.
func TestUntrustedPeersAreCut(t *testing.T) {
	other := newAuthority(t, "other")
	for name, end := range map[string]func(p *pair){
		"another authority": func(p *pair) {
			if err := p.tls[p.server].Replace(credentialsOf(other.certify(t, serverNames), other)); err != nil {
				t.Fatal(err)
			}
		},
		"the end of the certificate": func(p *pair) { p.clock.pass(2 * time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, lines)
			raftEcho(t, p.server)
			say := talk(t, p.node.Dial(p.server.Addr().String()))
			peer := secureHub(t, HubConfig{
				Self: Hello{Kind: "server", ID: idB, Region: "global"}, TLS: peerTLS(t, PeerTLSConfig{}, p.ca.certify(t, holder{names: []string{"server.global.nomad"}}), p.ca),
			}, whoami)
			raft, err := NewRaft(peer, func(string) (string, error) { return p.server.Addr().String(), nil }).Dial(t.Context(), idA)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			end(p)
			until(t, "no connection being left", func() bool { return len(conns(p.server)) == 0 })
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %s, want at most 5 s", took)
			}
			if err := say("x"); err == nil {
				t.Error("the stream goes on")
			}
			if _, err := raft.Read(make([]byte, 1)); err == nil {
				t.Error("raft's connection goes on")
			}
		})
	}
}

// A new certificate is taken only of the same agent, with the proof that the connection's own end
// has its key.
func TestProofs(t *testing.T) {
	p := newPair(t, whoami)
	expect(t, p.node.Dial(p.server.Addr().String()), "node "+idB+" hops=0 deadline=false")
	l := p.node.Dial(p.server.Addr().String()).(*dialled).current()
	other := newPair(t, whoami)
	expect(t, other.node.Dial(other.server.Addr().String()), "node "+idB+" hops=0 deadline=false")
	elsewhere := conns(other.node)[0]

	state := func(names holder, by *authority) *credentials {
		c := credentialsOf(by.certify(t, names), by)
		return &credentials{Credentials: c}
	}
	good := state(nodeNames, p.ca)
	mixed := *good
	mixed.Certificate.PrivateKey = newKey(t)
	for name, tt := range map[string]struct {
		conn *secured
		now  *credentials
		ok   bool
	}{
		"its own":            {l.secured, good, true},
		"another key":        {l.secured, &mixed, false},
		"of another session": {elsewhere, good, false},
		"another agent":      {l.secured, state(holder{names: nodeNames.names, uri: "nomadish://global/client/" + idA}, p.ca), false},
		"another role":       {l.secured, state(serverNames, p.ca), false},
		"another authority":  {l.secured, state(nodeNames, newAuthority(t, "x")), false},
		"ended":              {l.secured, state(holder{names: nodeNames.names, uri: nodeNames.uri, ends: -time.Minute}, p.ca), false},
	} {
		if err := tt.conn.prove(t.Context(), l, tt.now); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want it taken: %t", name, err, tt.ok)
		}
	}
	for _, body := range []string{"", "{", `{"Chain":["eA=="]}`, `{"Chain":[]}`, strings.Repeat("x", proofMax+1)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer"+proofPath, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := l.client.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%.20q: %s", body, resp.Status)
		}
	}
}

// While a cluster is given certificates, agents with and without talk to each other; an agent that
// is not told so takes nothing that is not encrypted, and never falls back to it.
func TestUpgrade(t *testing.T) {
	ca := newAuthority(t, "ca")
	config := func(id string, upgrade bool) HubConfig {
		c := HubConfig{Self: Hello{Kind: "server", ID: id, Region: "global"}, Listen: "127.0.0.1:0"}
		c.TLS = peerTLS(t, PeerTLSConfig{Upgrade: upgrade}, ca.certify(t, holder{names: []string{"server.global.nomad"}}), ca)
		return c
	}
	plain := HubConfig{Self: Hello{Kind: "server", ID: "plain", Region: "global"}, Listen: "127.0.0.1:0"}
	hubs := map[string]*Hub{
		"plain": secureHub(t, plain, whoami), "upgrading": secureHub(t, config("upgrading", true), whoami), "secured": secureHub(t, config("secured", false), whoami),
	}
	for _, hub := range hubs {
		raftEcho(t, hub)
	}
	for from, hub := range hubs {
		for to, other := range hubs {
			want := !(from == "plain" && to == "secured" || from == "secured" && to == "plain")
			if from == to {
				continue
			}
			if _, err := ask(t, hub.Dial(other.Addr().String())); (err == nil) != want {
				t.Errorf("a session of %s with %s: %v, want one: %t", from, to, err, want)
			}
			c, err := NewRaft(hub, func(string) (string, error) { return other.Addr().String(), nil }).Dial(t.Context(), "x")
			if err == nil {
				_, _ = io.WriteString(c, "raft")
				_, err = io.ReadFull(c, make([]byte, 4))
				_ = c.Close()
			}
			if (err == nil) != want {
				t.Errorf("raft of %s with %s: %v, want it to work: %t", from, to, err, want)
			}
		}
	}
}

// tap passes connections on to an address and keeps what it sees.
type tap struct {
	net.Listener
	mu    sync.Mutex
	seen  bytes.Buffer
	conns []net.Conn
}

func newTap(t *testing.T, to string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{Listener: l}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, near, far)
			p.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				wg.Go(func() {
					_, _ = io.Copy(io.MultiWriter(way[1], p), way[0])
					_ = way[1].Close()
				})
			}
		}
	})
	return p
}

func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.Write(b)
}

func (p *tap) has(text string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.seen.Bytes(), []byte(text))
}

// Nothing that agents say to each other is on the wire as it is: no secret of a Hello, no request, no answer, and
// nothing of raft. Without encryption the same tap sees all of them.
func TestNothingIsInClear(t *testing.T) {
	ca := newAuthority(t, "ca")
	answers := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	for _, encrypted := range []bool{true, false} {
		secure := func(names holder) *PeerTLS {
			if !encrypted {
				return nil
			}
			return peerTLS(t, PeerTLSConfig{}, ca.certify(t, names), ca)
		}
		server := secureHub(t, HubConfig{Self: Hello{Kind: "server", ID: idA}, Listen: "127.0.0.1:0", TLS: secure(holder{names: []string{"server.global.nomad"}})}, answers)
		raftEcho(t, server)
		node := secureHub(t, HubConfig{Self: Hello{Kind: "node", ID: idB, Secret: "canary-of-hello"}, TLS: secure(holder{names: []string{"client.global.nomad"}})}, answers)
		tap := newTap(t, server.Addr().String())
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://peer/canary-of-path", strings.NewReader("canary-of-body"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Nomad-Token", "canary-of-token")
		resp, err := node.Dial(tap.Addr().String()).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "canary-of-body" {
			t.Fatalf("%q, %v", body, err)
		}
		_ = resp.Body.Close()
		peer := secureHub(t, HubConfig{Self: Hello{Kind: "server", ID: idB}, TLS: secure(holder{names: []string{"server.global.nomad"}})}, answers)
		c, err := NewRaft(peer, func(string) (string, error) { return tap.Addr().String(), nil }).Dial(t.Context(), idA)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, "rcan") // the echo takes four bytes
		if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		for _, canary := range []string{"canary-of-hello", "canary-of-path", "canary-of-body", "canary-of-token", "rcan"} {
			if tap.has(canary) == encrypted {
				t.Errorf("encrypted: %t; %s is on the wire: %t", encrypted, canary, !encrypted)
			}
		}
	}
}

// What is no handshake, or one for nothing that is known, is closed.
func TestStrangersAreClosed(t *testing.T) {
	p := newPair(t, whoami)
	addr := p.server.Addr().String()
	own := p.ca.certify(t, serverNames)
	for name, try := range map[string]func() error{
		"garbage": func() error {
			c := dial(t, p.server.Addr())
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
			return ended(c)
		},
		"no protocol":              func() error { return handshakeWith(p, addr, own, tls.VersionTLS13) },
		"HTTP/2":                   func() error { return handshakeWith(p, addr, own, tls.VersionTLS13, "h2") },
		"old TLS":                  func() error { return handshakeWith(p, addr, own, tls.VersionTLS11, alpnAPI) },
		"joining where nobody can": func() error { return handshakeWith(p, addr, tls.Certificate{}, tls.VersionTLS13, alpnJoin) },
	} {
		if err := try(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ended says whether the other side closes a connection.
func ended(c net.Conn) error {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	var timeout net.Error
	if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
		return errors.New("it stays open")
	}
	return nil
}

func handshakeWith(p *pair, addr string, own tls.Certificate, version uint16, protocols ...string) error {
	conf := &tls.Config{RootCAs: p.ca.pool(), ServerName: "server.global.nomad", NextProtos: protocols, MinVersion: tls.VersionTLS10, MaxVersion: version}
	if len(own.Certificate) > 0 {
		conf.Certificates = []tls.Certificate{own}
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	c, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil // refused during the handshake
	}
	defer c.Close()
	return ended(c)
}
