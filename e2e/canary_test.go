//go:build linux

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/e2e/machine"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// hunt is a search for secrets where they do not belong.
type hunt struct {
	t       *testing.T
	secrets map[string]string // by what they are
	looked  int               // how many texts were searched
}

// in fails the test if a text holds a secret, as it is or encoded.
func (h *hunt) in(where, text string) {
	h.t.Helper()
	h.looked++
	for what, secret := range h.secrets {
		for form, s := range map[string]string{
			"": secret, " in hexadecimal": hex.EncodeToString([]byte(secret)),
			" in base64": strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(secret)), "="),
		} {
			if strings.Contains(text, s) {
				h.t.Errorf("%s holds the %s%s", where, what, form)
			}
		}
	}
}

// secureNode starts an agent with access control, TLS, an audit log and frequent snapshots.
// It returns a management token's secret and the secret part of the TLS key.
func secureNode(t *testing.T) (n *machine.Node, management, tlsKey string) {
	t.Helper()
	files := t.TempDir()
	tlsKey = writeCertificate(t, files)
	n, err := machine.New(machine.Config{Dir: t.TempDir(), Agent: map[string]any{
		"acl":   map[string]any{"enabled": true},
		"audit": map[string]any{"enabled": true},
		"tls": map[string]any{
			"http": true, "cert_file": filepath.Join(files, "cert.pem"), "key_file": filepath.Join(files, "key.pem"),
		},
		"server": map[string]any{
			"enabled": true, "bootstrap_expect": 1, "raft_snapshot_threshold": 8, "raft_snapshot_interval": "1s", "raft_trailing_logs": 16,
		},
	}})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	must(t, n.Start())
	management = nomadish.NewID()
	connect := func(token string) {
		n.API, err = api.New(api.Config{
			Address: "https://" + n.Addr, Token: nomadish.SecretText(token), TLS: api.TLSConfig{CACert: filepath.Join(files, "cert.pem")},
		})
		must(t, err)
	}
	connect("")
	must(t, machine.Until(testContext(t), "the first token is made", func(ctx context.Context) error {
		_, err := n.API.ACL().Bootstrap(ctx, nomadish.SecretText(management))
		return err
	}))
	connect(management)
	must(t, n.Ready(testContext(t)))
	return n, management, tlsKey
}

// writeCertificate writes a certificate for this machine and its key, and returns a line of the key.
func writeCertificate(t *testing.T, dir string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	encoded := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), encoded, 0o600))
	return strings.Split(string(encoded), "\n")[1]
}

// identified is a job whose task gets its identity in a file and in its environment.
func identified() *nomadish.Job {
	job := machine.Shell("identified", nomadish.JobTypeService, "exec sleep 1000")
	job.TaskGroups[0].Tasks[0].Identities = []*nomadish.WorkloadIdentity{{Env: true, File: true, Audience: []string{"nomadproject.io"}}}
	return job
}

// The cluster's own secrets - a variable, tokens, an identity, a provider's client secret, the
// key of the API's certificate - are found in no file but those that are for them, in no
// log, event, metric, debug archive or audit log, on no command line and in no other
// process's environment, also after snapshots, a rotation of the keys and a restart.
func TestClusterSecretsStayWhereTheyBelong(t *testing.T) {
	n, management, tlsKey := secureNode(t)
	ctx := testContext(t)
	h := &hunt{t: t, secrets: map[string]string{
		"management token": management, "TLS key": tlsKey, "variable": "canary-5d1f-variable", "client secret": "canary-77ab-provider",
	}}
	events := collectEvents(t, n)
	putSecrets(t, n, h)
	_, err := n.Register(ctx, identified())
	must(t, err)
	_, err = n.Register(ctx, machine.Shell("neighbour", nomadish.JobTypeService, "exec sleep 1000"))
	must(t, err)
	a, err := n.Allocation(ctx, "identified", nomadish.AllocClientRunning, nomadish.AllocClientFailed)
	must(t, err)
	if a.ClientStatus != nomadish.AllocClientRunning {
		t.Fatalf("it is %s, events %v", a.ClientStatus, machine.Events(a))
	}
	_, err = n.Allocation(ctx, "neighbour", nomadish.AllocClientRunning)
	must(t, err)
	identity, err := os.ReadFile(filepath.Join(n.AllocFile(a.ID, "main"), "secrets", "nomad_token"))
	must(t, err)
	h.secrets["identity"] = string(identity)
	huntProcesses(h, n, a.ID)
	must(t, machine.Until(ctx, "a snapshot is made", func(context.Context) error { return snapshotThere(n) }))
	for _, path := range []string{"/v1/metrics", "/v1/agent/self", "/v1/vars", "/v1/acl/tokens", "/v1/acl/auth-methods", "/v1/acl/auth-method/provider", "/v1/jobs?meta=true", "/v1/allocation/" + a.ID, "/v1/allocations?resources=true&task_states=true", "/v1/job/identified/allocations?all=true", "/v1/node/" + a.NodeID + "/allocations", "/v1/operator/keyring/keys"} {
		h.in(path, answer(t, n, path))
	}
	debugFiles(t, func(name, text string) { h.in("operator debug, "+name, text) },
		"NOMAD_ADDR=https://"+n.Addr, "NOMAD_TOKEN="+management, "NOMAD_SKIP_VERIFY=true")
	h.in("the event stream", events())
	must(t, n.Kill())
	must(t, n.Start())
	must(t, n.Ready(ctx))
	huntFiles(h, n)
	if h.looked < 50 {
		t.Errorf("%d texts were searched: this test looks in the wrong place", h.looked)
	}
	must(t, n.Stopped(ctx, "identified", true))
	must(t, n.Stopped(ctx, "neighbour", true))
}

// putSecrets puts secrets into the cluster.
func putSecrets(t *testing.T, n *machine.Node, h *hunt) {
	t.Helper()
	ctx := testContext(t)
	_, err := n.API.Variables().Set(ctx, &nomadish.Variable{
		VariableMetadata: nomadish.VariableMetadata{Path: "app/db"}, Items: nomadish.VariableItems{"password": h.secrets["variable"]},
	}, nil)
	must(t, err)
	must(t, n.API.ACL().PutPolicy(ctx, &nomadish.ACLPolicy{Name: "reader", Rules: `namespace "default" { policy = "read" }`}))
	token, err := n.API.ACL().PutToken(ctx, &nomadish.ACLToken{Name: "reader", Type: nomadish.ACLTokenClient, Policies: []string{"reader"}})
	must(t, err)
	h.secrets["token"] = token.SecretID.Reveal()
	once, err := n.API.ACL().OneTimeToken(ctx)
	must(t, err)
	h.secrets["one-time token"] = once.OneTimeSecretID.Reveal()
	_, err = n.API.ACL().PutAuthMethod(ctx, &nomadish.ACLAuthMethod{
		Name: "provider", Type: nomadish.ACLAuthMethodOIDC, TokenLocality: "local", MaxTokenTTL: nomadish.TextDuration(time.Hour),
		Config: &nomadish.ACLAuthMethodConfig{
			OIDCDiscoveryURL: "https://provider.example", OIDCClientID: "nomadish",
			OIDCClientSecret: nomadish.SecretText(h.secrets["client secret"]), AllowedRedirectURIs: []string{"http://localhost:4649/oidc/callback"},
		},
	})
	must(t, err)
	_, err = n.API.Variables().Set(ctx, &nomadish.Variable{
		VariableMetadata: nomadish.VariableMetadata{Path: "app/db"}, Items: nomadish.VariableItems{"password": h.secrets["variable"], "more": "x"},
	}, nil)
	must(t, err)
}

// collectEvents gathers the event stream until it is asked for.
func collectEvents(t *testing.T, n *machine.Node) func() string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var text strings.Builder
	var reading sync.WaitGroup
	began := make(chan struct{})
	reading.Go(func() {
		once := sync.OnceFunc(func() { close(began) })
		for line, err := range n.API.Events().Lines(ctx, &nomadish.EventRequest{Namespace: "*", Topics: []nomadish.EventTopic{{Topic: "*", Key: "*"}}}) {
			once()
			if err != nil {
				break
			}
			text.Write(line)
		}
		once()
	})
	t.Cleanup(cancel)
	<-began
	return func() string {
		cancel()
		reading.Wait()
		if text.Len() < 1000 {
			t.Errorf("the event stream told little: %s", text.String())
		}
		return text.String()
	}
}

func answer(t *testing.T, n *machine.Node, path string) string {
	t.Helper()
	resp, err := n.API.Raw(testContext(t), http.MethodGet, path, nil, nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", path, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(text)
}

func snapshotThere(n *machine.Node) error {
	files, err := filepath.Glob(filepath.Join(n.DataDir(), "server", "snapshots", "*"))
	if err == nil && len(files) == 0 {
		err = errors.New("there is none yet")
	}
	return err
}

// huntProcesses looks at the command lines of all of the node's processes, and at the
// environment of all but the task that an identity is for.
func huntProcesses(h *hunt, n *machine.Node, allocID string) {
	h.t.Helper()
	all, err := n.Processes()
	must(h.t, err)
	for _, p := range all {
		h.in(fmt.Sprintf("the command line of process %d", p.PID), strings.Join(p.Args, " "))
		env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
		must(h.t, err)
		text := string(env)
		if strings.Contains(p.Group, allocID) {
			text = strings.ReplaceAll(text, h.secrets["identity"], "")
		}
		h.in(fmt.Sprintf("the environment of %s", p), text)
	}
}

// huntFiles looks at all that the node has written but the secrets directories of its tasks.
func huntFiles(h *hunt, n *machine.Node) {
	h.t.Helper()
	must(h.t, filepath.WalkDir(filepath.Dir(n.Log()), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!d.Type().IsRegular() || filepath.Base(filepath.Dir(path)) == "secrets") {
			return nil
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // it has just been removed
		}
		h.in("file "+path, string(text))
		return nil
	}))
}
