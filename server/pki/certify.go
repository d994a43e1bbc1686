package pki

import (
	"context"
	"crypto/x509"
	"net"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
)

// Certify gives an agent its next certificate, and notes which authority it trusts. Who the agent
// is has been proven by the session that the request came over; addr is where it came from.
func (p *PKI) Certify(ctx context.Context, who certificate.Identity, req *nomadish.CertificateRequest, addr string) (*nomadish.CertificateResponse, error) {
	r := p.store.Reader()
	if err := mayRenew(r, who); err != nil {
		return nil, err
	}
	all := authorities(r, nil)
	signer, err := p.signer(all)
	if err != nil {
		return nil, err
	}
	row := nomadish.CertifiedAgent{Role: string(who.Role), ID: who.ID}
	old, err := r.CertifiedAgent(nil, row.Role, row.ID)
	if len(req.Request) == 0 && (err != nil || old.Ended(p.cfg.Now())) {
		// It was made before the cluster began, or by a server for itself.
		return nil, nomadish.Errorf(nomadish.KindNotFound, "%s %s has no certificate that is known of: it is to ask for one", who.Role, who.ID)
	}
	if err == nil {
		row = *old
	}
	resp := answer(all)
	for _, a := range all {
		if a.ID == req.Trusts {
			row.Trusts = a.ID
		}
	}
	if req.Name != "" {
		row.Name = req.Name[:min(len(req.Name), maxName)]
	}
	if len(req.Request) > 0 {
		issued, err := p.issue(signer, who, req.Request, addr)
		if err != nil {
			return nil, err
		}
		resp.Certificate = issued.Raw
		note(&row, issued, resp.Issuer)
	}
	if old != nil && len(req.Request) == 0 && old.Trusts == row.Trusts && old.Name == row.Name {
		return resp, nil
	}
	_, _, err = p.raft.Propose(ctx, &fsm.CertifyAgents{Agents: []*nomadish.CertifiedAgent{&row}})
	return resp, err
}

// maxName bounds the names of machines.
const maxName = 128

// note writes down which certificate an agent has got.
func note(row *nomadish.CertifiedAgent, c *x509.Certificate, issuer string) {
	row.AuthorityID, row.Serial, row.NotAfter = issuer, certificate.Serial(c), c.NotAfter.UnixNano()
}

// answer tells an agent whom to trust.
func answer(all []*nomadish.Authority) *nomadish.CertificateResponse {
	resp := &nomadish.CertificateResponse{}
	for _, a := range all {
		resp.Authorities = append(resp.Authorities, a.Certificate)
		if a.State == nomadish.AuthorityActive {
			resp.Issuer = a.ID
		}
	}
	return resp
}

// issue signs what an agent asks for, as far as it may have it.
func (p *PKI) issue(signer *certificate.Authority, who certificate.Identity, request []byte, addr string) (*x509.Certificate, error) {
	order, err := certificate.ParseRequest(request)
	if err != nil {
		return nil, err
	}
	order.Identity, order.TTL, order.Now = who, p.ttl(who.Role), p.signingTime(who)
	if who.Role == certificate.Client {
		order.Hosts, order.IPs = ownNames(addr, order.IPs)
	}
	return signer.Issue(order)
}

func (p *PKI) ttl(role certificate.Role) time.Duration {
	if role == certificate.Server {
		return p.cfg.ServerTTL
	}
	return p.cfg.ClientTTL
}

// ownNames are the names and addresses under which a client node's API may be asked: its
// machine's own, and the one that it was seen at. Others that it asks for could be those of
// servers, which it is not to be taken for.
func ownNames(addr string, asked []net.IP) ([]string, []net.IP) {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, ip := range asked {
		if ip.IsLoopback() && !slices.ContainsFunc(ips, ip.Equal) {
			ips = append(ips, ip)
		}
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() && !ip.IsUnspecified() {
		ips = append(ips, ip)
	}
	return []string{"localhost"}, ips
}
