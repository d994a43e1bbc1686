package secrets_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/secrets"
)

// transit is a stand-in for a service with the documented wire of Vault's transit engine. It
// encrypts with base64: nothing depends on how.
type transit struct {
	*httptest.Server
	status   atomic.Int32 // of all answers; 0: success
	failures atomic.Int32 // answers that still fail
	requests atomic.Int32
}

const transitToken = "transit-token"

func newTransit(t testing.TB) *transit {
	s := &transit{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *transit) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	answer := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(status int, text string) { answer(status, map[string][]string{"errors": {text}}) }
	var in struct{ Plaintext, Ciphertext string }
	switch err := json.NewDecoder(r.Body).Decode(&in); {
	case s.failures.Add(-1) >= 0:
		fail(http.StatusServiceUnavailable, "Vault is sealed")
	case s.status.Load() != 0:
		fail(int(s.status.Load()), "no such luck")
	case err != nil:
		fail(http.StatusBadRequest, err.Error())
	case r.Header.Get("X-Vault-Token") != transitToken || r.Method != http.MethodPost:
		fail(http.StatusForbidden, "permission denied")
	case r.URL.Path == "/v1/transit/encrypt/cluster":
		answer(http.StatusOK, map[string]any{"data": map[string]string{"ciphertext": "vault:v1:" + in.Plaintext}})
	case r.URL.Path == "/v1/transit/decrypt/cluster":
		plain, ok := strings.CutPrefix(in.Ciphertext, "vault:v1:")
		if !ok {
			fail(http.StatusBadRequest, "invalid ciphertext: no prefix")
			return
		}
		answer(http.StatusOK, map[string]any{"data": map[string]string{"plaintext": plain}})
	default:
		fail(http.StatusNotFound, "no handler for route")
	}
}

func (s *transit) wrapper(t testing.TB, cfg secrets.TransitConfig) *secrets.Transit {
	t.Helper()
	cfg.Address, cfg.Wait = s.URL, time.Millisecond
	if cfg.Token == "" {
		cfg.Token = transitToken
	}
	if cfg.KeyName == "" {
		cfg.KeyName = "cluster"
	}
	w, err := secrets.NewTransit(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What a service wraps it unwraps, also when it answers only after a while; what it refuses is
// not tried again, and the error says why.
func TestTransit(t *testing.T) {
	s := newTransit(t)
	w := s.wrapper(t, secrets.TransitConfig{})
	secret := []byte{0, 1, 255, 254}
	s.failures.Store(2)
	wrapped, err := w.Wrap(t.Context(), secret)
	if err != nil || string(wrapped) != "vault:v1:"+base64.StdEncoding.EncodeToString(secret) {
		t.Fatalf("wrapped %q, %v", wrapped, err)
	}
	if got, err := w.Unwrap(t.Context(), wrapped); err != nil || string(got) != string(secret) {
		t.Errorf("unwrapped %q, %v; want %q", got, err, secret)
	}
	for _, tt := range []struct {
		name     string
		cfg      secrets.TransitConfig
		wrapped  string
		status   int32
		requests int32
		says     string
	}{
		{name: "wrong token", cfg: secrets.TransitConfig{Token: "other"}, requests: 1, says: "403: permission denied"},
		{name: "wrong key", cfg: secrets.TransitConfig{KeyName: "other"}, requests: 1, says: "404"},
		{name: "damaged", wrapped: "x", requests: 1, says: "invalid ciphertext"},
		{name: "away", status: http.StatusBadGateway, requests: 4, says: "502: no such luck"},
		{name: "busy", status: http.StatusTooManyRequests, requests: 4, says: "429"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.status.Store(tt.status)
			before := s.requests.Load()
			text := wrapped
			if tt.wrapped != "" {
				text = []byte(tt.wrapped)
			}
			_, err := s.wrapper(t, tt.cfg).Unwrap(t.Context(), text)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if n := s.requests.Load() - before; n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if err != nil && strings.Contains(err.Error(), transitToken) {
				t.Errorf("the error shows the token: %v", err)
			}
		})
	}
}

// Configurations that can't work are refused at once.
func TestTransitConfig(t *testing.T) {
	for name, cfg := range map[string]secrets.TransitConfig{
		"no address": {KeyName: "k"},
		"no URL":     {Address: "localhost", KeyName: "k"},
		"scheme":     {Address: "ftp://localhost", KeyName: "k"},
		"no key":     {Address: "http://localhost"},
		"path":       {Address: "http://localhost", KeyName: "a/b"},
	} {
		if _, err := secrets.NewTransit(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A server that starts while the service is away says so, and goes on once it is back. One
// that has its keys needs the service no more.
func TestServiceAwayAtTheStart(t *testing.T) {
	w, s := newWorld(t), newTransit(t)
	running := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{s.wrapper(t, secrets.TransitConfig{})}})
	sealed, err := running.Seal([]byte("hunter2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.status.Store(http.StatusServiceUnavailable)
	starting := w.keyring(secrets.Config{
		Wrappers: []secrets.Wrapper{s.wrapper(t, secrets.TransitConfig{})}, Retry: time.Millisecond,
	})
	err = starting.Ready(t.Context())
	var locked *secrets.LockedError
	if nomadish.KindOf(err) != nomadish.KindNoLeader || !errors.As(err, &locked) || !strings.Contains(err.Error(), "no such luck") {
		t.Errorf("ready: %v; want an error of kind no leader with the service's words", err)
	}
	if plain, err := running.Open(sealed, nil); err != nil || string(plain) != "hunter2" {
		t.Errorf("a running server opened %q, %v", plain, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- starting.Run(t.Context()) }()
	s.status.Store(0)
	for {
		if plain, err := starting.Open(sealed, nil); err == nil && string(plain) == "hunter2" {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("the keyring ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if got := len(w.states()); got != 1 {
		t.Errorf("%d root keys, want 1", got)
	}
}

// Another wrapping key takes over with a rotation: while both are configured, both are read.
func TestChangeOfTheWrappingKey(t *testing.T) {
	w, s := newWorld(t), newTransit(t)
	file := secrets.NewFile(t.TempDir() + "/wrap.key")
	before := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{file}})
	sealed, err := before.Seal([]byte("hunter2"), nil)
	if err != nil {
		t.Fatal(err)
	}
	service := s.wrapper(t, secrets.TransitConfig{})
	both := w.ready(secrets.Config{Wrappers: []secrets.Wrapper{service, file}})
	key := w.rotate(both, nomadish.KeyringRotateRequest{})
	if key.Wrapped[0].Wrapper != service.Name() {
		t.Errorf("the new root key is wrapped with %s, want %s", key.Wrapped[0].Wrapper, service.Name())
	}
	if plain, err := both.Open(sealed, nil); err != nil || string(plain) != "hunter2" {
		t.Errorf("opened %q, %v", plain, err)
	}
}
