package pki_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/pki"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/state"
)

var epoch = time.Unix(1_700_000_000, 0)

// world is a state whose commands go straight to it, with a keyring and the authority of a new cluster.
type world struct {
	*pki.PKI
	t       *testing.T
	store   *state.Store
	keyring *secrets.Keyring
	seed    *certificate.Authority

	mu      sync.Mutex
	machine *fsm.FSM
	index   uint64
	now     time.Time
	seeded  atomic.Int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	store := state.New()
	w := &world{t: t, store: store, machine: fsm.New(store, fsm.Config{}), now: epoch}
	if _, _, err := w.Propose(t.Context(), &fsm.TermStart{Term: 1, ClusterID: nomadish.NewID()}); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.keyring, err = secrets.New(secrets.Config{Wrappers: []secrets.Wrapper{secrets.NewFile(filepath.Join(t.TempDir(), "wrap.key"))}, Now: w.clock}, store, w); err != nil {
		t.Fatal(err)
	}
	if err := w.keyring.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.seed, err = certificate.NewAuthority(certificate.AuthorityConfig{Now: epoch}); err != nil {
		t.Fatal(err)
	}
	w.PKI = w.leader()
	w.lead(w.PKI, "the first authority", func() bool { return w.seeded.Load() == 1 })
	return w
}

// leader is another server's authority over the same state.
func (w *world) leader() *pki.PKI {
	return pki.New(pki.Config{
		Now: w.clock, Settle: time.Millisecond, Seed: func() (*certificate.Authority, error) { return w.seed, nil },
		Seeded: func() error { w.seeded.Add(1); return nil },
	}, w.store, w, w.keyring)
}

func (w *world) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	entry, err := fsm.Encode(c, "", w.now)
	if err != nil {
		return 0, nil, err
	}
	w.index++
	result := w.machine.Apply(&raft.Log{Index: w.index, Type: raft.LogCommand, Data: entry}).(fsm.Result)
	return result.Index, result.Value, result.Err
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// lead has somebody lead until something is true.
func (w *world) lead(p *pki.PKI, what string, done func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Lead(ctx) }()
	end := time.Now().Add(20 * time.Second)
	for {
		if done() || time.Now().After(end) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		w.t.Fatal(err)
	}
	if time.Now().After(end) {
		w.t.Fatalf("it does not come to %s: %v", what, w.states())
	}
}

// states are those of the authorities, in the order of their age.
func (w *world) states() []string {
	w.t.Helper()
	status, err := w.Status(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, a := range status.Authorities {
		out = append(out, string(a.State))
	}
	return out
}

func request(t *testing.T, hosts []string, ips ...net.IP) []byte {
	t.Helper()
	key, err := certificate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr, err := certificate.NewRequest(key, hosts, ips)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func (w *world) token(req nomadish.JoinTokenRequest) nomadish.SecretText {
	w.t.Helper()
	resp, err := w.CreateToken(w.t.Context(), &req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Text
}

func anybody(*nomadish.EnrollRequest) error { return nil }

// join lets an agent in.
func (w *world) join(role certificate.Role) certificate.Identity {
	w.t.Helper()
	who := certificate.Identity{Role: role, Region: "global", ID: nomadish.NewID()}
	_, err := w.Join(w.t.Context(), &nomadish.EnrollRequest{
		Token: w.token(nomadish.JoinTokenRequest{Role: string(role)}), Role: string(role), ID: who.ID, Request: request(w.t, nil),
	}, anybody)
	if err != nil {
		w.t.Fatal(err)
	}
	return who
}

func parse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The authority that a new cluster begins with is taken into the state once, its key sealed.
func TestSeed(t *testing.T) {
	w := newWorld(t)
	w.lead(w.leader(), "doing nothing", func() bool { return true })
	status, err := w.Status(nil)
	if err != nil || len(status.Authorities) != 1 || status.Authorities[0].ID != certificate.Fingerprint(w.seed.Certificate) {
		t.Fatalf("authorities %+v, %v", status.Authorities, err)
	}
	key, err := w.seed.Key()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(status.Authorities[0].Key.Data), string(key)) {
		t.Error("the state shows the authority's key")
	}
}

// Who has a token gets the certificate of the agent that it names, once; every other token is
// refused, all alike.
func TestJoin(t *testing.T) {
	w := newWorld(t)
	const id = "00000001-0000-4000-8000-000000000000"
	good := nomadish.JoinTokenRequest{Role: "client"}
	used, expired, revoked := w.token(good), w.token(nomadish.JoinTokenRequest{Role: "client", TTL: time.Minute}), w.token(good)
	ticket, err := certificate.ParseTicket(revoked)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.DeleteToken(t.Context(), ticket.TokenID()); err != nil {
		t.Fatal(err)
	}
	other, err := certificate.ParseTicket(used)
	if err != nil {
		t.Fatal(err)
	}
	other.Secret[0] ^= 1
	w.pass(2 * time.Minute)
	join := func(token nomadish.SecretText, role string) (*nomadish.EnrollResponse, error) {
		return w.Join(t.Context(), &nomadish.EnrollRequest{Token: token, Role: role, ID: id, Name: "n1", Addr: "10.0.0.9:1", Request: request(t, []string{"db.example"})}, anybody)
	}
	resp, err := join(used, "client")
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, resp.Certificate)
	if err := c.CheckSignatureFrom(w.seed.Certificate); err != nil {
		t.Error(err)
	}
	if got, want := fmt.Sprint(c.DNSNames, c.IPAddresses, c.URIs), "[client.global.nomad localhost] [127.0.0.1 ::1 10.0.0.9] [nomadish://global/client/"+id+"]"; got != want {
		t.Errorf("the certificate names %s, want %s: a node can't take a name that it asks for", got, want)
	}
	for name, token := range map[string]nomadish.SecretText{
		"used": used, "expired": expired, "taken back": revoked, "for servers": w.token(nomadish.JoinTokenRequest{Role: "server"}), "another secret": other.Text(), "no token": "x",
	} {
		if _, err := join(token, "client"); nomadish.KindOf(err) != nomadish.KindDenied || !strings.HasPrefix(err.Error(), "the join token is not good") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := join(w.token(good), "server"); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("a client's token for a server: %v", err)
	}
	kept := w.token(good)
	if _, err := w.Join(t.Context(), &nomadish.EnrollRequest{Token: kept, Role: "client", ID: id, Request: request(t, nil)}, func(*nomadish.EnrollRequest) error { return errors.New("taken") }); err == nil {
		t.Error("an ID that is taken was given")
	}
	if _, err := join(kept, "client"); err != nil {
		t.Errorf("a token that nobody got anything for: %v", err)
	}
}

// A token lets in as many as it has uses, also when they come at once.
func TestTokenUses(t *testing.T) {
	w := newWorld(t)
	token := w.token(nomadish.JoinTokenRequest{Role: "server", Uses: 3})
	var wg sync.WaitGroup
	results := make(chan error, 8)
	for range cap(results) {
		csr := request(t, nil)
		wg.Go(func() {
			_, err := w.Join(t.Context(), &nomadish.EnrollRequest{Token: token, Role: "server", ID: nomadish.NewID(), Request: csr}, anybody)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	in := 0
	for err := range results {
		if err == nil {
			in++
		}
	}
	if in != 3 || len(w.Tokens(nil)) != 0 {
		t.Errorf("%d joined with 3 uses, %d tokens are left", in, len(w.Tokens(nil)))
	}
}

// What a token may be is bounded.
func TestTokenRefuses(t *testing.T) {
	w := newWorld(t)
	for _, req := range []nomadish.JoinTokenRequest{
		{},
		{Role: "cli"},
		{Role: "server", NodePool: "gpu"},
		{Role: "client", NodePool: "a b"},
		{Role: "client", TTL: -1},
		{Role: "client", TTL: 8 * 24 * time.Hour},
		{Role: "client", Uses: -1},
		{Role: "client", Uses: 1001},
	} {
		if _, err := w.CreateToken(t.Context(), &req); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%+v: %v", req, err)
		}
	}
}

// An agent gets certificates for itself, good for as long as its role's are.
func TestCertify(t *testing.T) {
	w := newWorld(t)
	server, node := w.join(certificate.Server), w.join(certificate.Client)
	for _, tt := range []struct {
		who  certificate.Identity
		ttl  time.Duration
		want string
	}{
		{server, 30 * 24 * time.Hour, "[server.global.nomad db.example] [10.1.1.1]"},
		{node, 72 * time.Hour, "[client.global.nomad localhost] [127.0.0.1 ::1 10.0.0.9]"},
	} {
		resp, err := w.Certify(t.Context(), tt.who, &nomadish.CertificateRequest{Request: request(t, []string{"db.example"}, net.IPv4(10, 1, 1, 1))}, "10.0.0.9:77")
		if err != nil {
			t.Fatal(err)
		}
		c := parse(t, resp.Certificate)
		names, err := certificate.ParseNames(c)
		if got := fmt.Sprint(c.DNSNames, c.IPAddresses); err != nil || got != tt.want || names.Check(tt.who) != nil || names.Agent != tt.who || !c.NotAfter.Equal(epoch.Add(tt.ttl)) {
			t.Errorf("%s: for %+v, %s until %s, %v", tt.who.Role, names.Agent, got, c.NotAfter, err)
		}
	}
	for name, csr := range map[string][]byte{
		"no request": []byte("x"), "an agent's name": request(t, []string{"server.global.nomad"}), "a wildcard": request(t, []string{"*.example"}),
		"many names": request(t, slices.Repeat([]string{"a"}, 17)),
	} {
		if _, err := w.Certify(t.Context(), server, &nomadish.CertificateRequest{Request: csr}, ""); nomadish.KindOf(err) != nomadish.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.pass(31 * 24 * time.Hour)
	if _, err := w.Certify(t.Context(), server, &nomadish.CertificateRequest{Trusts: "x"}, ""); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("somebody whose certificate has ended, as far as is known, says what it trusts: %v", err)
	}
	stranger := certificate.Identity{Role: certificate.Client, Region: "global", ID: nomadish.NewID()}
	if _, err := w.Certify(t.Context(), stranger, &nomadish.CertificateRequest{Trusts: "x"}, ""); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("somebody who has no certificate says what it trusts: %v", err)
	}
}

// An authority is replaced in three steps, each of which waits for every agent whose certificate is
// good; any leader goes on where another has ended.
func TestRotate(t *testing.T) {
	w := newWorld(t)
	agents := []certificate.Identity{w.join(certificate.Server), w.join(certificate.Client)}
	lost := w.join(certificate.Client)
	w.pass(71 * time.Hour)
	for _, who := range agents { // the third one's certificate ends
		if _, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil)}, ""); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(2 * time.Hour)
	waiting := w.token(nomadish.JoinTokenRequest{Role: "client"})
	status, err := w.Rotate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := status.Authorities[1].ID
	if _, err := w.Rotate(t.Context()); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("a second change at the same time: %v", err)
	}
	expect := func(waits int, states ...string) {
		t.Helper()
		status, err := w.Status(nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(states, w.states()); diff != "" || len(status.Waiting) != waits {
			t.Errorf("it waits for %q, want %d; states: %s", status.Waiting, waits, diff)
		}
		for _, a := range status.Waiting {
			if strings.HasSuffix(a, lost.ID) {
				t.Error("it waits for an agent whose certificate has ended")
			}
		}
	}
	expect(2, "active", "prepared")
	w.lead(w.leader(), "waiting", func() bool { return true })
	expect(2, "active", "prepared")
	for i, who := range agents {
		if _, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Trusts: next}, ""); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			expect(1, "active", "prepared")
		}
	}
	w.lead(w.leader(), "the new authority", func() bool { return slices.Equal(w.states(), []string{"retiring", "active"}) })
	expect(2, "retiring", "active")
	if _, err := w.Join(t.Context(), &nomadish.EnrollRequest{Token: waiting, Role: "client", ID: lost.ID, Request: request(t, nil)}, anybody); nomadish.KindOf(err) != nomadish.KindDenied {
		t.Errorf("a token that names the former authority: %v", err)
	}
	for _, who := range agents {
		resp, err := w.Certify(t.Context(), who, &nomadish.CertificateRequest{Request: request(t, nil), Trusts: next}, "")
		if err != nil || resp.Issuer != next || len(resp.Authorities) != 2 {
			t.Fatalf("a certificate of %s, %v", resp.Issuer, err)
		}
	}
	w.lead(w.leader(), "the end of the former authority", func() bool { return slices.Equal(w.states(), []string{"active"}) })
	expect(0, "active")
	if n := w.seeded.Load(); n != 1 {
		t.Errorf("the first authority was taken in %d times", n)
	}
}

// Agents are forgotten a day after the end of their certificates, and not before.
func TestForget(t *testing.T) {
	w := newWorld(t)
	w.join(certificate.Client)
	w.join(certificate.Server)
	left := func() int {
		status, err := w.Status(nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(status.Agents)
	}
	w.pass(95 * time.Hour)
	w.lead(w.leader(), "nothing", func() bool { return true })
	if n := left(); n != 2 {
		t.Errorf("%d agents are known, want 2", n)
	}
	w.pass(2 * time.Hour)
	w.lead(w.leader(), "one agent", func() bool { return left() == 1 })
}
