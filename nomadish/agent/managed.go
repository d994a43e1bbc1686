package agent

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server/pki"
)

// Certificates returns where an agent keeps the certificates of its cluster's own authority.
func Certificates(dataDir string) certificate.Files {
	return certificate.Files{Dir: filepath.Join(dataDir, "tls")}
}

// managed fills in which files are meant where the cluster's own authority gives certificates.
func (c Config) managed() (Config, error) {
	if c.PeerTLS == nil || !c.PeerTLS.Managed {
		return c, nil
	}
	files := Certificates(c.DataDir)
	if _, err := os.Stat(files.Agent()); errors.Is(err, fs.ErrNotExist) {
		return c, errors.New("tls: this agent has no certificate yet: \"nomadish init\" makes a cluster, \"nomadish join\" joins one")
	}
	peers := *c.PeerTLS
	peers.CertFile, peers.KeyFile, peers.CAFile = files.Agent(), files.Agent(), files.Authorities()
	c.PeerTLS = &peers
	api := transport.TLSConfig{}
	if c.TLS != nil {
		api = *c.TLS
	}
	api.CertFile, api.KeyFile, api.CAFile = files.Agent(), files.Agent(), files.Authorities()
	c.TLS = &api
	return c, nil
}

// certify says how this server's half signs certificates.
func (a *Agent) certify(c *pki.Config) {
	if a.cfg.PeerTLS == nil || !a.cfg.PeerTLS.Managed {
		return
	}
	files := Certificates(a.cfg.DataDir)
	c.ServerTTL, c.ClientTTL, c.Seed, c.Seeded = a.cfg.PeerTLS.TTL, a.cfg.PeerTLS.TTL, files.Seed, files.RemoveSeed
	c.Keep = files.WriteKept
}

// certifier asks the servers for what keeps an agent's certificate good.
type certifier interface {
	// Trusted lists the authorities, once their table is past an index.
	Trusted(ctx context.Context, index uint64, wait time.Duration) (*nomadish.AuthoritiesResponse, error)
	Certify(ctx context.Context, req *nomadish.CertificateRequest) (*nomadish.CertificateResponse, error)
}

// renewal keeps an agent's certificate, and the authorities that it trusts, up to date.
type renewal struct {
	files  certificate.Files
	who    certificate.Identity
	name   string
	hosts  func() ([]string, []net.IP) // under which the agent's API is asked
	ask    certifier
	apply  func() error // has the agent use what the files hold now
	revoke func([]*nomadish.RevokedCertificate) error
	now    func() time.Time
	look   time.Duration // time between looks at the authorities, at most
	logger *slog.Logger

	noted  bool   // the servers know of the certificate and of what this agent trusts
	trusts string // the newest authority that the servers have been told of
	index  uint64

	told    bool // what is revoked
	revoked []*nomadish.RevokedCertificate
}

// renewalRetry is the time after which what has failed is tried again, the first time.
const renewalRetry = time.Second

// run renews until ctx ends. Until the certificate's end there is time to try again and again.
func (r *renewal) run(ctx context.Context) error {
	retry := renewalRetry
	for ctx.Err() == nil {
		err := r.step(ctx)
		if err == nil {
			retry = renewalRetry
			continue
		}
		if ctx.Err() != nil {
			break
		}
		r.complain(err)
		_ = lifecycle.Sleep(ctx, retry) // the loop sees that ctx has ended
		retry = min(2*retry, time.Minute)
	}
	return nil
}

// complain says what is wrong, loud once it matters.
func (r *renewal) complain(err error) {
	own, readErr := r.own()
	switch {
	case readErr != nil:
		r.logger.Error("the agent's certificate can't be read", "err", readErr)
	case !r.now().Before(own.NotAfter):
		r.logger.Error("the agent's certificate has ended, and other agents refuse it: get a new one with \"nomadish join\"",
			"ended", own.NotAfter.UTC().Format(time.RFC3339), "err", err)
	case r.now().After(certificate.HalfLife(own)):
		r.logger.Warn("the agent's certificate can't be renewed yet", "ends", own.NotAfter.UTC().Format(time.RFC3339), "err", err)
	default:
		r.logger.Debug("certificates", "err", err)
	}
}

// own reads the agent's certificate.
func (r *renewal) own() (*x509.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(r.files.Agent(), r.files.Agent())
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(pair.Certificate[0])
}

// step waits for news of the authorities, or until the certificate is to be renewed, and does
// what follows.
func (r *renewal) step(ctx context.Context) error {
	own, err := r.own()
	if err != nil {
		return err
	}
	wait := r.due(own).Sub(r.now())
	if wait <= 0 || !r.noted {
		wait, r.index = 0, 0 // do not wait for anything
	}
	known, err := r.ask.Trusted(ctx, r.index, min(wait, r.look))
	if err != nil {
		return err
	}
	r.index = known.Index
	if len(known.Authorities) == 0 {
		r.index = max(1, r.index)
		return lifecycle.Sleep(ctx, renewalRetry) // the first leader of a new cluster has it soon
	}
	if err := r.trust(known.Authorities); err != nil {
		return err
	}
	if !r.told || !slices.EqualFunc(r.revoked, known.Revoked, sameRevocation) {
		if err := r.revoke(known.Revoked); err != nil {
			return err
		}
		r.told, r.revoked = true, known.Revoked
	}
	newest := known.Authorities[len(known.Authorities)-1].ID
	var issuer string
	for _, a := range known.Authorities {
		if a.State == nomadish.AuthorityActive {
			issuer = a.ID
		}
	}
	if !r.now().Before(r.due(own)) || !r.signed(own, known.Authorities, issuer) {
		return r.renew(ctx, newest)
	}
	if r.noted && r.trusts == newest {
		return nil
	}
	_, err = r.ask.Certify(ctx, &nomadish.CertificateRequest{Trusts: newest, Name: r.name})
	if nomadish.KindOf(err) == nomadish.KindNotFound {
		return r.renew(ctx, newest) // the certificate is from before the cluster
	}
	if err == nil {
		r.noted, r.trusts = true, newest
	}
	return err
}

// due is when the certificate is to be renewed: when half of its time is over, and a little
// later, so that agents which began together do not all come at once.
func (r *renewal) due(own *x509.Certificate) time.Time {
	half := certificate.HalfLife(own)
	spread := own.NotAfter.Sub(half) / 5
	if spread <= 0 {
		return half
	}
	seed := rand.NewPCG(uint64(own.NotAfter.UnixNano()), own.SerialNumber.Uint64())
	return half.Add(time.Duration(rand.New(seed).Int64N(int64(spread))))
}

// signed says whether a certificate is of one of the authorities.
func (r *renewal) signed(own *x509.Certificate, all []*nomadish.Authority, issuer string) bool {
	for _, a := range all {
		c, err := x509.ParseCertificate(a.Certificate)
		if err == nil && a.ID == issuer {
			return own.CheckSignatureFrom(c) == nil
		}
	}
	return false
}

// trust takes over which authorities are trusted.
func (r *renewal) trust(all []*nomadish.Authority) error {
	der := make([][]byte, len(all))
	for i, a := range all {
		der[i] = a.Certificate
	}
	return r.trustDER(der)
}

func (r *renewal) trustDER(der [][]byte) error {
	next, err := parseAll(der)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(r.files.Authorities())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err := certificate.ParsePEM(text)
	if err == nil && slices.EqualFunc(now, next, (*x509.Certificate).Equal) {
		return nil
	}
	if err := r.files.WriteAuthorities(next...); err != nil {
		return err
	}
	r.logger.Info("the cluster's certificate authorities have changed", "trusted", len(next))
	return r.apply()
}

func parseAll(der [][]byte) ([]*x509.Certificate, error) {
	if len(der) == 0 {
		return nil, errors.New("the servers name no certificate authority")
	}
	all := make([]*x509.Certificate, len(der))
	for i, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return nil, fmt.Errorf("certificate authority: %w", err)
		}
		all[i] = c
	}
	return all, nil
}

// renew gets the next certificate, for a new key.
func (r *renewal) renew(ctx context.Context, newest string) error {
	key, err := certificate.NewKey()
	if err != nil {
		return err
	}
	hosts, ips := r.hosts()
	request, err := certificate.NewRequest(key, hosts, ips)
	if err != nil {
		return err
	}
	resp, err := r.ask.Certify(ctx, &nomadish.CertificateRequest{Request: request, Trusts: newest, Name: r.name})
	if err != nil {
		return err
	}
	if err := r.trustDER(resp.Authorities); err != nil {
		return err
	}
	chain, err := certificate.Chain(resp.Certificate, resp.Authorities, key.Public(), r.who)
	if err != nil {
		return err
	}
	if err := r.files.WriteAgent(key, chain...); err != nil {
		return err
	}
	r.noted, r.trusts = true, newest
	r.logger.Info("the agent has a new certificate", "ends", chain[0].NotAfter.UTC().Format(time.RFC3339))
	return r.apply()
}

// managedParts are what keeps a managed agent's certificate good.
func (a *Agent) managedParts() []lifecycle.Part {
	if a.cfg.PeerTLS == nil || !a.cfg.PeerTLS.Managed {
		return nil
	}
	r := &renewal{
		files: Certificates(a.cfg.DataDir), name: a.cfg.Name, hosts: a.apiNames, apply: a.Reload, now: a.cfg.Now, logger: a.cfg.Logger,
		look: cmp.Or(a.cfg.PeerTLS.Look, 5*time.Minute),
		who:  certificate.Identity{Role: certificate.Server, Region: a.cfg.Region, ID: a.id}, ask: (*ownCertifier)(a),
	}
	if a.server != nil { // it knows all that is revoked at once, from its state
		r.revoke = func([]*nomadish.RevokedCertificate) error { return nil }
		return []lifecycle.Part{r.run, a.followRevoked}
	}
	r.who = certificate.Identity{Role: certificate.Client, Region: a.cfg.Region, ID: a.client.NodeID()}
	r.revoke = a.revoke
	return []lifecycle.Part{r.run}
}

// ownCertifier asks for this agent: a server within its process, from where what only the
// leader does goes on; a client node over its session.
type ownCertifier Agent

func (o *ownCertifier) Trusted(ctx context.Context, index uint64, wait time.Duration) (*nomadish.AuthoritiesResponse, error) {
	// A node asks through its server what the leader knows: a server that is cut off can't keep it from learning so.
	q := &api.Query{Stale: o.server != nil}
	if o.server != nil && index > 0 && wait > 0 {
		q.MinIndex, q.Wait = index, wait
	} else if index > 0 && wait > 0 { // thousands of nodes had better not hold requests open
		if err := lifecycle.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
	all, _, err := o.peer.Authorities().Trusted(ctx, q)
	return all, err
}

func (o *ownCertifier) Certify(ctx context.Context, req *nomadish.CertificateRequest) (*nomadish.CertificateResponse, error) {
	if o.server != nil {
		return o.peer.Authorities().CertifyServer(ctx, o.id, req)
	}
	return o.peer.Authorities().CertifyNode(ctx, o.client.NodeID(), req)
}

// apiNames are the names and addresses under which this agent's API may be asked.
func (a *Agent) apiNames() ([]string, []net.IP) {
	own := []string{a.advertised()}
	if a.hub.Addr() != nil {
		own = append(own, outward(a.hub.Addr()))
	}
	return hostNames(a.cfg.Name, own)
}

// maxOwnNames bounds the addresses that a certificate is asked for.
const maxOwnNames = 8

// hostNames are the names and addresses that a certificate of this machine is asked for, besides
// those of loopback: addresses may have ports.
func hostNames(name string, addrs []string) (hosts []string, ips []net.IP) {
	hosts = []string{"localhost"}
	if machine, err := os.Hostname(); err == nil {
		hosts = append(hosts, machine)
	}
	hosts = append(hosts, name)
	ips = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, addr := range append(addrs, outwardAddress()) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		ip := net.ParseIP(host)
		switch {
		case ip == nil:
			hosts = append(hosts, host)
		case !ip.IsUnspecified() && !slices.ContainsFunc(ips, ip.Equal):
			ips = append(ips, ip)
		}
	}
	hosts = slices.DeleteFunc(hosts, func(h string) bool { return !certificate.IsHost(h) })
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	return hosts[:min(len(hosts), maxOwnNames)], ips[:min(len(ips), maxOwnNames)]
}
