package api_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func ExampleNew() {
	cfg, err := api.FromEnvironment(os.LookupEnv)
	if err != nil {
		panic(err)
	}
	c, err := api.New(cfg)
	if err != nil {
		panic(err)
	}
	jobs, _, err := c.Jobs().List(context.Background(), &api.Query{Namespace: "*"})
	if err != nil {
		panic(err)
	}
	for _, j := range jobs {
		fmt.Println(j.Namespace, j.ID, j.Status)
	}
}

// Nomad's variables are read, and ours win over them.
func TestFromEnvironment(t *testing.T) {
	env := map[string]string{
		"NOMAD_ADDR": "http://nomad", "NOMADISH_ADDR": "http://ours", "NOMAD_TOKEN": "t", "NOMAD_REGION": "r",
		"NOMAD_NAMESPACE": "n", "NOMAD_CACERT": "ca", "NOMADISH_SKIP_VERIFY": "true",
	}
	got, err := api.FromEnvironment(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	want := api.Config{
		Address: "http://ours", Token: "t", Region: "r", Namespace: "n",
		TLS: api.TLSConfig{CACert: "ca", Insecure: true},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	env["NOMADISH_SKIP_VERIFY"] = "maybe"
	if _, err := api.FromEnvironment(func(name string) (string, bool) { v, ok := env[name]; return v, ok }); err == nil {
		t.Error("a bool that is none was taken")
	}
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []api.Config{
		{Address: "ftp://x"},
		{Address: "127.0.0.1:4646"},
		{Address: "http://"},
		{Address: "unix://"},
		{TLS: api.TLSConfig{ClientCert: "only"}},
		{TLS: api.TLSConfig{CACert: "/nonexistent"}},
		{TLS: api.TLSConfig{CAPath: "/nonexistent"}},
	} {
		if _, err := api.New(cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// A query says what it says in the names that the API knows, and the configuration fills
// in what it leaves out.
func TestQuery(t *testing.T) {
	for _, tt := range []struct {
		query *api.Query
		want  string
	}{
		{nil, "namespace=n&region=r"},
		{&api.Query{Namespace: "*", Region: "eu", Stale: true}, "namespace=%2A&region=eu&stale=true"},
		{&api.Query{MinIndex: 5, Wait: time.Minute}, "index=5&namespace=n&region=r&wait=1m0s"},
		{&api.Query{Prefix: "a b", Filter: "x == y", PerPage: 3, NextToken: "t", Reverse: true}, "filter=x+%3D%3D+y&namespace=n&next_token=t&per_page=3&prefix=a+b&region=r&reverse=true"},
		{&api.Query{Params: map[string]string{"meta": "true"}}, "meta=true&namespace=n&region=r"},
	} {
		c := client(t, api.Config{Region: "r", Namespace: "n", Token: "secret"}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != tt.want || r.Header.Get("X-Nomad-Token") != "secret" {
				t.Errorf("got %q, token %q; want %q", r.URL.RawQuery, r.Header.Get("X-Nomad-Token"), tt.want)
			}
			w.Header().Set("X-Nomad-Index", "7")
			w.Header().Set("X-Nomad-NextToken", "next")
			_, _ = fmt.Fprint(w, "[]")
		})
		_, meta, err := c.Jobs().List(t.Context(), tt.query)
		if err != nil || meta != (api.Meta{Index: 7, NextToken: "next"}) {
			t.Errorf("got %+v, %v", meta, err)
		}
	}
}

// client returns a client of a handler.
func client(t *testing.T, cfg api.Config, h http.HandlerFunc) *api.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg.Address = s.URL
	c, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// An answer that is no success is an error with status, text and kind.
func TestErrors(t *testing.T) {
	for status, kind := range map[int]nomadish.Kind{
		400: nomadish.KindInvalid, 403: nomadish.KindDenied, 404: nomadish.KindNotFound, 409: nomadish.KindConflict,
		413: nomadish.KindTooLarge, 429: nomadish.KindLimited, 500: nomadish.KindInternal, 503: nomadish.KindNoLeader, 302: nomadish.KindInternal,
	} {
		c := client(t, api.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, "what is wrong")
		})
		_, err := c.Status().Leader(t.Context())
		var e *api.Error
		if !errors.As(err, &e) || e.StatusCode != status || e.Body != "what is wrong" || nomadish.KindOf(err) != kind {
			t.Errorf("%d: got %#v of kind %d, want kind %d", status, err, nomadish.KindOf(err), kind)
		}
	}
	c := client(t, api.Config{}, func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") })
	if _, err := c.Status().Leader(t.Context()); err == nil {
		t.Error("an answer that is no JSON was taken")
	}
}

// A socket of the file system and TLS with a given authority work as addresses.
func TestAddresses(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, `"leader"`) })
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)

	secure := httptest.NewTLSServer(h)
	t.Cleanup(secure.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []api.Config{
		{Address: "unix://" + path},
		{Address: secure.URL, TLS: api.TLSConfig{CACert: ca}},
		{Address: secure.URL, TLS: api.TLSConfig{CAPath: filepath.Dir(ca)}},
		{Address: secure.URL, TLS: api.TLSConfig{Insecure: true}},
	} {
		c, err := api.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if got, err := c.Status().Leader(t.Context()); err != nil || got != "leader" {
			t.Errorf("%+v: got %q, %v", cfg, got, err)
		}
	}
	c, err := api.New(api.Config{Address: secure.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status().Leader(t.Context()); err == nil {
		t.Error("a certificate of nobody was trusted")
	}
}
