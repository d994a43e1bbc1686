package login

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/nomadish/nomadish/nomadish"
)

// Bounds of what key servers answer.
const (
	maxAnswer  = 1 << 20 // bytes
	maxKeys    = 256     // of one server
	maxSources = 128     // key servers whose keys are kept
)

// source is where the keys of a method come from. It is the cache's key.
type source struct {
	url       string
	discovery bool // url is that of an OpenID provider, whose configuration names the keys' URL
	roots     string
}

func sourceOf(c *nomadish.ACLAuthMethodConfig) source {
	if c.JWKSURL != "" {
		return source{url: c.JWKSURL, roots: c.JWKSCACert}
	}
	return source{url: c.OIDCDiscoveryURL, discovery: true, roots: strings.Join(c.DiscoveryCaPem, "\n")}
}

// cache keeps the keys of key servers.
type cache struct {
	cfg     Config
	turn    chan struct{} // holds a token while somebody looks at entries
	entries map[source]*entry
}

// entry is what is known of one key server. Who has its turn may fetch.
type entry struct {
	turn  chan struct{}
	keys  []jose.JSONWebKey
	at    time.Time // when they were fetched
	tried time.Time // when that was tried last
	err   error     // why it failed then
}

func newCache(cfg Config) *cache {
	return &cache{cfg: cfg, turn: make(chan struct{}, 1), entries: map[source]*entry{}}
}

// take waits for a turn.
func take(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// entry returns that of a source. When there are too many, another one makes room.
func (c *cache) entry(ctx context.Context, s source) (*entry, error) {
	if err := take(ctx, c.turn); err != nil {
		return nil, err
	}
	defer func() { <-c.turn }()
	e := c.entries[s]
	if e == nil {
		if len(c.entries) >= maxSources {
			for other := range c.entries { // any: all are fetched again when they are needed
				delete(c.entries, other)
				break
			}
		}
		e = &entry{turn: make(chan struct{}, 1)}
		c.entries[s] = e
	}
	return e, nil
}

// get returns the keys of a source. A key that is not among them makes it ask again: keys
// are rotated. How often it does so is bounded, since anybody may name a key.
func (c *cache) get(ctx context.Context, s source, keyID string) ([]jose.JSONWebKey, error) {
	e, err := c.entry(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := take(ctx, e.turn); err != nil {
		return nil, err
	}
	defer func() { <-e.turn }()
	now := c.cfg.Now()
	fresh := !e.at.IsZero() && now.Sub(e.at) < c.cfg.Fresh
	if fresh && e.has(keyID) {
		return e.keys, nil
	}
	if e.tried.IsZero() || now.Sub(e.tried) >= c.cfg.Pause || now.Before(e.tried) {
		e.tried = now
		keys, err := c.fetch(ctx, s)
		if err == nil {
			e.keys, e.at = keys, now
		} else {
			c.cfg.Logger.Warn("the keys of an auth method can't be fetched", "url", s.url, "err", err)
		}
		e.err = err
	}
	if e.at.IsZero() || now.Sub(e.at) >= c.cfg.Stale {
		return nil, nomadish.Errorf(nomadish.KindInternal, "the keys of the auth method can't be fetched: %w", e.err)
	}
	return e.keys, nil
}

// has says whether a key is known, or none is asked for.
func (e *entry) has(keyID string) bool {
	if keyID == "" {
		return true
	}
	for _, k := range e.keys {
		if k.KeyID == keyID {
			return true
		}
	}
	return false
}

// fetch gets the keys from their server.
func (c *cache) fetch(ctx context.Context, s source) ([]jose.JSONWebKey, error) {
	// Somebody who gives up must not make it fail for all who wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
	defer cancel()
	client, err := client(s.roots)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	at := s.url
	if s.discovery {
		if at, err = discover(ctx, client, s.url); err != nil {
			return nil, err
		}
	}
	var set struct{ Keys []json.RawMessage }
	if err := getJSON(ctx, client, at, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) > maxKeys {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%s: %d keys, more than the limit of %d", at, len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil {
			continue // of a kind that is not known here: others may be
		}
		if k.IsPublic() && cmp.Or(k.Use, "sig") == "sig" {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// discover asks an OpenID provider where its keys are.
func discover(ctx context.Context, client *http.Client, issuer string) (string, error) {
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := getJSON(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &doc); err != nil {
		return "", err
	}
	if strings.TrimSuffix(doc.Issuer, "/") != strings.TrimSuffix(issuer, "/") {
		return "", nomadish.Errorf(nomadish.KindInvalid, "%s says that it is %.200q", issuer, doc.Issuer)
	}
	if err := checkURL(doc.JWKSURI); err != nil {
		return "", nomadish.Errorf(nomadish.KindInvalid, "%s: jwks_uri: %w", issuer, err)
	}
	if strings.HasPrefix(issuer, "https:") && !strings.HasPrefix(doc.JWKSURI, "https:") {
		return "", nomadish.Errorf(nomadish.KindInvalid, "%s: jwks_uri %.200q is not encrypted", issuer, doc.JWKSURI)
	}
	return doc.JWKSURI, nil
}

func getJSON(ctx context.Context, client *http.Client, at string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nomadish.Errorf(nomadish.KindInternal, "%s: answered %s", at, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nomadish.Errorf(nomadish.KindInternal, "%s: %w", at, err)
	}
	if len(body) > maxAnswer {
		return nomadish.Errorf(nomadish.KindInternal, "%s: the answer is longer than %d bytes", at, maxAnswer)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return nomadish.Errorf(nomadish.KindInternal, "%s: %w", at, err)
	}
	return nil
}

// client returns one for a single visit: no proxy, no redirects, and no address that only
// means something to this machine or its network card.
func client(roots string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if roots != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(roots)) {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "there is no certificate in the method's authorities")
		}
	}
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := to.Addr().Unmap(); ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified() {
			return nomadish.Errorf(nomadish.KindInvalid, "keys are not fetched from %s", ip)
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: config, DisableKeepAlives: true,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			return errors.New("redirected to " + req.URL.Redacted() + ", which is not followed")
		},
	}, nil
}

// checkURL says what is wrong with where keys should come from.
func checkURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nomadish.Errorf(nomadish.KindInvalid, "%.200q is no URL", text)
	case u.Scheme != "https" && u.Scheme != "http":
		return nomadish.Errorf(nomadish.KindInvalid, "%.200q must begin with https:// or http://", text)
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return nomadish.Errorf(nomadish.KindInvalid, "%.200q must have a host, and neither a user nor a fragment", text)
	}
	return nil
}
