//go:build linux

package images_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
)

// An image comes by tag or digest; one that is here is taken as it is, unless its tag is
// latest or the task forces a pull.
func TestGet(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	first, second := build(t, "first", 1000), build(t, "second", 1000)
	tagged, newest := h.push(t, "app:1", first), h.push(t, "app:latest", first)
	check := func(req images.Request, want string) {
		t.Helper()
		if got := get(t, s, req).Target().Digest.String(); got != want {
			t.Errorf("%s is %s, want %s", req.Ref, got, want)
		}
	}
	one, two := digestOf(t, first), digestOf(t, second)
	check(images.Request{Ref: tagged}, one)
	check(images.Request{Ref: newest}, one)
	check(images.Request{Ref: h.addr + "/app@" + one}, one)
	h.push(t, "app:1", second)
	h.push(t, "app:latest", second)
	check(images.Request{Ref: tagged}, one)
	if n := h.count("GET"); n != 0 {
		t.Errorf("the registry was asked %d times for what is here", n)
	}
	check(images.Request{Ref: newest}, two)
	check(images.Request{Ref: tagged, Force: true}, two)
}

// stopping is an engine whose user gives up as soon as it has been found.
type stopping struct {
	images.Engine
	stop context.CancelFunc
}

func (e stopping) Snapshotter(ctx context.Context, c *client.Client) (string, error) {
	defer e.stop()
	return e.Engine.Snapshotter(ctx, c)
}

// A start that is given up while its image is looked for ends with an error that says so, and
// no longer holds the image.
func TestGetGivenUp(t *testing.T) {
	h := newPlainHub(t)
	ref := h.push(t, "app:1", build(t, "given up", 10))
	for _, req := range []images.Request{{Ref: ref}, {Ref: ref, Force: true}} {
		get(t, newStore(t, images.Config{}), req)
		ctx, cancel := context.WithCancel(containertest.Context(t))
		s, err := images.New(images.Config{}, stopping{world.Runtime(t), cancel})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Get(ctx, req); !errors.Is(err, context.Canceled) {
			t.Errorf("force %t: error %v", req.Force, err)
		}
		if err := s.Remove(containertest.Context(t), ref, false); err != nil {
			t.Errorf("force %t: remove: %v", req.Force, err)
		}
	}
}

// An image without a variant for this machine is refused in words.
func TestGetOtherPlatform(t *testing.T) {
	s, h := newStore(t, images.Config{}), newPlainHub(t)
	ref := h.push(t, "app:1", build(t, "x", 10))
	h.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		body := `{"schemaVersion":2,"mediaType":"` + string(types.OCIImageIndex) + `","manifests":[{"mediaType":"` +
			string(types.OCIManifestSchema1) + `","digest":"sha256:` + strings.Repeat("0", 64) + `","size":2,"platform":{"os":"plan9","architecture":"vax"}}]}`
		w.Header().Set("Content-Type", string(types.OCIImageIndex))
		_, _ = w.Write([]byte(body))
		return true
	})
	_, _, err := s.Get(containertest.Context(t), images.Request{Ref: ref, Force: true})
	if err == nil || !strings.Contains(err.Error(), "platform") || drivers.IsRecoverable(err) {
		t.Errorf("error %v", err)
	}
}

// What fails says why and whether trying again helps, and never shows a secret.
func TestGetFails(t *testing.T) {
	private, open := newPlainHub(t), newPlainHub(t)
	secret := private.push(t, "app:1", build(t, "private", 10))
	private.intercept(demand("me"))
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(silent.Close)
	broken := newPlainHub(t)
	broken.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "tired", http.StatusInternalServerError)
		return true
	})
	leaky := newPlainHub(t)
	leaky.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://127.0.0.1:1/blob?signature="+canary, http.StatusTemporaryRedirect)
		return true
	})
	s := newStore(t, images.Config{Idle: 200 * time.Millisecond})
	mine := func(password, server string) images.Auth {
		return images.Auth{Username: "me", Password: password, Server: server}
	}
	for _, tt := range []struct {
		name  string
		req   images.Request
		want  []string
		again bool
	}{
		{name: "no such image", req: images.Request{Ref: open.addr + "/nothing:1"}, want: []string{"not found", open.addr, "nothing:1"}},
		{name: "no credentials", req: images.Request{Ref: secret}, want: []string{"denies access", "auth block"}},
		{name: "wrong credentials", req: images.Request{Ref: secret, Auth: mine(canary+"x", "")}, want: []string{"denies access"}},
		{name: "credentials of another registry", req: images.Request{Ref: secret, Auth: mine(canary, "registry.example")}, want: []string{"denies access"}},
		{name: "nobody there", req: images.Request{Ref: "127.0.0.1:1/app:1"}, want: []string{"refused"}, again: true},
		{name: "broken", req: images.Request{Ref: broken.addr + "/app:1"}, want: []string{"a fault of its own", "500"}, again: true},
		{name: "secret in an address", req: images.Request{Ref: leaky.addr + "/app:1"}, want: []string{"refused"}, again: true},
		{name: "silent", req: images.Request{Ref: silent.Listener.Addr().String() + "/app:1"}, want: []string{"pull_activity_timeout"}, again: true},
		{
			name: "takes too long", req: images.Request{Ref: silent.Listener.Addr().String() + "/app:2", Timeout: 50 * time.Millisecond},
			want: []string{"image_pull_timeout"}, again: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := s.Get(containertest.Context(t), tt.req)
			if err == nil || drivers.IsRecoverable(err) != tt.again {
				t.Fatalf("error %v, recoverable %v", err, drivers.IsRecoverable(err))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q has no %q", err, want)
				}
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("a secret shows: %v", err)
			}
		})
	}
	if n := private.count("HEAD"); n > 12 {
		t.Errorf("the registry that denies access was asked %d times", n)
	}
	get(t, s, images.Request{Ref: secret, Auth: mine(canary, "")})
}

// Credentials come from the task, else from Docker's file and the helpers that it names,
// else from the node's helper.
func TestCredentials(t *testing.T) {
	h := newPlainHub(t)
	ref := h.push(t, "app:1", build(t, "x", 10))
	h.intercept(demand("me"))
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	helper := func(name, script string) { write("docker-credential-"+name, "#!/bin/sh\n"+script, 0o755) }
	helper("good", `read server; [ "$1" = get ] && [ "$server" = "`+h.addr+`" ] && [ -z "$NOMAD_TOKEN" ] && echo '{"Username":"me","Secret":"`+canary+`"}'`)
	helper("empty", `echo "credentials not found in native keychain"; exit 1`)
	helper("fails", `echo `+canary+`; echo `+canary+` >&2; exit 1`)
	helper("endless", `while :; do echo `+canary+`; done`)
	helper("nonsense", `echo `+canary)
	t.Setenv("NOMAD_TOKEN", canary)
	auths := write("auths.json", `{"auths":{"http://`+h.addr+`/v1/":{"auth":"bWU6Y2FuYXJ5LTdjMWU="}}}`, 0o600)
	for _, tt := range []struct {
		name  string
		cfg   images.Config
		soft  bool
		fails string
	}{
		{name: "file", cfg: images.Config{Auth: auths}},
		{name: "file with a helper", cfg: images.Config{Auth: write("helpers.json", `{"credHelpers":{"`+h.addr+`":"good"}}`, 0o600)}},
		{name: "file with a store", cfg: images.Config{Auth: write("store.json", `{"credsStore":"good"}`, 0o600)}},
		{name: "helper", cfg: images.Config{Helper: "good"}},
		{name: "helper that has none", cfg: images.Config{Helper: "empty"}, fails: "denies access"},
		{name: "helper after the file", cfg: images.Config{Helper: "good", Auth: write("none.json", `{}`, 0o600)}},
		{name: "helper fails", cfg: images.Config{Helper: "fails"}, fails: "docker-credential-fails"},
		{name: "helper fails softly", cfg: images.Config{Helper: "fails"}, soft: true, fails: "denies access"},
		{name: "helper says too much", cfg: images.Config{Helper: "endless"}, fails: "more than 65536 bytes"},
		{name: "helper says nonsense", cfg: images.Config{Helper: "nonsense"}, fails: "no JSON"},
		{name: "no such helper", cfg: images.Config{Helper: "missing"}, fails: "not found"},
		{name: "helper upwards", cfg: images.Config{Auth: write("evil.json", `{"credsStore":"../good"}`, 0o600)}, fails: "not the name"},
		{name: "broken file", cfg: images.Config{Auth: write("broken.json", `{"auths": "`+canary, 0o600)}, fails: "no JSON at byte"},
		{name: "no file", cfg: images.Config{Auth: filepath.Join(dir, "missing.json")}, fails: "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.HelperPath = dir
			s := newStore(t, tt.cfg)
			_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref, Force: true, AuthSoftFail: tt.soft})
			if tt.fails == "" {
				if err != nil {
					t.Fatal(err)
				}
				release()
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.fails) || strings.Contains(err.Error(), canary) || drivers.IsRecoverable(err) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
		})
	}
}

// A configuration with faults is refused with all of them.
func TestConfig(t *testing.T) {
	_, err := images.New(images.Config{Helper: "-x", Hosts: "certs.d", MaxPulls: -1}, nil)
	for _, want := range []string{"auth.helper", "registry_config_path", "max_pulls"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v has no %q", err, want)
		}
	}
}
