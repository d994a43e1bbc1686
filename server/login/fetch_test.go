package login_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/login"
)

// keyServer answers with keys, or as it is told.
type keyServer struct {
	*httptest.Server
	asked  atomic.Int32
	mu     sync.Mutex
	answer func(w http.ResponseWriter, r *http.Request)
}

func newKeyServer(t *testing.T, start func(*httptest.Server), keys ...jose.JSONWebKey) *keyServer {
	s := &keyServer{}
	s.say(set(t, keys...))
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		answer(w, r)
	}))
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) say(answer func(w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func text(status int, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func set(t *testing.T, keys ...jose.JSONWebKey) func(http.ResponseWriter, *http.Request) {
	t.Helper()
	body, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return text(http.StatusOK, string(body))
}

func jwk(id string, key any) jose.JSONWebKey { return jose.JSONWebKey{KeyID: id, Key: key} }

// from is a method whose keys come from a server.
func from(t *testing.T, s *keyServer) *nomadish.ACLAuthMethod {
	m := method(t)
	m.Config.JWTValidationPubKeys, m.Config.JWKSURL = nil, s.URL+"/keys"
	return m
}

// clock is one that a test sets.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return now.Add(time.Duration(c.at.Load())) }
func (c *clock) pass(time time.Duration) { c.at.Add(int64(time)) }

func signed(t *testing.T, id string, key any) string {
	claims := with(map[string]any{"exp": now.Add(100 * time.Hour).Unix()})
	return sign(t, jose.RS256, key, claims, map[jose.HeaderKey]any{"kid": id})
}

// Keys are fetched once, again when a key is not known, and rotated keys are gone. Those that
// were fetched count for a while when their server is away.
func TestKeysAreKept(t *testing.T) {
	k := keys()
	s := newKeyServer(t, (*httptest.Server).Start, jwk("1", k.rsa.Public()))
	c := &clock{}
	v := login.New(login.Config{Now: c.now})
	m := from(t, s)
	verify := func(step, id string, key any, let bool, asked int32) {
		t.Helper()
		_, err := v.Verify(t.Context(), m, signed(t, id, key))
		if (err == nil) != let || s.asked.Load() != asked {
			t.Errorf("%s: error %v, asked %d times; want let in %v, %d times", step, err, s.asked.Load(), let, asked)
		}
	}
	verify("first", "1", k.rsa, true, 1)
	verify("again", "1", k.rsa, true, 1)
	verify("key that is not known, at once", "2", k.other, false, 1)
	c.pass(11 * time.Second)
	verify("key that is not known, later", "2", k.other, false, 2)
	verify("and at once again", "3", k.other, false, 2)
	s.say(set(t, jwk("2", k.other.Public())))
	c.pass(11 * time.Second)
	verify("rotated: the new one", "2", k.other, true, 3)
	verify("rotated: the old one", "1", k.rsa, false, 3)
	s.say(text(http.StatusServiceUnavailable, "down"))
	c.pass(2 * time.Hour)
	verify("down: the keys are old", "2", k.other, true, 4)
	verify("down: not asked all the time", "2", k.other, true, 4)
	c.pass(23 * time.Hour)
	verify("down: the keys are too old", "2", k.other, false, 5)
}

// What a key server may answer that is no use, or worse.
func TestKeyServerAnswers(t *testing.T) {
	k := keys()
	other := newKeyServer(t, (*httptest.Server).Start, jwk("1", k.rsa.Public()))
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"an error":         text(http.StatusInternalServerError, "no"),
		"not found":        text(http.StatusNotFound, "no"),
		"no JSON":          text(http.StatusOK, "hello"),
		"no keys":          text(http.StatusOK, `{}`),
		"too much":         text(http.StatusOK, `{"keys":["`+strings.Repeat("x", 1<<20)+`"]}`),
		"too many keys":    text(http.StatusOK, `{"keys":[`+strings.Repeat(`{},`, 300)+`{}]}`),
		"a redirect":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"a shared secret":  set(t, jwk("1", []byte("secret secret secret secret secret"))),
		"another key":      set(t, jwk("1", k.other.Public())),
		"a private key":    set(t, jwk("1", k.other)),
		"a short key":      set(t, jwk("1", k.small.Public())),
		"another alg":      set(t, jose.JSONWebKey{KeyID: "1", Key: k.rsa.Public(), Algorithm: "PS256"}),
		"another use":      set(t, jose.JSONWebKey{KeyID: "1", Key: k.rsa.Public(), Use: "enc"}),
		"another ID":       set(t, jwk("11", k.rsa.Public())),
		"a key of a curve": set(t, jwk("1", k.ec.Public())),
	} {
		t.Run(name, func(t *testing.T) {
			s := newKeyServer(t, (*httptest.Server).Start)
			s.say(answer)
			if _, err := verifier().Verify(t.Context(), from(t, s), signed(t, "1", k.rsa)); err == nil {
				t.Error("let in")
			}
		})
	}
	if n := other.asked.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

// Somebody who waits for a slow key server holds up nobody for longer than the time that the
// server has.
func TestSlowKeyServer(t *testing.T) {
	s := newKeyServer(t, (*httptest.Server).Start)
	s.say(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	v := login.New(login.Config{Now: func() time.Time { return now }, Timeout: 200 * time.Millisecond})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := v.Verify(t.Context(), from(t, s), signed(t, "1", keys().rsa)); err == nil {
				t.Error("let in")
			}
		})
	}
	group.Wait()
	if n := s.asked.Load(); n > 1 {
		t.Errorf("asked %d times, want no more than once", n)
	}
}

// Over TLS the method's own authority counts, and no other.
func TestKeyServerOverTLS(t *testing.T) {
	s := newKeyServer(t, (*httptest.Server).StartTLS, jwk("1", keys().rsa.Public()))
	m := from(t, s)
	if _, err := verifier().Verify(t.Context(), m, signed(t, "1", keys().rsa)); err == nil {
		t.Error("let in by a server that nobody knows")
	}
	m.Config.JWKSCACert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	if _, err := verifier().Verify(t.Context(), m, signed(t, "1", keys().rsa)); err != nil {
		t.Error(err)
	}
}

// An OpenID provider says where its keys are, and is who the method says.
func TestDiscovery(t *testing.T) {
	s := newKeyServer(t, (*httptest.Server).Start)
	keySet := set(t, jwk("1", keys().rsa.Public()))
	say := func(issuer, at string) {
		s.say(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/.well-known/openid-configuration":
				fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, issuer, at)
			case "/keys":
				keySet(w, r)
			default:
				http.NotFound(w, r)
			}
		})
	}
	m := from(t, s)
	m.Config.JWKSURL, m.Config.OIDCDiscoveryURL = "", s.URL
	for _, tt := range []struct {
		name, issuer, at string
		ok               bool
	}{
		{"good", s.URL, s.URL + "/keys", true},
		{"slash at the end", s.URL + "/", s.URL + "/keys", true},
		{"another issuer", "https://evil.example.com", s.URL + "/keys", false},
		{"keys in a file", s.URL, "file:///etc/passwd", false},
		{"no keys", s.URL, "", false},
	} {
		say(tt.issuer, tt.at)
		if _, err := verifier().Verify(t.Context(), m, signed(t, "1", keys().rsa)); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Keys are not fetched from where only this machine's network card answers.
func TestForbiddenAddresses(t *testing.T) {
	for _, at := range []string{"http://169.254.169.254/latest", "http://[fe80::1]/keys", "http://0.0.0.0:1/keys", "http://224.0.0.1/keys"} {
		m := method(t)
		m.Config.JWTValidationPubKeys, m.Config.JWKSURL = nil, at
		_, err := verifier().Verify(t.Context(), m, signed(t, "1", keys().rsa))
		if err == nil || !strings.Contains(err.Error(), "keys are not fetched from") {
			t.Errorf("%s: error %v", at, err)
		}
	}
}
