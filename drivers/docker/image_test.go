//go:build linux

package docker_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
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
		{name: "nobody there", config: map[string]any{"image": "127.0.0.1:1/app:1"}, want: "refused", again: true},
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

// Archives of both kinds are read, from the task's directory or an allowed one; the image is
// the one of the asked name.
func TestLoad(t *testing.T) {
	d := newDriver(t)
	dockerArchive := func(t *testing.T, path string) {
		tag, err := name.NewTag("app:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := tarball.WriteToFile(path, tag, image(t, "docker")); err != nil {
			t.Fatal(err)
		}
	}
	ociArchive := func(ref, text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := archive.Write(f, ref, image(t, text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name        string
		write       func(*testing.T, string)
		file        string // relative to the task's directory
		image, load string
		want        string // output, or
		fails       string
	}{
		{name: "docker archive", write: dockerArchive, file: "local/a.tar", image: "app:1", load: "a.tar", want: "docker"},
		{name: "OCI archive", write: ociArchive("app:2", "oci"), file: "local/b.tar", image: "app:2", load: "local/b.tar", want: "oci"},
		{name: "named by tag only", write: ociArchive("3", "tag"), file: "local/c.tar", image: "app:3", load: "c.tar", want: "tag"},
		{name: "another name", write: ociArchive("other:1", "x"), file: "local/d.tar", image: "app:4", load: "d.tar", fails: "holds other:1, not docker.io/library/app:4"},
		{name: "not there", image: "app:5", load: "e.tar", fails: "no such file"},
		{name: "upwards", image: "app:5", load: "../../e.tar", fails: "load"},
		{name: "outside", image: "app:5", load: "/etc/passwd", fails: "outside the task's directory"},
		{
			name: "link to the outside", image: "app:6", load: "l.tar", file: "local/l.tar", fails: "load",
			write: func(t *testing.T, path string) {
				if err := os.Symlink(shared.archive, path); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			name: "no archive", image: "app:7", load: "n.tar", file: "local/n.tar", fails: "no OCI or docker archive",
			write: func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := taskSpec(t, map[string]any{"image": tt.image, "load": tt.load})
			if tt.write != nil {
				tt.write(t, filepath.Join(spec.Dir.Task, tt.file))
			}
			if tt.fails == "" {
				if got := output(t, d, spec); got != tt.want {
					t.Errorf("prints %q, want %q", got, tt.want)
				}
				return
			}
			if _, err := d.Start(testContext(t), spec); err == nil || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want %q", err, tt.fails)
			}
		})
	}
}

// An archive never becomes what others get by its image's name, and a changed archive is
// read again.
func TestLoadedImageStaysApart(t *testing.T) {
	d := newDriver(t)
	host := hub(t, "")
	push(t, host+"/app:1", image(t, "registry"), "")
	ref := host + "/app:1"
	spec := taskSpec(t, map[string]any{"image": ref, "load": "a.tar"})
	for _, text := range []string{"mine", "changed"} {
		f, err := os.Create(filepath.Join(spec.Dir.Local, "a.tar"))
		if err != nil {
			t.Fatal(err)
		}
		if err := archive.Write(f, ref, image(t, text)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		spec.ID = fmt.Sprintf("%s/task/%s", spec.AllocID, text)
		if err := os.Truncate(spec.Stdout, 0); err != nil {
			t.Fatal(err)
		}
		if got := output(t, d, spec); got != text {
			t.Errorf("the archive's task prints %q, want %q", got, text)
		}
	}
	if got := output(t, d, taskSpec(t, map[string]any{"image": ref})); got != "registry" {
		t.Errorf("the registry's task prints %q", got)
	}
}

// BenchmarkStart measures from Start to the running task, its image being here; removing it
// again is not counted.
func BenchmarkStart(b *testing.B) {
	d := newDriver(b)
	h := start(b, d, taskSpec(b, run("sleep")))
	if !drivertest.Alive(h.PID) {
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
