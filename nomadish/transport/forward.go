package transport

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// maxHops is how often a request is forwarded at most: from a client agent to its server, to a
// server of the request's region, there to the one that a node is connected to, and to the node.
const maxHops = 4

// Forward passes a request on and its answer back as it streams, upgraded connections
// included. The next agent learns where the request came from, how often it was forwarded
// and how much time it has. An error means that nothing was written; KindUnknown that the other agent
// may have carried the request out.
func Forward(w http.ResponseWriter, r *http.Request, to http.RoundTripper) error {
	origin := OriginFrom(r.Context())
	if origin.Hops >= maxHops {
		return nomadish.Errorf(nomadish.KindNoLeader, "request was forwarded %d times without reaching its place", origin.Hops)
	}
	if origin.Addr == "" {
		origin.Addr = r.RemoteAddr
	}
	var failed error
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = "http", peerHost
			p.Out.Host = p.In.Host
			p.Out.URL.RawQuery = p.In.URL.RawQuery
			setOrigin(p.Out.Header, origin)
			if deadline, ok := p.In.Context().Deadline(); ok {
				ms := max(time.Until(deadline).Milliseconds(), 1)
				p.Out.Header.Set(headerDeadline, strconv.FormatInt(ms, 10))
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			for name := range resp.Header { // the answer's headers replace ours, they don't join them
				w.Header().Del(name)
			}
			return nil
		},
		Transport:     to,
		FlushInterval: -1, // at once
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler:  func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	proxy.ServeHTTP(w, r)
	if failed == nil || errors.Is(failed, context.Canceled) {
		return failed
	}
	var tooLarge *http.MaxBytesError
	if errors.As(failed, &tooLarge) {
		return nomadish.Errorf(nomadish.KindTooLarge, "request body is larger than %d bytes", tooLarge.Limit)
	}
	if errors.Is(failed, ErrUnreachable) {
		return failed
	}
	return nomadish.Errorf(nomadish.KindUnknown, "forward request: %w", failed)
}

// peerHost stands in for a host in requests that go over a session.
const peerHost = "peer"

func setOrigin(h http.Header, o Origin) {
	h.Set(headerHops, strconv.Itoa(o.Hops+1))
	h.Set(headerOriginKind, o.Kind.String())
	h.Set(headerOriginID, o.ID)
	h.Set(headerOriginAddr, o.Addr)
}
