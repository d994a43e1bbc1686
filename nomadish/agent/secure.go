package agent

import (
	"crypto/tls"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server/endpoint"
)

// TLSFile is the tls block.
type TLSFile struct {
	HTTP                     *bool   `hcl:"http,optional"`
	RPC                      *bool   `hcl:"rpc,optional"`
	CAFile                   *string `hcl:"ca_file,optional"`
	CertFile                 *string `hcl:"cert_file,optional"`
	KeyFile                  *string `hcl:"key_file,optional"`
	VerifyServerHostname     *bool   `hcl:"verify_server_hostname,optional"` // of the connections between agents
	VerifyHTTPSClient        *bool   `hcl:"verify_https_client,optional"`
	RPCUpgradeMode           *bool   `hcl:"rpc_upgrade_mode,optional"`
	CipherSuites             *string `hcl:"tls_cipher_suites,optional"`
	MinVersion               *string `hcl:"tls_min_version,optional"`
	Managed                  *bool   `hcl:"managed,optional"`                         // ours: the cluster's own authority gives certificates
	CertificateTTL           *string `hcl:"certificate_ttl,optional"`                 // ours: of those that this server issues
	PreferServerCipherSuites *bool   `hcl:"tls_prefer_server_cipher_suites,optional"` // decided by the library
}

// tlsVersions are what tls_min_version may say. Older ones are not offered.
var tlsVersions = map[string]uint16{"": 0, "tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13}

// config returns how the API and the connections with other agents are encrypted; nil where
// they are not.
func (t *TLSFile) config(r *reading) (*transport.TLSConfig, *PeerTLS) {
	version, ok := tlsVersions[nomadish.Val(t.MinVersion)]
	if !ok {
		r.fail("tls.tls_min_version: %q is neither tls12 nor tls13", *t.MinVersion)
	}
	suites := t.suites(r)
	peers := t.peers(r, version, suites)
	if !nomadish.Val(t.HTTP) && !nomadish.Val(t.Managed) {
		return nil, peers
	}
	return &transport.TLSConfig{
		CertFile: nomadish.Val(t.CertFile), KeyFile: nomadish.Val(t.KeyFile), CAFile: nomadish.Val(t.CAFile),
		VerifyClient: nomadish.Val(t.VerifyHTTPSClient), MinVersion: version, CipherSuites: suites,
	}, peers
}

func (t *TLSFile) suites(r *reading) (all []uint16) {
	for name := range strings.SplitSeq(nomadish.Val(t.CipherSuites), ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		id, ok := cipherSuite(name)
		if !ok {
			r.fail("tls.tls_cipher_suites: %q is no suite that is known to be secure", name)
		}
		all = append(all, id)
	}
	return all
}

func cipherSuite(name string) (uint16, bool) {
	for _, s := range tls.CipherSuites() {
		if s.Name == name {
			return s.ID, true
		}
	}
	return 0, false
}

// rates returns how many requests are taken. Zero means no limit in files, as for Nomad's limits.
func (l *LimitsFile) rates() httpapi.Rates {
	limit := func(n *float64) float64 {
		if n != nil && *n <= 0 {
			return -1
		}
		return nomadish.Val(n)
	}
	return httpapi.Rates{PerAddress: limit(l.HTTPRequestsPerAddress), PerToken: limit(l.HTTPRequestsPerToken)}
}

// IntroductionFile is the client_introduction block.
type IntroductionFile struct {
	Enforcement *string `hcl:"enforcement,optional"`
	TTL         *string `hcl:"default_identity_ttl,optional"`
	MaxTTL      *string `hcl:"max_identity_ttl,optional"`
}

func (i *IntroductionFile) config(r *reading) endpoint.Introduction {
	c := endpoint.Introduction{
		Enforcement: nomadish.Val(i.Enforcement), TTL: r.duration("server.client_introduction.default_identity_ttl", i.TTL),
		MaxTTL: r.duration("server.client_introduction.max_identity_ttl", i.MaxTTL),
	}
	switch c.Enforcement {
	case "", nomadish.IntroductionNone, nomadish.IntroductionWarn, nomadish.IntroductionStrict:
	default:
		r.fail("server.client_introduction.enforcement: %q is none of none, warn and strict", c.Enforcement)
	}
	return c
}

// AuditFile is the audit block.
type AuditFile struct {
	Enabled *bool              `hcl:"enabled,optional"`
	Sinks   []*AuditSinkFile   `hcl:"sink,block"`
	Filters []*AuditFilterFile `hcl:"filter,block"`
}

// AuditSinkFile is a sink block: where the log is written.
type AuditSinkFile struct {
	Name              string  `hcl:"name,label"`
	Type              *string `hcl:"type,optional"`
	DeliveryGuarantee *string `hcl:"delivery_guarantee,optional"`
	Format            *string `hcl:"format,optional"`
	Path              *string `hcl:"path,optional"`
	Mode              *string `hcl:"mode,optional"`
	RotateBytes       *int64  `hcl:"rotate_bytes,optional"`
	RotateDuration    *string `hcl:"rotate_duration,optional"`
	RotateMaxFiles    *int    `hcl:"rotate_max_files,optional"`
	Sync              *bool   `hcl:"sync,optional"` // ours: wait for the disk with each entry
}

// AuditFilterFile is a filter block: what is left out.
type AuditFilterFile struct {
	Name       string   `hcl:"name,label"`
	Type       *string  `hcl:"type,optional"`
	Endpoints  []string `hcl:"endpoints,optional"`
	Stages     []string `hcl:"stages,optional"`
	Operations []string `hcl:"operations,optional"`
}

// config returns how the audit log is kept; nil when it is not.
func (a *AuditFile) config(r *reading, dataDir string) *audit.Config {
	if !nomadish.Val(a.Enabled) {
		return nil
	}
	c := &audit.Config{Path: filepath.Join(dataDir, "audit", "audit.log")}
	if len(a.Sinks) > 1 {
		r.fail("audit: %d sinks: there can be one", len(a.Sinks))
	}
	for _, s := range a.Sinks {
		s.apply(r, c)
	}
	for _, f := range a.Filters {
		if kind := nomadish.Val(f.Type); kind != "" && kind != "HTTPEvent" {
			r.fail("audit.filter %q: type: %q is not HTTPEvent", f.Name, kind)
		}
		c.Filters = append(c.Filters, audit.Filter{Endpoints: f.Endpoints, Stages: f.Stages, Operations: f.Operations})
	}
	return c
}

func (s *AuditSinkFile) apply(r *reading, c *audit.Config) {
	key := func(name string) string { return "audit.sink " + strconv.Quote(s.Name) + ": " + name }
	if kind := nomadish.Val(s.Type); kind != "" && kind != "file" {
		r.fail("%s: %q is not file", key("type"), kind)
	}
	if format := nomadish.Val(s.Format); format != "" && format != "json" {
		r.fail("%s: %q is not json", key("format"), format)
	}
	switch g := nomadish.Val(s.DeliveryGuarantee); g {
	case "", "enforced":
	case "best-effort":
		c.BestEffort = true
	default:
		r.fail("%s: %q is neither enforced nor best-effort", key("delivery_guarantee"), g)
	}
	if s.Path != nil {
		c.Path = *s.Path
	}
	if s.Mode != nil {
		mode, err := strconv.ParseUint(*s.Mode, 8, 9)
		if err != nil {
			r.fail(`%s: %q is no octal mode such as "0600"`, key("mode"), *s.Mode)
		}
		c.Mode = fs.FileMode(mode)
	}
	c.RotateBytes = max(0, nomadish.Val(s.RotateBytes))
	c.RotateDuration = r.duration(key("rotate_duration"), s.RotateDuration)
	c.RotateMaxFiles = max(0, nomadish.Val(s.RotateMaxFiles))
	c.Sync = nomadish.Val(s.Sync)
}
