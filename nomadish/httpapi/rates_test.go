package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// Of requests at once as many are taken as the burst allows, the next one is told how long
// to wait, and is taken then. Others are not affected.
func TestRatesAreKept(t *testing.T) {
	m := newMeter(Rates{PerAddress: 10, PerToken: 5, Burst: 2})
	now := time.Unix(1000, 0)
	for i := range 20 {
		if wait, _ := m.take(now, "192.0.2.1", ""); wait != 0 {
			t.Fatalf("request %d: wait %v", i, wait)
		}
	}
	wait, what := m.take(now, "192.0.2.1", "")
	if wait != 100*time.Millisecond || what != "one address" {
		t.Errorf("beyond the burst: wait %v for %s, want 100ms for one address", wait, what)
	}
	if wait, _ := m.take(now, "192.0.2.2", ""); wait != 0 {
		t.Errorf("another address: wait %v", wait)
	}
	if wait, _ := m.take(now.Add(wait), "192.0.2.1", ""); wait != 0 {
		t.Errorf("after the wait: wait %v", wait)
	}
	for i := range 10 {
		if wait, _ := m.take(now, fmt.Sprintf("198.51.100.%d", i), "secret"); wait != 0 {
			t.Fatalf("request %d with a token: wait %v", i, wait)
		}
	}
	if wait, what := m.take(now, "203.0.113.1", "secret"); wait == 0 || what != "one token" {
		t.Errorf("a token beyond its burst, from elsewhere: wait %v for %s", wait, what)
	}
}

// The addresses of an IPv6 network of 64 bits, which one machine may have, count as one.
func TestAddressesOfOneNetwork(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8::1", "2001:db8::ffff:2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"pipe", "pipe", true},
		{"pipe", "other", false},
	} {
		if got := addressKey(tt.a) == addressKey(tt.b); got != tt.same {
			t.Errorf("%s and %s count as one: %v, want %v", tt.a, tt.b, got, tt.same)
		}
	}
}

// However many addresses ask, no more are remembered than the bound, and those that are
// remembered keep their own count.
func TestRatesAreBounded(t *testing.T) {
	m := newMeter(Rates{PerAddress: 1, Burst: 2})
	now := time.Unix(1000, 0)
	for i := range maxBuckets {
		m.take(now, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&0xff, i&0xff), "")
	}
	m.take(now, "192.0.2.1", "")
	m.take(now, "192.0.2.2", "")
	if wait, _ := m.take(now, "192.0.2.3", ""); wait == 0 {
		t.Error("addresses beyond the bound do not share a bucket")
	}
	if n := len(m.buckets); n > maxBuckets+1 {
		t.Errorf("%d buckets, want at most %d", n, maxBuckets+1)
	}
	if wait, _ := m.take(now, "10.0.0.1", ""); wait != 0 {
		t.Errorf("an address that is remembered: wait %v", wait)
	}
	later := now.Add(time.Minute)
	m.take(later, "192.0.2.4", "")
	if n := len(m.buckets); n != 1 {
		t.Errorf("%d buckets after all had time to fill, want 1", n)
	}
}

// A request too many is answered with 429 and when to come back; what another agent
// forwards is not counted again.
func TestTooManyRequests(t *testing.T) {
	a := &API{cfg: Config{}.withDefaults(), table: &table{}, meter: newMeter(Rates{PerAddress: 0.1, Burst: 10})}
	ask := func(origin transport.Origin) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/v1/nothing", nil)
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r.WithContext(transport.WithOrigin(r.Context(), origin)))
		return w
	}
	if got := ask(transport.Origin{}).Code; got != http.StatusNotFound {
		t.Fatalf("the first: %d, want 404", got)
	}
	w := ask(transport.Origin{})
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != "10" {
		t.Errorf("the second: %d, Retry-After %q; want 429, 10", w.Code, w.Header().Get("Retry-After"))
	}
	for _, o := range []transport.Origin{{Hops: 1}, {Peer: transport.Peer{Kind: nomadish.CallerNode}}} {
		if got := ask(o).Code; got != http.StatusNotFound {
			t.Errorf("from %+v: %d, want 404", o, got)
		}
	}
}
