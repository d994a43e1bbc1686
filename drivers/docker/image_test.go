//go:build linux

package docker_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/process"
	"github.com/nomadish/nomadish/examples/image/archive"
)

// image builds an image whose task prints a text.
func image(t *testing.T, text string) v1.Image {
	t.Helper()
	img, err := archive.Build([]archive.File{{Path: "/task", Mode: 0o755, Content: shared.task}},
		archive.Config{Entrypoint: []string{"/task", "print"}, Cmd: []string{text}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// hub is a registry on loopback; with a password when one is given.
func hub(t *testing.T, password string) string {
	t.Helper()
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		store.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func push(t *testing.T, ref string, img v1.Image, password string) {
	t.Helper()
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	auth := authn.Anonymous
	if password != "" {
		auth = &authn.Basic{Username: "me", Password: password}
	}
	if err := remote.Write(tag, img, remote.WithAuth(auth)); err != nil {
		t.Fatal(err)
	}
}

// An image comes from a registry by tag or digest; one that is here is used as it is, unless
// the tag is latest or the task forces a pull.
func TestPull(t *testing.T) {
	d := newDriver(t)
	host := hub(t, "")
	first, second := image(t, "first"), image(t, "second")
	digest, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/app:1", first, "")
	push(t, host+"/app:latest", first, "")
	prints := func(config map[string]any, want string) {
		t.Helper()
		if got := output(t, d, taskSpec(t, config)); got != want {
			t.Errorf("%v prints %q, want %q", config, got, want)
		}
	}
	byTag := func() map[string]any { return map[string]any{"image": host + "/app:1"} }
	prints(byTag(), "first")
	prints(map[string]any{"image": host + "/app"}, "first")
	prints(map[string]any{"image": host + "/app@" + digest.String()}, "first")
	push(t, host+"/app:1", second, "")
	push(t, host+"/app:latest", second, "")
	prints(byTag(), "first")
	prints(map[string]any{"image": host + "/app"}, "second")
	prints(with(byTag(), "force_pull", true), "second")
}

// A pull that fails says why, and whether trying again can help.
func TestPullFails(t *testing.T) {
	d := newDriver(t)
	host := hub(t, "secret")
	push(t, host+"/app:1", image(t, "private"), "secret")
	auth := func(password string) map[string]any {
		return map[string]any{"image": host + "/app:1", "auth": []any{map[string]any{"username": "me", "password": password}}}
	}
	open := hub(t, "")
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer slow.Close()
	for _, tt := range []struct {
		name   string
		config map[string]any
		want   string
		again  bool
	}{
		{name: "no such image", config: map[string]any{"image": open + "/nothing:1"}, want: "not found"},
		{name: "no credentials", config: map[string]any{"image": host + "/app:1"}, want: "denies access"},
		{name: "wrong credentials", config: auth("guess"), want: "denies access"},
		{
			name:   "credentials of another registry",
			config: map[string]any{"image": host + "/app:1", "auth": []any{map[string]any{"username": "me", "password": "secret", "server_address": "registry.example"}}},
			want:   "denies access",
		},
		{
			name:   "takes too long",
			config: map[string]any{"image": slow.Listener.Addr().String() + "/app:1", "image_pull_timeout": "100ms"},
			want:   "image_pull_timeout", again: true,
		},
		{name: "no name", config: map[string]any{"image": "UPPER CASE"}, want: "image:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := d.Start(testContext(t), taskSpec(t, tt.config))
			if err == nil || !strings.Contains(err.Error(), tt.want) || drivers.IsRecoverable(err) != tt.again {
				t.Errorf("error %v (recoverable: %v), want %q (%v)", err, drivers.IsRecoverable(err), tt.want, tt.again)
			}
		})
	}
	if got := output(t, d, taskSpec(t, auth("secret"))); got != "private" {
		t.Errorf("with the right credentials: %q", got)
	}
}

// BenchmarkStart measures from Start to the running task, its image being here; removing it
// again is not counted.
func BenchmarkStart(b *testing.B) {
	d := newDriver(b)
	h := start(b, d, taskSpec(b, run("sleep")))
	if !process.Running(h.PID) {
		b.Fatal("the first task does not run")
	}
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		spec := taskSpec(b, run("sleep"))
		b.StartTimer()
		h, err := d.Start(testContext(b), spec)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := d.Remove(testContext(b), h); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
