package agent

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// PeerTLS says how the connections with other agents are encrypted.
type PeerTLS struct {
	// Managed has the cluster's own authority give certificates, for the API too. They are in
	// the data directory, where Join or Init has put the first one, and renewed by themselves.
	Managed bool
	TTL     time.Duration // of certificates that a managed server issues; default 30 days for servers, 72h for client nodes
	Look    time.Duration // between looks of a managed agent at what its cluster's authorities are, at most; default 5m

	// RegionsFile holds, in PEM, the authorities of other regions that have such of their own: their servers
	// are taken as those of other regions, and nothing else is. Optional, with Managed.
	RegionsFile string

	CertFile, KeyFile, CAFile string // in PEM, unless Managed
	transport.PeerTLSConfig          // Region and Now come from Config
}

// peers returns how connections with other agents are encrypted; nil when they are not.
func (t *TLSFile) peers(r *reading, version uint16, suites []uint16) *PeerTLS {
	if nomadish.Val(t.Managed) {
		return t.managed(r, version, suites)
	}
	if t.CertificateTTL != nil {
		r.fail("tls.certificate_ttl: only with managed = true")
	}
	if !nomadish.Val(t.RPC) {
		return nil
	}
	return &PeerTLS{
		CertFile: nomadish.Val(t.CertFile), KeyFile: nomadish.Val(t.KeyFile), CAFile: nomadish.Val(t.CAFile),
		PeerTLSConfig: transport.PeerTLSConfig{
			AnyName: !nomadish.Val(t.VerifyServerHostname), Upgrade: nomadish.Val(t.RPCUpgradeMode), MinVersion: version, CipherSuites: suites,
		},
	}
}

// managed returns how connections are encrypted with certificates of the cluster's own authority.
func (t *TLSFile) managed(r *reading, version uint16, suites []uint16) *PeerTLS {
	for key, set := range map[string]bool{
		"cert_file": t.CertFile != nil, "key_file": t.KeyFile != nil, "rpc_upgrade_mode": nomadish.Val(t.RPCUpgradeMode),
		"http = false": t.HTTP != nil && !*t.HTTP, "rpc = false": t.RPC != nil && !*t.RPC,
		"verify_server_hostname = false": t.VerifyServerHostname != nil && !*t.VerifyServerHostname,
	} {
		if set {
			r.fail("tls.managed: %s can't be set with it: the cluster's own authority gives all certificates", key)
		}
	}
	ttl := r.duration("tls.certificate_ttl", t.CertificateTTL)
	if t.CertificateTTL != nil && ttl < minCertificateTTL {
		r.fail("tls.certificate_ttl: %s is below %s", ttl, minCertificateTTL)
	}
	return &PeerTLS{Managed: true, TTL: ttl, RegionsFile: nomadish.Val(t.CAFile), PeerTLSConfig: transport.PeerTLSConfig{MinVersion: cmp.Or(version, tls.VersionTLS13), CipherSuites: suites}}
}

// minCertificateTTL leaves time for renewals to be tried again.
const minCertificateTTL = 10 * time.Second

// newPeerTLS reads this agent's certificate for other agents.
func (a *Agent) newPeerTLS() (err error) {
	c := a.cfg.PeerTLS
	if c == nil {
		return nil
	}
	credentials, err := c.credentials()
	if err != nil {
		return fmt.Errorf("connections between agents: %w", err)
	}
	conf := c.PeerTLSConfig
	conf.Region, conf.Now = a.cfg.Region, a.cfg.Now
	if conf.Upgrade {
		a.cfg.Logger.Warn("connections of other agents are taken also unencrypted: set tls.rpc_upgrade_mode to false when all have certificates")
	}
	if a.peerTLS, err = transport.NewPeerTLS(conf, credentials); err != nil {
		return err
	}
	return a.refuseKept()
}

// reloadPeerTLS reads the certificate again.
func (a *Agent) reloadPeerTLS() error {
	if a.peerTLS == nil {
		return nil
	}
	credentials, err := a.cfg.PeerTLS.credentials()
	if err != nil {
		return err
	}
	return a.peerTLS.Replace(credentials)
}

// credentials reads the files.
func (c *PeerTLS) credentials() (transport.Credentials, error) {
	read, err := transport.ReadCredentials(c.CertFile, c.KeyFile, c.CAFile)
	if err != nil || c.RegionsFile == "" {
		return read, err
	}
	text, err := os.ReadFile(c.RegionsFile)
	if err != nil {
		return read, fmt.Errorf("tls: ca_file: %w", err)
	}
	if read.Elsewhere, err = certificate.ParsePEM(text); err != nil {
		return read, fmt.Errorf("tls: ca_file: %s: %w", c.RegionsFile, err)
	}
	return read, nil
}
