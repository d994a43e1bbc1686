package nomadish

import (
	"context"
	"time"
)

// CallerKind says what sort of party makes a request.
type CallerKind uint8

// The kinds of callers.
const (
	CallerAnonymous  CallerKind = iota // no credentials
	CallerManagement                   // may do everything; everybody is while ACLs are off
	CallerNode                         // a client node, proven by its secret or certificate
	CallerServer                       // another server of the cluster
	CallerToken                        // somebody with a token that is not a management token
	CallerWorkload                     // a task, proven by its identity
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
	case CallerToken:
		return "token"
	case CallerWorkload:
		return "workload"
	}
	return "unknown"
}

// Caller is who makes a request. It travels in the request's context.
type Caller struct {
	Kind    CallerKind
	ID      string    // of the node or server, the accessor ID of the token, or the workload's allocation
	Name    string    // of the token, if it has one
	Addr    string    // where the request entered the cluster
	Expires time.Time // of the token or identity; zero: it does not by itself
	Rights  Rights    // nil: all for management and servers, none for others
}

// Allows says whether the caller has a permission; see [Rights].
func (c Caller) Allows(p Permission, namespace, name string) bool {
	if c.Rights == nil {
		return c.Kind == CallerManagement || c.Kind == CallerServer
	}
	return c.Rights.Allows(p, namespace, name)
}

// Management says whether the caller may do everything.
func (c Caller) Management() bool {
	if c.Rights == nil {
		return c.Kind == CallerManagement || c.Kind == CallerServer
	}
	return c.Rights.Management()
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
