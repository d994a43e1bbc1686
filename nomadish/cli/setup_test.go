package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// home is an environment whose user has a directory of its own.
func home(t *testing.T) []string { return []string{"HOME=" + t.TempDir()} }

func good(t *testing.T, r result) result {
	t.Helper()
	if r.code != ExitOK {
		t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	return r
}

// Contexts are kept for the user alone, the current one is used where nothing else names a server, and what is
// known of one cluster is told to no other.
func TestContexts(t *testing.T) {
	env := home(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte("authorities"), 0o600); err != nil {
		t.Fatal(err)
	}
	good(t, runs(t, "secret-of-prod\n", env, "context", "set", "prod", "-address", "https://10.0.0.1:4646", "-region", "eu", "-ca-cert", ca, "-token-stdin"))
	good(t, runs(t, "", env, "context", "set", "test", "-address", "http://10.0.0.2:4646"))
	dir := filepath.Join(strings.TrimPrefix(env[0], "HOME="), ".config", "nomadish")
	for _, name := range []string{contextsFile, "prod.ca.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want it for the user alone", name, info, err)
		}
	}
	for name, tt := range map[string]struct {
		env   []string
		flags remote
		want  string
	}{
		"current":        {nil, remote{}, "http://10.0.0.2:4646   "},
		"by flag":        {nil, remote{context: "prod"}, "https://10.0.0.1:4646 eu prod.ca.pem secret-of-prod"},
		"by environment": {[]string{"NOMADISH_CONTEXT=prod"}, remote{}, "https://10.0.0.1:4646 eu prod.ca.pem secret-of-prod"},
		"another server": {[]string{"NOMAD_ADDR=http://h:1"}, remote{}, "http://h:1   "},
		"by its address": {[]string{"NOMADISH_CONTEXT="}, remote{address: "http://h:2"}, "http://h:2   "},
		"a flag wins":    {[]string{"NOMADISH_CONTEXT=prod"}, remote{token: "mine", region: "us"}, "https://10.0.0.1:4646 us prod.ca.pem mine"},
	} {
		c := &call{Program: Program{Env: lookup(append(tt.env, env...))}, remote: tt.flags}
		cfg, err := c.apiConfig()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		file := ""
		if cfg.TLS.CACert != "" {
			file = filepath.Base(cfg.TLS.CACert)
		}
		if got := fmt.Sprintf("%s %s %s %s", cfg.Address, cfg.Region, file, cfg.Token.Reveal()); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	list := good(t, runs(t, "", env, "context", "list")).stdout + good(t, runs(t, "", env, "context", "show", "prod", "-json")).stdout
	if strings.Contains(list, "secret") || !strings.Contains(list, "prod") {
		t.Errorf("contexts are shown as %s", list)
	}
	if r := runs(t, "", env, "context", "use", "x"); r.code != ExitFailed || !strings.Contains(r.stderr, `no context "x"`) {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	good(t, runs(t, "", env, "context", "use", "prod"))
	good(t, runs(t, "", env, "context", "delete", "prod"))
	if err := os.Chmod(filepath.Join(dir, contextsFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := runs(t, "", env, "context", "list"); r.code != ExitFailed || !strings.Contains(r.stderr, "0600") {
		t.Errorf("a file that others may read: %d %s", r.code, r.stderr)
	}
}

// Certificates made by hand are for the roles that agents know, in Nomad's files, and nothing is overwritten.
func TestCertificatesByHand(t *testing.T) {
	t.Chdir(t.TempDir())
	good(t, runs(t, "", nil, "tls", "ca", "create", "-organization", "Example"))
	for _, args := range [][]string{
		{"-server", "-region", "eu", "-additional-dnsname", "a.example", "-additional-ipaddress", "10.0.0.1"}, {"-client"}, {"-cli"},
	} {
		good(t, runs(t, "", nil, append([]string{"tls", "cert", "create"}, args...)...))
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s %o", e.Name(), info.Mode().Perm()))
	}
	if diff := cmp.Diff([]string{
		"eu-server-nomad-key.pem 600", "eu-server-nomad.pem 644", "global-cli-nomad-key.pem 600", "global-cli-nomad.pem 644",
		"global-client-nomad-key.pem 600", "global-client-nomad.pem 644", "nomad-agent-ca-key.pem 600", "nomad-agent-ca.pem 644",
	}, names); diff != "" {
		t.Error(diff)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certIn(t, "nomad-agent-ca.pem"))
	for file, want := range map[string]string{
		"eu-server-nomad.pem":     "[server.eu.nomad localhost a.example] [127.0.0.1 10.0.0.1]",
		"global-client-nomad.pem": "[client.global.nomad localhost] [127.0.0.1]",
		"global-cli-nomad.pem":    "[cli.global.nomad localhost] [127.0.0.1]",
	} {
		c := certIn(t, file)
		if got := fmt.Sprint(c.DNSNames, c.IPAddresses); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, args := range [][]string{
		{"ca", "create"},
		{"cert", "create", "-client"},
		{"cert", "create"},
		{"cert", "create", "-cli", "-server"},
		{"cert", "create", "-server", "-ca", "none.pem"},
		{"cert", "create", "-server", "-region", "e u"},
		{"ca", "create", "-days", "0"},
	} {
		if r := runs(t, "", nil, append([]string{"tls"}, args...)...); r.code == ExitOK {
			t.Errorf("%q succeeds: %s", args, r.stdout)
		}
	}
}

func certIn(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := certificate.ParsePEM(text)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// The configuration that init replaces is the package's own.
func TestPackagedConfiguration(t *testing.T) {
	text, err := os.ReadFile("../../packaging/nomadish.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(text), packaged); diff != "" {
		t.Error(diff)
	}
}

// setupMachine is where init or join set an agent up.
type setupMachine struct {
	t    *testing.T
	env  []string
	dir  string
	args []string
}

func newSetupMachine(t *testing.T) *setupMachine {
	t.Helper()
	dir := t.TempDir()
	bind := fmt.Sprintf("127.%d.%d.%d", 64+rand.IntN(128), rand.IntN(256), 1+rand.IntN(250))
	return &setupMachine{t, home(t), dir, []string{"-config-dir", dir + "/conf", "-data-dir", dir + "/data", "-bind", bind, "-json"}}
}

// said is what a program writes while it runs.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// up runs init or join, which go on as the agent, and reads into out what they print once the agent is there.
func (m *setupMachine) up(out any, args ...string) (stop func()) {
	m.t.Helper()
	stdout, stderr := &said{}, &said{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- Run(ctx, Program{
			Version: "1.2.3", Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr, Env: lookup(m.env),
			Drivers: func(string, *agent.File, bool, *slog.Logger) (map[string]drivers.Driver, []lifecycle.Part, error) {
				return nil, nil, nil
			},
		}, append(args, m.args...))
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if code := <-ended; code != ExitOK {
				m.t.Errorf("%q ended with %d", args[0], code)
			}
		})
	}
	m.t.Cleanup(stop)
	for end := time.Now().Add(60 * time.Second); json.Unmarshal([]byte(stdout.text()), out) != nil; time.Sleep(5 * time.Millisecond) {
		if len(ended) > 0 || time.Now().After(end) {
			m.t.Fatalf("%q: %s%s", args[0], stdout.text(), stderr.text())
		}
	}
	return stop
}

// One command makes a secured cluster, and one more on each machine adds it; to run them again does no harm.
func TestInitAndJoin(t *testing.T) {
	first := newSetupMachine(t)
	var cluster founded
	stop := first.up(&cluster, "init", "-server-only", "-name", "first")
	if r := runs(t, "", first.env, "node", "status"); r.code != ExitOK {
		t.Errorf("the first command: %d %s", r.code, r.stderr)
	}
	if r := runs(t, "", home(t), "node", "status", "-address", cluster.Address, "-ca-cert", cluster.CA, "-tls-server-name", "localhost"); r.code != ExitFailed || !strings.Contains(r.stderr, "403") && !strings.Contains(r.stderr, "denied") {
		t.Errorf("without a token: %d %s", r.code, r.stderr)
	}
	node, server := newSetupMachine(t), newSetupMachine(t)
	for m, line := range map[*setupMachine]string{node: cluster.JoinClient, server: cluster.JoinServer} {
		var member newMember
		stop := m.up(&member, append(strings.Fields(line)[1:], "-name", "member")...)
		if member.Region != nomadish.DefaultRegion || member.ID == "" {
			t.Errorf("joined as %+v", member)
		}
		stop()
		var again newMember
		m.up(&again, append(strings.Fields(line)[1:], "-name", "member")...)
		if again.ID != member.ID || !strings.Contains(strings.Join(again.Steps, "\n"), "already") {
			t.Errorf("run again: %+v, want the agent that it was", again)
		}
	}
	if r := runs(t, "", newSetupMachine(t).env, append(strings.Fields(cluster.JoinClient)[1:], newSetupMachine(t).args...)...); r.code != ExitFailed || !strings.Contains(r.stderr, "join-token create") {
		t.Errorf("a token that was used: %d %s", r.code, r.stderr)
	}
	stop()
	var again founded
	first.up(&again, "init", "-server-only", "-name", "first")
	if again.Context != cluster.Context || again.JoinServer == cluster.JoinServer || strings.Contains(strings.Join(again.Steps, "\n"), "made") {
		t.Errorf("run again: %+v, want the cluster that it was", again)
	}
	var ca nomadish.AuthoritiesResponse
	for end := time.Now().Add(20 * time.Second); len(ca.Agents) != 3 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		status := good(t, runs(t, "", first.env, "operator", "ca", "status", "-json"))
		if err := json.Unmarshal([]byte(status.stdout), &ca); err != nil {
			t.Fatal(err)
		}
	}
	if len(ca.Authorities) != 1 || len(ca.Agents) != 3 {
		t.Errorf("%d authorities and %d agents, want 1 and 3", len(ca.Authorities), len(ca.Agents))
	}
	for _, a := range ca.Agents {
		if a.Role == string(certificate.Client) {
			revokes(t, first.env, a)
		}
	}
}

// revokes has an agent's certificates be refused, and checks that it is listed.
func revokes(t *testing.T, env []string, a *nomadish.CertifiedAgent) {
	t.Helper()
	if r := runs(t, "", env, "operator", "ca", "revoke"); r.code != ExitUsage {
		t.Errorf("nobody is revoked: %d %s", r.code, r.stderr)
	}
	if r := runs(t, "", env, "operator", "ca", "revoke", "ffffffff-0000-4000-8000-000000000000"); r.code != ExitFailed || !strings.Contains(r.stderr, "server/") {
		t.Errorf("an agent that is not known: %d %s", r.code, r.stderr)
	}
	good(t, runs(t, "", env, "operator", "ca", "revoke", "-reason", "it was stolen", a.ID[:8]))
	good(t, runs(t, "", env, "operator", "ca", "revoke", "-serial", "0A:0b"))
	for _, args := range [][]string{{"revoked", "-verbose"}, {"status", "-verbose"}} {
		list := good(t, runs(t, "", env, append([]string{"operator", "ca"}, args...)...)).stdout
		if !strings.Contains(list, "it was stolen") || !strings.Contains(list, a.ID) || !strings.Contains(list, "0a0b") {
			t.Errorf("%s: %s", args[0], list)
		}
	}
}

// What others have configured is left alone; the files can be written without starting anything.
func TestInitWritesFiles(t *testing.T) {
	m := newSetupMachine(t)
	good(t, runs(t, "", m.env, append([]string{"init", "-files-only"}, m.args...)...))
	text, err := os.ReadFile(filepath.Join(m.dir, "conf", "nomadish.hcl"))
	if err != nil || !strings.HasPrefix(string(text), written) {
		t.Fatalf("%q, %v", text, err)
	}
	good(t, runs(t, "", m.env, append([]string{"init", "-files-only"}, m.args...)...))
	if again, err := os.ReadFile(filepath.Join(m.dir, "conf", "nomadish.hcl")); err != nil || !bytes.Equal(again, text) {
		t.Errorf("run again it writes another file, %v", err)
	}
	other := newSetupMachine(t)
	if err := os.MkdirAll(filepath.Join(other.dir, "conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.dir, "conf", "mine.hcl"), []byte(`data_dir = "/d"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := runs(t, "", other.env, append([]string{"init", "-files-only"}, other.args...)...); r.code != ExitFailed || !strings.Contains(r.stderr, "mine.hcl") {
		t.Errorf("with somebody's configuration: %d %s", r.code, r.stderr)
	}
}
