package agent

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
)

// Bounds of what an agent that is no server remembers of tokens.
const (
	rememberFor = time.Second
	maxRemember = 4096
	askTimeout  = 2 * time.Second
)

// authority recognises callers on an agent that is no server: it asks one. What it hears
// counts for a short while.
type authority struct {
	resolve  func(ctx context.Context, token string) (*nomadish.ResolvedCaller, error)
	required bool // there is access control, by this agent's own configuration
	compiler acl.Compiler

	mu    sync.Mutex
	known map[[sha256.Size]byte]remembered // by hash of the token
	open  bool                             // the last server that was asked said that there is no access control
}

type remembered struct {
	at     time.Time
	caller nomadish.Caller
	err    error
}

// Authenticate finds out who makes a request. When no server can be asked, nobody is let in,
// unless a server has said before that there is no access control: then the node's own API
// goes on.
func (a *authority) Authenticate(ctx context.Context, c nomadish.Credentials) (nomadish.Caller, error) {
	if c.PeerKind == nomadish.CallerServer {
		return nomadish.Caller{Kind: nomadish.CallerServer, ID: c.PeerID, Addr: c.Addr}, nil
	}
	key := sha256.Sum256([]byte(c.Token.Reveal()))
	a.mu.Lock()
	r, ok := a.known[key]
	a.mu.Unlock()
	if !ok || time.Since(r.at) >= rememberFor {
		r = a.ask(ctx, c.Token.Reveal(), key)
	}
	r.caller.Addr = c.Addr
	return r.caller, r.err
}

func (a *authority) ask(ctx context.Context, token string, key [sha256.Size]byte) remembered {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r := remembered{at: time.Now()}
	resolved, err := a.resolve(ctx, token)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.open = resolved.Open
		r.caller, r.err = a.compiler.Caller(resolved)
	case nomadish.KindOf(err) == nomadish.KindDenied:
		a.open = false
		r.err = nomadish.ErrDenied
	case a.required || !a.open:
		r.err = nomadish.Errorf(nomadish.KindNoLeader, "no server can be asked about the token: %w", err)
		return r
	default:
		r.caller = nomadish.Caller{Kind: nomadish.CallerManagement}
		return r
	}
	if a.known == nil || len(a.known) >= maxRemember {
		a.known = map[[sha256.Size]byte]remembered{}
	}
	a.known[key] = r
	return r
}
