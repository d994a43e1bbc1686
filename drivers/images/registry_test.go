//go:build linux

package images_test

import (
	"context"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
)

// secure is a registry with TLS under the name registry.test, and its certificate.
func secure(t *testing.T) (h *hub, ca string, dial func(context.Context, string, string) (net.Conn, error)) {
	t.Helper()
	h, server := newHub(t, httptest.NewTLSServer)
	ca = filepath.Join(t.TempDir(), "ca.crt")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	h.push(t, "app:1", build(t, "secure", 10), remote.WithTransport(server.Client().Transport))
	return h, ca, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, h.addr)
	}
}

// A registry with a certificate of its own is trusted when the node's configuration says so,
// and else refused with what to do.
func TestPrivateAuthority(t *testing.T) {
	_, ca, dial := secure(t)
	hosts := func(content string, files ...string) string {
		dir := filepath.Join(t.TempDir(), "example.com")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if content != "" {
			files = append(files, "hosts.toml", content)
		}
		for i := 0; i < len(files); i += 2 {
			if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return filepath.Dir(dir)
	}
	certificate, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	// The name is the one in the certificates of httptest.
	const ref = "example.com/app:1"
	for _, tt := range []struct {
		name  string
		cfg   images.Config
		fails string
	}{
		{name: "unknown", fails: "registry_ca"},
		{name: "registry_ca", cfg: images.Config{CA: ca}},
		{name: "registry_ca without a certificate", cfg: images.Config{CA: "/etc/hosts"}, fails: "no certificate"},
		{name: "insecure", cfg: images.Config{Insecure: []string{"example.com"}}},
		{name: "insecure is another", cfg: images.Config{Insecure: []string{"example.org"}}, fails: "registry_ca"},
		{name: "hosts.toml", cfg: images.Config{Hosts: hosts("server = \"https://example.com\"\nca = \"" + ca + "\"\n")}},
		{name: "as Docker keeps it", cfg: images.Config{Hosts: hosts("", "ca.crt", string(certificate))}},
		{name: "plain", cfg: images.Config{PlainHTTP: []string{"example.com"}}, fails: "refuses the request"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t, tt.cfg.WithDial(dial))
			_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref, Force: true})
			switch {
			case tt.fails == "" && err != nil:
				t.Fatal(err)
			case tt.fails == "":
				release()
			case err == nil || !strings.Contains(err.Error(), tt.fails):
				t.Errorf("error %v, want %q", err, tt.fails)
			case drivers.IsRecoverable(err) && tt.name == "unknown":
				t.Errorf("trying again is no help: %v", err)
			}
		})
	}
}

// A mirror is asked first and the registry itself when the mirror has not what is asked; a
// task's credentials for the registry never reach the mirror.
func TestMirror(t *testing.T) {
	mirror, origin := newPlainHub(t), newPlainHub(t)
	dir := filepath.Join(t.TempDir(), strings.Replace(origin.addr, ":", "_", 1)+"_")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	toml := `server = "http://` + origin.addr + `"` + "\n" + `[host."http://` + mirror.addr + `"]` + "\n" + `capabilities = ["pull", "resolve"]` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	mirror.push(t, "both:1", build(t, "both", 10))
	both := origin.push(t, "both:1", build(t, "both", 10))
	only := origin.push(t, "only:1", build(t, "only", 10))
	s := newStore(t, images.Config{Hosts: filepath.Dir(dir)})
	auth := images.Auth{Username: "me", Password: canary}
	get(t, s, images.Request{Ref: both, Auth: auth})
	if mirror.count("blobs") == 0 || origin.count("") != 0 {
		t.Errorf("mirror %v, registry %v", mirror.asked, origin.asked)
	}
	origin.intercept(demand("me"))
	get(t, s, images.Request{Ref: only, Auth: auth})
	mirror.intercept(demand("me"))
	mirror.push(t, "secret:1", build(t, "secret", 10))
	if _, _, err := s.Get(containertest.Context(t), images.Request{Ref: origin.addr + "/secret:1", Auth: auth}); err == nil {
		t.Error("the mirror got the registry's credentials")
	}
}

// A directory that can't be read is told in the log: without it the registry itself is asked.
func TestBrokenDirectory(t *testing.T) {
	h := newPlainHub(t)
	ref := h.push(t, "app:1", build(t, "x", 10))
	dir := filepath.Join(t.TempDir(), "_default")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte("server = \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said transcript
	s, err := images.New(images.Config{Hosts: filepath.Dir(dir), Logger: slog.New(slog.NewTextHandler(&said, nil))}, world.Runtime(t))
	if err != nil {
		t.Fatal(err)
	}
	get(t, s, images.Request{Ref: ref})
	if !strings.Contains(said.String(), "hosts.toml") {
		t.Errorf("the log says %q", said.String())
	}
}
