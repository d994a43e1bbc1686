package nomadish

import "context"

// CallerKind says what sort of party makes a request.
type CallerKind uint8

// The kinds of callers. Tokens and workloads join when there are policies.
const (
	CallerAnonymous  CallerKind = iota // no credentials
	CallerManagement                   // may do everything; everybody is while ACLs are off
	CallerNode                         // a client node, proven by its secret or certificate
	CallerServer                       // another server of the cluster
)

func (k CallerKind) String() string {
	switch k {
	case CallerAnonymous:
		return "anonymous"
	case CallerManagement:
		return "management"
	case CallerNode:
		return "node"
	case CallerServer:
		return "server"
	}
	return "unknown"
}

// Caller is who makes a request. It travels in the request's context.
type Caller struct {
	Kind CallerKind
	ID   string // of the node or server
	Addr string // where the request entered the cluster
}

// Credentials are what a request brings to prove who makes it.
type Credentials struct {
	Token      string // the secret of a token, or a workload's identity
	NodeID     string // the node that the request speaks for
	NodeSecret string // that node's secret
	PeerKind   CallerKind
	PeerID     string // the node or server at the other end of the connection, when it is an internal one
	Addr       string // where the request entered the cluster
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that ctx carries, or the anonymous one.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
