package certificate_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
)

const id = "00000001-0000-4000-8000-000000000000"

func uri(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Names say which roles a holder has, and which agent it is; nothing else in a certificate does.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		names []string
		uri   string
		is    string // every role, region and ID that it may be, of those tried
	}{
		{names: []string{"server.global.nomad"}, is: "server/global client/global"},
		{names: []string{"SERVER.Global.NOMAD"}, is: "server/global client/global"},
		{names: []string{"client.global.nomad"}, is: "client/global"},
		{names: []string{"server.eu.nomad", "client.global.nomad"}, is: "client/global server/eu client/eu"},
		{names: []string{"server.global.nomad"}, uri: "nomadish://global/server/" + id, is: "server/global"},
		{names: []string{"server.global.nomad"}, uri: "nomadish://global/client/" + id, is: "client/global"},
		{names: []string{"client.global.nomad"}, uri: "nomadish://global/server/" + id},
		{names: []string{"server.global.nomad"}, uri: "nomadish://eu/server/" + id},
		{names: []string{"*.global.nomad", "server.global.nomad.example", "xserver.global.nomad", "server.nomad", "server..nomad", "server.*.nomad", "cli.global.nomad"}},
		{uri: "nomadish://global/server/" + id},
		{names: []string{"server.global.nomad"}, uri: "spiffe://global/server/x", is: "server/global client/global"},
	} {
		c := &x509.Certificate{DNSNames: tt.names}
		if tt.uri != "" {
			c.URIs = []*url.URL{uri(t, tt.uri)}
		}
		names, err := certificate.ParseNames(c)
		if err != nil {
			t.Errorf("%q %s: %v", tt.names, tt.uri, err)
			continue
		}
		var is []string
		for _, region := range []string{"global", "eu"} {
			for _, role := range []certificate.Role{certificate.Server, certificate.Client} {
				if names.Check(certificate.Identity{Role: role, Region: region, ID: id}) == nil {
					is = append(is, string(role)+"/"+region)
				}
				if other := (certificate.Identity{Role: role, Region: region, ID: "00000002-0000-4000-8000-000000000000"}); strings.HasPrefix(tt.uri, "nomadish") && names.Check(other) == nil {
					t.Errorf("%q %s: it may be another agent", tt.names, tt.uri)
				}
			}
		}
		if got := strings.Join(is, " "); got != tt.is {
			t.Errorf("%q %s: it may be %q, want %q", tt.names, tt.uri, got, tt.is)
		}
	}
	for _, text := range []string{"nomadish://global/server/", "nomadish://global/server/x", "nomadish:///server/" + id, "nomadish://global/cli/" + id, "nomadish://u@global/server/" + id, "nomadish://global/server/" + id + "?x"} {
		if n, err := certificate.ParseNames(&x509.Certificate{URIs: []*url.URL{uri(t, text)}}); err == nil && n.Agent.ID != "" {
			t.Errorf("%s is read as %+v", text, n.Agent)
		}
	}
}

// What is signed is as ordered, ends no later than its authority, and verifies.
func TestIssue(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	ca, err := certificate.NewAuthority(certificate.AuthorityConfig{Now: now, TTL: 100 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	key, err := certificate.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	order := certificate.Order{
		Identity: certificate.Identity{Role: certificate.Server, Region: "eu", ID: id}, Hosts: []string{"a.example"}, IPs: []net.IP{net.IPv6loopback},
		Key: key.Public(), TTL: 200 * time.Hour, Now: now,
	}
	c, err := ca.Issue(order)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.DNSNames, c.IPAddresses, c.URIs, c.NotAfter.Sub(now), certificate.HalfLife(c).Sub(now))
	if want := "[server.eu.nomad a.example] [::1] [nomadish://eu/server/" + id + "] 100h0m0s 50h0m0s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.Certificate)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
	order.Region = "e u"
	if _, err := ca.Issue(order); err == nil {
		t.Error("a region was certified that is none")
	}
	order.Region, order.Now = "eu", now.Add(101*time.Hour)
	if _, err := ca.Issue(order); err == nil {
		t.Error("an authority signs after its end")
	}
}

// Files hold what was written, for nobody else to read.
func TestFiles(t *testing.T) {
	f := certificate.Files{Dir: t.TempDir() + "/tls"}
	if a, err := f.Seed(); a != nil || err != nil {
		t.Fatalf("a seed from nowhere: %v, %v", a, err)
	}
	ca, err := certificate.NewAuthority(certificate.AuthorityConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSeed(ca); err != nil {
		t.Fatal(err)
	}
	again, err := f.Seed()
	if err != nil || !again.Certificate.Equal(ca.Certificate) {
		t.Fatalf("seed: %v", err)
	}
	entries, err := os.ReadDir(f.Dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("files %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := f.RemoveSeed(); err != nil {
		t.Error(err)
	}
	if err := f.RemoveSeed(); err != nil {
		t.Errorf("removing it twice: %v", err)
	}
}

// A ticket says what was put into it, and one that was changed is refused or says something else.
func TestTicket(t *testing.T) {
	ticket, err := certificate.NewTicket(certificate.Server, [32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	text := ticket.Text()
	if again, err := certificate.ParseTicket(text); err != nil || again != ticket {
		t.Errorf("%+v, %v; want %+v", again, err, ticket)
	}
	if s := fmt.Sprint(text); strings.Contains(s, "nomadish-join-") {
		t.Errorf("a ticket prints as %s", s)
	}
	for _, bad := range []string{"", "x", "nomadish-join-", "nomadish-join-cli-AAAA", text.Reveal()[:80], text.Reveal() + "A"} {
		if _, err := certificate.ParseTicket(nomadish.SecretText(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// FuzzTicket: what is read as a ticket is the only text of that ticket, but for white space around it.
func FuzzTicket(f *testing.F) {
	ticket, err := certificate.NewTicket(certificate.Client, [32]byte{9})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ticket.Text().Reveal())
	f.Add("nomadish-join-server-" + strings.Repeat("A", 107))
	f.Fuzz(func(t *testing.T, text string) {
		ticket, err := certificate.ParseTicket(nomadish.SecretText(text))
		if err == nil && ticket.Text().Reveal() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %q", text, ticket.Text().Reveal())
		}
	})
}

// FuzzNames: a name gives a role only when it is, letter case aside, exactly that role's; a URI names
// an agent only in the way that the agent's is written; and nobody is two agents.
func FuzzNames(f *testing.F) {
	f.Add("server.global.nomad", "nomadish://global/server/"+id)
	f.Add("*.global.nomad", "nomadish://eu/client/"+id)
	f.Add("client.a.b.nomad", "")
	f.Fuzz(func(t *testing.T, name, text string) {
		c := &x509.Certificate{DNSNames: []string{name}}
		if u, err := url.Parse(text); err == nil && text != "" {
			c.URIs = []*url.URL{u}
		}
		names, err := certificate.ParseNames(c)
		if err != nil {
			return
		}
		for role, regions := range map[certificate.Role][]string{certificate.Server: names.Servers, certificate.Client: names.Clients} {
			for _, region := range regions {
				if role.Name(region) != strings.ToLower(name) || certificate.CheckRegion(region) != nil {
					t.Errorf("%q is read as %s of %q", name, role, region)
				}
			}
		}
		if a := names.Agent; a != (certificate.Identity{}) && a.URI().String() != c.URIs[0].String() {
			t.Errorf("%q is read as %+v", text, a)
		}
	})
}

// FuzzDecodeJoin: whatever is read as a request to join says where it is from to nobody, names an agent that
// can be certified, and is signed by the key that it brings.
func FuzzDecodeJoin(f *testing.F) {
	key, err := certificate.NewKey()
	if err != nil {
		f.Fatal(err)
	}
	csr, err := certificate.NewRequest(key, []string{"a.example"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	good, err := json.Marshal(&nomadish.EnrollRequest{Token: "t", Role: "client", ID: id, Request: csr, Addr: "10.0.0.1:1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"Role":"server"}`))
	f.Add(bytes.Replace(good, []byte("client"), []byte("cli"), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		req, err := certificate.DecodeJoin(bytes.NewReader(text))
		if err != nil {
			return
		}
		order, err := certificate.ParseRequest(req.Request)
		if err != nil || req.Addr != "" {
			t.Fatalf("addr %q, request %v", req.Addr, err)
		}
		for _, host := range order.Hosts {
			if !certificate.IsHost(host) || strings.HasSuffix(host, ".nomad") {
				t.Errorf("a request for the name %q", host)
			}
		}
		if _, err := nomadish.ParseID(req.ID); err != nil || req.Role != "client" && req.Role != "server" {
			t.Errorf("a request of %q %q", req.Role, req.ID)
		}
	})
}
