package transport

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// Headers that a server sets on what it forwards. They are believed from servers alone and
// removed from everybody else's requests.
const (
	headerOriginKind = "X-Nomadish-Origin-Kind"
	headerOriginID   = "X-Nomadish-Origin-Id"
	headerOriginAddr = "X-Nomadish-Origin-Addr"
	headerHops       = "X-Nomadish-Hops"
	headerDeadline   = "X-Nomadish-Deadline-Ms" // from now
	headerPrefix     = "X-Nomadish-"
)

// Peer is who is at the other end of a session. Its role was settled when it was set up.
type Peer struct {
	Kind   nomadish.CallerKind // CallerNode or CallerServer; CallerAnonymous outside of sessions
	ID     string
	Addr   string
	Region string // another than this agent's, which the peer is of; empty: the same
}

// Origin is where a request entered the cluster: the party that made it, and how often it
// was forwarded since.
type Origin struct {
	Peer
	Hops int
}

type originKey struct{}

// OriginFrom returns the origin that ctx carries. Without one it is anonymous.
func OriginFrom(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// identify puts the origin of a request into its context and takes away the headers that
// only servers may set. peer is who is at the other end of the connection.
func identify(r *http.Request, peer Peer) *http.Request {
	o := Origin{Peer: peer}
	switch {
	case peer.Kind == nomadish.CallerServer && peer.Region != "":
		// A server of another region passes on what others ask, with the tokens that they show. It
		// has no rights here, and what it says of who they are counts for nothing.
		o.Kind, o.ID = nomadish.CallerAnonymous, ""
		o.Addr = cmp.Or(r.Header.Get(headerOriginAddr), peer.Addr)
		o.Hops = max(1, parseHops(r.Header.Get(headerHops)))
	case peer.Kind == nomadish.CallerServer && r.Header.Get(headerHops) != "":
		o = Origin{
			Peer: Peer{
				Kind: parseKind(r.Header.Get(headerOriginKind)),
				ID:   r.Header.Get(headerOriginID),
				Addr: r.Header.Get(headerOriginAddr),
			},
			Hops: parseHops(r.Header.Get(headerHops)),
		}
	case peer.Kind == nomadish.CallerNode:
		// A node may forward what its own users ask; it speaks for itself alone.
		o.Hops = parseHops(r.Header.Get(headerHops))
		if o.Hops > 0 {
			o.Kind, o.ID = nomadish.CallerAnonymous, ""
		}
	}
	for name := range r.Header {
		if strings.HasPrefix(name, headerPrefix+"Origin-") || name == headerHops {
			r.Header.Del(name)
		}
	}
	return r.WithContext(WithOrigin(r.Context(), o))
}

func parseKind(s string) nomadish.CallerKind {
	for _, k := range []nomadish.CallerKind{nomadish.CallerNode, nomadish.CallerServer} {
		if s == k.String() {
			return k
		}
	}
	return nomadish.CallerAnonymous
}

// parseHops reads a count of hops; what can't be read counts as too many.
func parseHops(s string) int {
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return maxHops + 1
	}
	return n
}
