package agent_test

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/audit"
	"github.com/nomadish/nomadish/nomadish/httpapi"
	"github.com/nomadish/nomadish/nomadish/transport"
)

func configOf(t *testing.T, text string) (agent.Config, error) {
	t.Helper()
	file, warnings, err := load(t, text)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("load: %v, warnings %q", err, warnings)
	}
	return file.Config()
}

// The blocks that protect an agent say what they say in Nomad, with its defaults.
func TestProtection(t *testing.T) {
	cfg, err := configOf(t, `
data_dir = "/d"
tls {
  http                = true
  ca_file             = "ca.pem"
  cert_file           = "cert.pem"
  key_file            = "key.pem"
  verify_https_client = true
  tls_min_version     = "tls13"
  tls_cipher_suites   = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
}
audit {
  enabled = true
  sink "file" {
    type               = "file"
    format             = "json"
    delivery_guarantee = "best-effort"
    path               = "/var/log/nomadish/audit.log"
    mode               = "0640"
    rotate_bytes       = 1000
    rotate_duration    = "12h"
    rotate_max_files   = 3
  }
  filter "metrics" {
    type       = "HTTPEvent"
    endpoints  = ["/v1/metrics"]
    stages     = ["*"]
    operations = ["GET"]
  }
}
limits {
  http_requests_per_address = 10
  http_requests_per_token   = 0
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := agent.Config{
		TLS: &transport.TLSConfig{
			CertFile: "cert.pem", KeyFile: "key.pem", CAFile: "ca.pem", VerifyClient: true, MinVersion: tls.VersionTLS13,
			CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		},
		Audit: &audit.Config{
			Path: "/var/log/nomadish/audit.log", Mode: 0o640, BestEffort: true,
			RotateBytes: 1000, RotateDuration: 12 * time.Hour, RotateMaxFiles: 3,
			Filters: []audit.Filter{{Endpoints: []string{"/v1/metrics"}, Stages: []string{"*"}, Operations: []string{"GET"}}},
		},
		Rates: httpapi.Rates{PerAddress: 10, PerToken: -1},
	}
	got := agent.Config{TLS: cfg.TLS, Audit: cfg.Audit, Rates: cfg.Rates}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}

	cfg, err = configOf(t, "data_dir = \"/d\"\naudit {\n  enabled = true\n}\ntls {\n  cert_file = \"c\"\n}")
	if err != nil || cfg.TLS != nil || cfg.Audit == nil || cfg.Audit.Path != filepath.Join("/d", "audit", "audit.log") || cfg.Audit.BestEffort {
		t.Errorf("defaults: TLS %+v, audit %+v, %v", cfg.TLS, cfg.Audit, err)
	}
}

// What can't be meant is refused by its name.
func TestProtectionRefuses(t *testing.T) {
	for key, text := range map[string]string{
		"tls.tls_min_version":   `tls { http = true tls_min_version = "tls10" }`,
		"tls.tls_cipher_suites": `tls { http = true tls_cipher_suites = "TLS_RSA_WITH_RC4_128_SHA" }`,
		"audit: 2 sinks":        "audit {\n enabled = true\n sink \"a\" {}\n sink \"b\" {}\n}",
		"type":                  "audit {\n enabled = true\n sink \"a\" { type = \"syslog\" }\n}",
		"format":                "audit {\n enabled = true\n sink \"a\" { format = \"xml\" }\n}",
		"delivery_guarantee":    "audit {\n enabled = true\n sink \"a\" { delivery_guarantee = \"maybe\" }\n}",
		"mode":                  "audit {\n enabled = true\n sink \"a\" { mode = \"rw\" }\n}",
		"rotate_duration":       "audit {\n enabled = true\n sink \"a\" { rotate_duration = \"soon\" }\n}",
		`audit.filter "f": typ`: "audit {\n enabled = true\n filter \"f\" { type = \"RPC\" }\n}",
	} {
		if _, err := configOf(t, text); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, want an error that names %s", text, err, key)
		}
	}
}

// The connections between agents are encrypted as Nomad's files say, and where they can't be the
// agent does not start.
func TestPeersAreEncrypted(t *testing.T) {
	cfg, err := configOf(t, `
data_dir = "/d"
server { enabled = true }
tls {
  rpc                    = true
  ca_file                = "ca.pem"
  cert_file              = "cert.pem"
  key_file               = "key.pem"
  verify_server_hostname = true
  rpc_upgrade_mode       = true
}`)
	if err != nil {
		t.Fatal(err)
	}
	want := &agent.PeerTLS{CAFile: "ca.pem", CertFile: "cert.pem", KeyFile: "key.pem", PeerTLSConfig: transport.PeerTLSConfig{Upgrade: true}}
	if diff := cmp.Diff(want, cfg.PeerTLS, cmpopts.IgnoreFields(transport.PeerTLSConfig{}, "Now")); diff != "" || cfg.TLS != nil {
		t.Errorf("API %+v, agents %s", cfg.TLS, diff)
	}
	for name, text := range map[string]string{
		"no files":       `tls { rpc = true }`,
		"files are gone": `tls { rpc = true ca_file = "ca.pem" cert_file = "cert.pem" key_file = "key.pem" }`,
		"not joined yet": `tls { managed = true }`,
	} {
		cfg, err := configOf(t, "server { enabled = true }\n"+text)
		if err != nil {
			t.Fatal(err)
		}
		cfg.DataDir, cfg.HTTP, cfg.RPC = t.TempDir(), nil, "127.0.0.1:0"
		if a, err := agent.New(cfg); err == nil || !strings.Contains(err.Error(), "tls:") {
			t.Errorf("%s: %v, want an error of tls", name, err)
			if a != nil {
				_ = a.Close()
			}
		}
	}
}
