//go:build linux

package images_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/drivers/runtime/engine"
	"github.com/nomadish/nomadish/examples/image/archive"
)

var world containertest.World

func TestMain(m *testing.M) {
	if ref := os.Getenv(pullInChild); ref != "" {
		os.Exit(childPull(ref))
	}
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" { // fuzzing needs no containers, and has many processes
		os.Exit(m.Run())
	}
	os.Exit(world.Main(m, nil))
}

// canary stands for every secret in these tests. It must not show anywhere.
const canary = "canary-7c1e"

// newStore opens the images of the shared runtime, as an agent does.
func newStore(t testing.TB, cfg images.Config) *images.Store {
	t.Helper()
	said := &transcript{}
	t.Cleanup(func() {
		if strings.Contains(said.String(), canary) {
			t.Errorf("the log shows a secret:\n%s", said)
		}
	})
	cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), said), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := images.New(cfg.WithBackoff(time.Millisecond), world.Runtime(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// transcript keeps what was logged.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// get gets an image and lets it go.
func get(t testing.TB, s *images.Store, req images.Request) client.Image {
	t.Helper()
	img, release, err := s.Get(containertest.Context(t), req)
	if err != nil {
		t.Fatalf("get %s: %v", req.Ref, err)
	}
	release()
	return img
}

// layer is bytes that don't compress, different for each seed.
func layer(seed string, size int) []byte {
	out := make([]byte, 0, size+16)
	for x := uint64(14695981039346656037); len(out) < size; {
		for _, c := range seed {
			x = (x ^ uint64(c)) * 1099511628211
		}
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		for i := range 8 {
			out = append(out, byte(x>>(8*i)))
		}
	}
	return out[:size]
}

// build builds an image that no other test has.
func build(t testing.TB, text string, size int) v1.Image {
	t.Helper()
	img, err := archive.Build([]archive.File{{Path: "/data", Mode: 0o644, Content: layer(t.Name()+text, size)}},
		archive.Config{Labels: map[string]string{"text": text}})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func digestOf(t testing.TB, img v1.Image) string {
	t.Helper()
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d.String()
}

// hub is a registry on loopback.
type hub struct {
	addr  string
	mu    sync.Mutex
	asked []string // METHOD PATH of each request that came, with its Range if it has one
	// before may answer a request in the registry's place.
	before func(w http.ResponseWriter, r *http.Request) (answered bool)
}

// newHub starts a registry; tls true: with a certificate of its own making.
func newHub(t testing.TB, start func(http.Handler) *httptest.Server) (*hub, *httptest.Server) {
	t.Helper()
	h := &hub{}
	store := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.asked = append(h.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")))
		before := h.before
		h.mu.Unlock()
		if before == nil || !before(w, r) {
			store.ServeHTTP(w, r)
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(server.Close)
	h.addr = server.Listener.Addr().String()
	return h, server
}

func newPlainHub(t testing.TB) *hub {
	t.Helper()
	h, _ := newHub(t, httptest.NewServer)
	return h
}

// intercept has f see each request from now on.
func (h *hub) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.before = f
}

// count says how many requests had the text in them, since the last call of forget.
func (h *hub) count(text string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, line := range h.asked {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = nil
}

// push puts an image into the registry, past what intercepts.
func (h *hub) push(t testing.TB, ref string, img v1.Image, opts ...remote.Option) string {
	t.Helper()
	h.mu.Lock()
	before := h.before
	h.before = nil
	h.mu.Unlock()
	tag, err := name.ParseReference(h.addr+"/"+ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img, append(opts, remote.WithAuth(authn.Anonymous))...); err != nil {
		t.Fatal(err)
	}
	h.intercept(before)
	h.forget()
	return h.addr + "/" + ref
}

// demand asks for a user and the canary as password.
func demand(user string) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, _ := r.BasicAuth(); u == user && p == canary {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return true
	}
}

// biggest is the digest of an image's largest layer, and its content.
func biggest(t testing.TB, img v1.Image) (string, []byte) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	last := layers[len(layers)-1]
	digest, err := last.Digest()
	if err != nil {
		t.Fatal(err)
	}
	body, err := last.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return digest.String(), content
}

// halfway lets a registry send half of a blob, and no more until the channel is closed or
// the asker has gone.
func halfway(t testing.TB, img v1.Image, goOn <-chan struct{}, gone chan<- struct{}) func(w http.ResponseWriter, r *http.Request) bool {
	t.Helper()
	digest, content := biggest(t, img)
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(content[:len(content)/2])
		_ = http.NewResponseController(w).Flush()
		select {
		case <-goOn:
			_, _ = w.Write(content[len(content)/2:])
		case <-r.Context().Done():
			if gone != nil {
				gone <- struct{}{}
			}
		}
		return true
	}
}

// serveRanges answers requests for parts of a blob, which the test registry does not.
func serveRanges(t testing.TB, img v1.Image) func(w http.ResponseWriter, r *http.Request) bool {
	t.Helper()
	digest, content := biggest(t, img)
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, digest) {
			return false
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		return true
	}
}

// pullInChild names, for a process of these tests, an image that it has to pull.
const pullInChild = "NOMADISH_TEST_PULL"

// childPull pulls an image until it is killed, as an agent whose directories are named by
// the environment.
func childPull(ref string) int {
	e, err := engine.New(engine.Config{DataDir: os.Getenv("NOMADISH_TEST_DIR"), Program: os.Getenv("NOMADISH_TEST_PROGRAM")})
	if err != nil {
		return 2
	}
	r, err := container.New(container.Config{}, e)
	if err != nil {
		return 2
	}
	s, err := images.New(images.Config{}, r)
	if err != nil {
		return 2
	}
	if _, _, err := s.Get(context.Background(), images.Request{Ref: ref}); err != nil {
		return 1
	}
	return 0
}
