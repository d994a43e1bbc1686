package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// contentPolicy keeps a browser from running or loading anything that an answer holds.
const contentPolicy = "default-src 'none'; frame-ancestors 'none'; sandbox"

// always are the headers of every answer. Those of the configuration come last.
func (c Config) always() http.Header {
	h := http.Header{}
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cache-Control", "no-store")
	for name, value := range c.Headers {
		h.Set(name, value)
	}
	return h
}

// protect sets the headers of every answer. All share the values, which nobody changes: who sets a
// header replaces them, and who adds to one copies them, as they have no room.
func (a *API) protect(h http.Header) {
	for name, values := range a.always {
		h[name] = values
	}
}

// admit decides about a request before it is looked at: whether there are too many, and
// whether it comes from a page that has no business here.
func (a *API) admit(w http.ResponseWriter, hr *http.Request) error {
	if err := a.limited(w, hr); err != nil {
		return err
	}
	return a.checkWeb(hr)
}

// checkWeb refuses what pages of other sites make browsers ask: changes, as a simple request
// needs nobody's leave, and anything under a name that is not this agent's. Where it is asked for its
// token, that is what protects it: browsers don't send one by themselves.
func (a *API) checkWeb(hr *http.Request) error {
	if len(a.cfg.Hosts) > 0 && hr.RemoteAddr != "" && !a.knownHost(hr.Host) {
		return nomadish.Errorf(nomadish.KindDenied, "this agent does not answer to the name %q", hr.Host)
	}
	if hr.Method == http.MethodGet || hr.Method == http.MethodHead || hr.Method == http.MethodOptions {
		return nil
	}
	origin := hr.Header.Get("Origin")
	if origin == "" || a.ownOrigin(hr, origin) {
		return nil
	}
	return nomadish.Errorf(nomadish.KindDenied, "pages of %q may not change anything here", origin)
}

// ownOrigin says whether an Origin header names this agent, or a page that may use it.
func (a *API) ownOrigin(hr *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	if strings.EqualFold(u.Host, hr.Host) {
		return true
	}
	for _, pattern := range a.cfg.Origins {
		if ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(u.Host)); ok && err == nil {
			return true
		}
	}
	return false
}

// knownHost says whether a Host header holds an address, localhost, or one of the names of
// the configuration. Other names may be somebody's who points them here.
func (a *API) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	for _, known := range a.cfg.Hosts {
		known = strings.ToLower(known)
		if name == known || strings.HasSuffix(name, "."+known) {
			return true
		}
	}
	return false
}
