package agent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server"
	"github.com/nomadish/nomadish/server/pki"
)

// secured is a cluster whose agents have certificates of its own authority, all in this process. Its
// machines share a clock that the test moves.
type secured struct {
	t     *testing.T
	first *machine

	mu   sync.Mutex
	skew time.Duration
}

// machine is an agent of the cluster.
type machine struct {
	*Agent
	cfg  Config
	stop func()
}

func (s *secured) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

func (s *secured) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

// found begins a cluster on a first server.
func found(t *testing.T) *secured {
	t.Helper()
	s := &secured{t: t}
	cfg := s.server("first", t.TempDir(), 1)
	if made, err := Found(Place{DataDir: cfg.DataDir, Name: cfg.Name}); err != nil || !made {
		t.Fatalf("found a cluster: %t, %v", made, err)
	}
	if made, err := Found(Place{DataDir: cfg.DataDir, Name: cfg.Name}); err != nil || made {
		t.Fatalf("found it again: %t, %v; want nothing done", made, err)
	}
	s.first = s.run(cfg)
	s.until("an authority", func() error {
		status, err := s.first.server.PKI().Status(nil)
		if err == nil && (len(status.Authorities) != 1 || len(status.Agents) != 1) {
			err = errors.New("not yet")
		}
		return err
	})
	return s
}

func (s *secured) common(name, dir string) Config {
	return Config{
		Name: name, DataDir: dir, RPC: "127.0.0.1:0", HTTP: []string{"127.0.0.1:0"}, Now: s.now,
		PeerTLS: &PeerTLS{Managed: true, Look: 50 * time.Millisecond},
	}
}

func (s *secured) server(name, dir string, expect int) Config {
	cfg := s.common(name, dir)
	cfg.Server, cfg.ACL = &server.Config{PKI: pki.Config{Settle: 200 * time.Millisecond}}, true
	cfg.Pool = &PoolConfig{
		Bind: "127.0.0.1:0", Expect: expect, RetryInterval: 100 * time.Millisecond,
		Timing: GossipTiming{ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 50 * time.Millisecond, RejoinEvery: 200 * time.Millisecond},
	}
	return cfg
}

func (s *secured) run(cfg Config) *machine {
	s.t.Helper()
	a, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	var once sync.Once
	m := &machine{Agent: a, cfg: cfg, stop: func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				s.t.Errorf("%s: %v", cfg.Name, err)
			}
		})
	}}
	s.t.Cleanup(m.stop)
	return m
}

func (s *secured) until(what string, f func() error) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s: %v", what, err)
		}
	}
}

func (s *secured) token(role certificate.Role) nomadish.SecretText {
	s.t.Helper()
	resp, err := s.first.server.PKI().CreateToken(s.t.Context(), &nomadish.JoinTokenRequest{Role: string(role)})
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.Text
}

func (s *secured) enter(role certificate.Role, dir, name string) *nomadish.EnrollResponse {
	s.t.Helper()
	resp, _, err := Enter(s.t.Context(), Place{DataDir: dir, Name: name}, s.token(role), []string{s.first.RPCAddr().String()})
	if err != nil {
		s.t.Fatal(err)
	}
	return resp
}

// joinServer adds a server.
func (s *secured) joinServer(name string) *machine {
	s.t.Helper()
	dir := s.t.TempDir()
	resp := s.enter(certificate.Server, dir, name)
	cfg := s.server(name, dir, 0)
	cfg.Pool.RetryJoin = resp.Gossip
	m := s.run(cfg)
	s.until(name+" following", func() error {
		if _, ok := m.server.Consensus().Leader(); !ok || m.server.Store().Reader().Index() == 0 {
			return errors.New("no leader")
		}
		return nil
	})
	return m
}

// joinNode adds a client node whose data is in a directory.
func (s *secured) joinNode(name, dir string) *machine {
	s.t.Helper()
	resp := s.enter(certificate.Client, dir, name)
	cfg := s.common(name, dir)
	cfg.Client, cfg.Servers, cfg.ACL = &client.Config{}, resp.Servers, true
	m := s.run(cfg)
	s.ready(m)
	return m
}

func (s *secured) ready(m *machine) {
	s.t.Helper()
	s.until(m.cfg.Name+" being ready", func() error {
		n, err := s.first.server.Store().Reader().Node(nil, m.client.NodeID())
		if err == nil && n.Status != nomadish.NodeStatusReady {
			err = errors.New(n.Status)
		}
		return err
	})
}

// management is a client with a token that may do everything.
func (s *secured) management() (*api.Client, nomadish.SecretText) {
	s.t.Helper()
	var token *nomadish.ACLToken
	s.until("a first token", func() (err error) {
		token, err = s.first.Client().ACL().Bootstrap(s.t.Context(), "")
		return err
	})
	c, err := api.New(api.Config{Transport: transport.InProcess(s.first, transport.Peer{Addr: "in-process"}), Token: token.SecretID})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c, token.SecretID
}

// Machines join with tokens: a server gets what servers share, a node what nodes need; nobody joins
// with a token of another cluster, with one that was used, or another cluster's servers.
func TestJoinByToken(t *testing.T) {
	s := found(t)
	second := s.joinServer("second")
	if err := sameWrappingKey(s.first.cfg.DataDir, second.cfg.DataDir); err != nil {
		t.Error(err)
	}
	s.joinNode("node", t.TempDir())

	other := found(t)
	addr := []string{s.first.RPCAddr().String()}
	used := s.token(certificate.Client)
	if _, _, err := Enter(t.Context(), Place{DataDir: t.TempDir()}, used, addr); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		token nomadish.SecretText
		addrs []string
		want  string
	}{
		"used":                                 {used, addr, "not good"},
		"another cluster":                      {other.token(certificate.Client), addr, transport.ErrOtherCluster.Error()},
		"a server of another cluster is asked": {s.token(certificate.Client), []string{other.first.RPCAddr().String()}, transport.ErrOtherCluster.Error()},
		"nobody there":                         {s.token(certificate.Client), []string{"127.0.0.1:1"}, "connection refused"},
		"no server":                            {s.token(certificate.Client), nil, "address"},
		"no token":                             {"x", addr, "join token"},
	} {
		dir := t.TempDir()
		if _, _, err := Enter(t.Context(), Place{DataDir: dir}, tt.token, tt.addrs); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if own, _, err := Certified(dir); own != nil || err != nil {
			t.Errorf("%s: there is a certificate all the same, or %v", name, err)
		}
	}
	if _, err := New(s.common("stranger", t.TempDir())); err == nil {
		t.Error("an agent without a certificate begins")
	}
}

func sameWrappingKey(a, b string) error {
	one, err := os.ReadFile(wrappingKey(a))
	if err != nil {
		return err
	}
	two, err := os.ReadFile(wrappingKey(b))
	if err == nil && !bytes.Equal(one, two) {
		err = errors.New("the servers have different wrapping keys")
	}
	return err
}

// Who tries tokens is slowed down, and what is no request to join is refused as a whole.
func TestJoiningIsBounded(t *testing.T) {
	s := found(t)
	h := s.first.newJoins()
	answers := map[int]int{}
	for range 3 * joinsAtOnce {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, transport.JoinPath, strings.NewReader(`{"Token": "x"}`)))
		answers[w.Code]++
	}
	if answers[http.StatusBadRequest] == 0 || answers[http.StatusTooManyRequests] == 0 || len(answers) != 2 {
		t.Errorf("answers by status: %v, want some 400 and then 429", answers)
	}
	for _, r := range []*http.Request{
		httptest.NewRequest(http.MethodGet, transport.JoinPath, nil), httptest.NewRequest(http.MethodPut, "/v1/jobs", strings.NewReader("{}")),
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d", r.Method, r.URL.Path, w.Code)
		}
	}
	if s.joinNode("node", t.TempDir()).newJoins() != nil {
		t.Error("a client node lets others join")
	}
}

// An agent whose certificate has ended is cut off, and comes back by joining again: as the node that it was.
func TestExpiredNodeJoinsAgain(t *testing.T) {
	s := found(t)
	dir := t.TempDir()
	node := s.joinNode("node", dir)
	id := node.client.NodeID()
	node.stop()
	s.pass(100 * time.Hour)
	node = s.run(node.cfg)
	s.until("the node being refused", func() error {
		if _, err := node.peer.NodeAgent().Heartbeat(t.Context(), id, "ready"); err == nil || !strings.Contains(err.Error(), "certificate") {
			return fmt.Errorf("a heartbeat: %w", err)
		}
		return nil
	})
	node.stop()
	if again := s.joinNode("node", dir); again.client.NodeID() != id {
		t.Errorf("it comes back as %s, was %s", again.client.NodeID(), id)
	}
}

// When half of its time is over an agent gets another certificate and shows it from then on, to users of its API
// too, without a session being dropped.
func TestCertificatesAreRenewed(t *testing.T) {
	s := found(t)
	all := []*machine{s.first, s.joinServer("second")}
	s.until("sessions", func() error {
		if len(sessions(all)) == 0 {
			return errors.New("none")
		}
		return nil
	})
	before, former := sessions(all), map[*machine]string{}
	for _, m := range all {
		own, _, err := Certified(m.cfg.DataDir)
		if err != nil {
			t.Fatal(err)
		}
		former[m] = own.SerialNumber.String()
	}
	s.pass(19 * 24 * time.Hour) // of 30, of which agents wait up to a tenth beyond the half
	for _, m := range all {
		s.until("another certificate on the API of "+m.cfg.Name, func() error {
			c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", m.Addr().String())
			if err != nil {
				return err
			}
			defer c.Close()
			if c.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String() == former[m] {
				return errors.New("it is the same")
			}
			return nil
		})
	}
	s.until("both having seen the other's", func() error {
		for _, m := range all {
			for _, session := range m.hub.Secured() {
				if s.now().Add(20 * 24 * time.Hour).After(session.Certificate.NotAfter) {
					return errors.New("an old one counts")
				}
			}
		}
		return nil
	})
	if after := sessions(all); !slices.Equal(before, after) {
		t.Errorf("sessions were %q, are %q", before, after)
	}
}

// While the authority is replaced everything goes on: of three servers and a node no session ends, and a stream
// through all of it hears what happens after.
func TestAuthorityIsReplacedUnderStreams(t *testing.T) {
	s := found(t)
	agents := []*machine{s.first, s.joinServer("second"), s.joinServer("third")}
	node := s.joinNode("node", t.TempDir())
	manage, token := s.management()
	hears := s.stream(node, manage, token)
	before := sessions(append(agents, node))
	status, err := manage.Authorities().Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	former := status.Authorities[0].ID
	s.until("the end of the former authority", func() error {
		status, _, err := manage.Authorities().Status(t.Context(), nil)
		if err == nil && (len(status.Authorities) != 1 || status.Authorities[0].ID == former) {
			err = fmt.Errorf("it waits for %q", status.Waiting)
		}
		return err
	})
	s.until("everybody trusting the new one alone", func() error {
		for _, m := range append(agents, node) {
			own, trusted, err := Certified(m.cfg.DataDir)
			if err != nil {
				return err
			}
			if len(trusted) != 1 || trusted[0] == former || !signedBy(own, m.peerTLS.Credentials().Authorities) {
				return fmt.Errorf("%s trusts %q", m.cfg.Name, trusted)
			}
		}
		return nil
	})
	s.until("all sessions having seen new certificates", func() error {
		for _, m := range append(agents, node) {
			for _, session := range m.hub.Secured() {
				if !signedBy(session.Certificate, m.peerTLS.Credentials().Authorities) {
					return fmt.Errorf("%s has not seen that of %s", m.cfg.Name, session.Remote)
				}
			}
		}
		return nil
	})
	if after := sessions(append(agents, node)); !slices.Equal(before, after) {
		t.Errorf("sessions were %q, are %q", before, after)
	}
	hears("after")
}

func signedBy(c *x509.Certificate, all []*x509.Certificate) bool {
	return slices.ContainsFunc(all, func(a *x509.Certificate) bool { return c.CheckSignatureFrom(a) == nil })
}

// sessions names all sessions between agents by their addresses.
func sessions(all []*machine) (out []string) {
	for _, m := range all {
		for _, s := range m.hub.Secured() {
			out = append(out, m.cfg.Name+" "+s.Local+" "+s.Remote)
		}
	}
	slices.Sort(out)
	return out
}

// stream opens an event stream through an agent. What it returns waits until a namespace of a name, which it
// makes, is told of on it.
func (s *secured) stream(via *machine, manage *api.Client, token nomadish.SecretText) func(name string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://localhost/v1/event/stream?topic=*", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Nomad-Token", token.Reveal())
	var resp *http.Response
	s.until("a stream", func() error {
		if resp, err = transport.InProcess(via, transport.Peer{Addr: "in-process"}).RoundTrip(req); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			defer resp.Body.Close()
			text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // for the message alone
			return fmt.Errorf("%s: %s", resp.Status, text)
		}
		return nil
	})
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	heard := make(chan string, 1024)
	go func() {
		defer close(heard)
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			heard <- lines.Text()
		}
	}()
	return func(name string) {
		s.t.Helper()
		job := nomadish.NewJob(name, nomadish.JobTypeBatch, &nomadish.Task{Name: "t", Driver: "none"})
		if _, err := manage.Jobs().Register(s.t.Context(), &nomadish.JobRegisterRequest{Job: job}); err != nil {
			s.t.Fatal(err)
		}
		for late := time.After(20 * time.Second); ; {
			select {
			case line, ok := <-heard:
				if !ok {
					s.t.Fatal("the stream has ended")
				}
				if strings.Contains(line, name) {
					return
				}
			case <-late:
				s.t.Fatalf("the stream does not tell of %s", name)
			}
		}
	}
}

// A cluster that was off for longer than its certificates are good begins again by itself, and so does a
// server that has got another ID.
func TestClusterIsOffForLong(t *testing.T) {
	s := found(t)
	second := s.joinServer("second")
	for _, m := range []*machine{s.first, second} {
		s.until("the authority being kept", func() error {
			_, err := Certificates(m.cfg.DataDir).Kept()
			return err
		})
	}
	for _, m := range []*machine{second, s.first} { // they come back where they were
		m.cfg.RPC, m.cfg.Pool.Bind = m.RPCAddr().String(), m.SerfAddr().String()
		m.stop()
	}
	s.pass(100 * 24 * time.Hour)
	if err := os.Remove(filepath.Join(second.cfg.DataDir, "server", "id")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(second.cfg.DataDir, "server", "raft")); err != nil {
		t.Fatal(err)
	}
	s.first = s.run(s.first.cfg)
	again := s.run(second.cfg)
	if again.id == second.id {
		t.Fatal("the second server has the ID that it had")
	}
	s.until("certificates of the leader for both", func() error {
		if _, ok := again.server.Consensus().Leader(); !ok {
			return errors.New("the second server follows nobody")
		}
		for _, m := range []*machine{s.first, again} {
			row, err := s.first.server.Store().Reader().CertifiedAgent(nil, "server", m.id)
			if err != nil {
				return err
			}
			if row.NotAfter < s.now().Add(20*24*time.Hour).UnixNano() {
				return fmt.Errorf("%s has one until %s", m.cfg.Name, time.Unix(0, row.NotAfter))
			}
		}
		return nil
	})
}
