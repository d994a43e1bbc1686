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

// ErrDenied says that the caller may not do what it asks for, or is nobody who is known.
var ErrDenied = &Error{Kind: KindDenied, Message: "Permission denied"}

// Check returns ErrDenied unless the caller has a permission, also one that is not given by
// rules.
func (c Caller) Check(p Permission, namespace, name string) error {
	var allowed bool
	switch p {
	case PermNone, PermAnyone:
		allowed = true
	case PermByItem:
		allowed = c.Rights != nil || c.Management()
	case PermNode:
		allowed = c.Kind == CallerNode || c.Kind == CallerServer
	case PermServer:
		allowed = c.Kind == CallerServer
	case PermManagement:
		allowed = c.Management()
	default:
		allowed = c.Allows(p, namespace, name)
	}
	if !allowed {
		return ErrDenied
	}
	return nil
}

// Known says that the caller is somebody whose rights may end while a request lasts.
func (c Caller) Known() bool { return c.Rights != nil || c.Kind == CallerManagement && c.ID != "" }

// ResolvedCaller is who a token makes its bearer, as a server tells a node. The node compiles
// the policies itself.
type ResolvedCaller struct {
	Kind     CallerKind
	ID       string
	Name     string       `json:",omitempty"`
	Expires  time.Time    `json:",omitzero"`
	Open     bool         `json:",omitempty"` // there is no access control: everybody may do everything
	Policies []*ACLPolicy `json:",omitempty"`
	Workload *Workload    `json:",omitempty"`
}

// Workload is a task, or an allocation where Task is empty.
type Workload struct {
	Namespace string
	JobID     string // of the parent, for what a periodic or parameterized job launched
	Group     string
	Task      string
}

// Credentials are what a request brings to prove who makes it.
type Credentials struct {
	Token      SecretText // the secret of a token, or a workload's identity
	NodeID     string     // the node that the request speaks for
	NodeSecret SecretText // that node's secret
	PeerKind   CallerKind
	PeerID     string // the node or server at the other end of the connection, when it is an internal one
	Addr       string // where the request entered the cluster
}

type callerKey struct{}

// WithCaller returns a context that carries c.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return WithChangingCaller(ctx, func() Caller { return c })
}

// WithChangingCaller returns a context that carries a caller whose rights may change while the
// request lasts.
func WithChangingCaller(ctx context.Context, c func() Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom returns the caller that ctx carries, as it is now, or the anonymous one.
func CallerFrom(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(func() Caller); ok {
		return c()
	}
	return Caller{}
}
