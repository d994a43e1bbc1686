package httpapi

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// Times of requests that last.
const (
	recheckEvery = 1500 * time.Millisecond // between looks at whether the caller still may
	recheckSoon  = time.Second             // after a look that failed
	recheckGrace = 4 * time.Second         // that a request goes on unseen
)

// authorize checks the route's permission. What a request is about may have a namespace of
// its own, which counts then: an allocation of this node is looked up here; of all else the
// server's backends know.
func (a *API) authorize(r *Request, caller nomadish.Caller) error {
	p, namespace := r.route.Permission, r.Query.Namespace
	if r.route.is(ByObject) {
		namespace = "*"
	}
	if p == nomadish.PermNode && caller.ID != r.Param("node") {
		return nomadish.ErrDenied
	}
	if err := caller.Check(p, namespace, ""); err != nil {
		return err
	}
	alloc := r.Param("alloc")
	if alloc == "" || r.route.Where != OnNode {
		return nil
	}
	namespace, err := a.back.Node.Files.Namespace(alloc)
	if err != nil {
		return err
	}
	if err := caller.Check(p, namespace, ""); err != nil {
		return err
	}
	if p == nomadish.PermAllocExec && !a.back.Node.Tasks.Isolated(alloc, r.Value("task")) {
		return caller.Check(nomadish.PermAllocNodeExec, namespace, "")
	}
	return nil
}

// asAgent returns a context for what an agent looks up for itself, before it knows the caller.
func asAgent(ctx context.Context) context.Context {
	return nomadish.WithCaller(ctx, nomadish.Caller{Kind: nomadish.CallerServer})
}

// presence is the caller of a request. While the request lasts, its rights are looked at
// again and again; when they are lost, the request's context ends. A request that is soon
// over costs a timer that never fires.
type presence struct {
	api    *API
	r      *Request
	given  nomadish.Credentials
	cancel context.CancelCauseFunc
	caller atomic.Pointer[nomadish.Caller]

	mu    sync.Mutex
	ended bool
	timer *time.Timer
	seen  time.Time // when the rights were last known to be there
}

// present puts a caller into the request's context. The presence is to be ended.
func (a *API) present(r *Request, given nomadish.Credentials, caller nomadish.Caller) *presence {
	p := &presence{api: a, r: r}
	var ctx context.Context
	ctx, p.cancel = context.WithCancelCause(r.Context())
	r.HTTP = r.HTTP.WithContext(nomadish.WithChangingCaller(ctx, p.current))
	r.presence = p
	p.become(given, caller)
	return p
}

// become says who the caller is, also when a handshake tells it later than the request.
func (p *presence) become(given nomadish.Credentials, caller nomadish.Caller) {
	p.caller.Store(&caller)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given, p.seen = given, time.Now()
	if p.timer == nil && caller.Known() {
		p.timer = time.AfterFunc(recheckEvery, p.look)
	}
}

func (p *presence) current() nomadish.Caller { return *p.caller.Load() }

// end stops the looks.
func (p *presence) end() {
	p.mu.Lock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.cancel(nil)
}

// look finds out what the caller may now.
func (p *presence) look() {
	p.mu.Lock()
	given, ended := p.given, p.ended
	p.mu.Unlock()
	if ended {
		return
	}
	ctx, cancel := context.WithTimeout(p.r.Context(), recheckSoon)
	defer cancel()
	caller, err := p.api.back.Authority.Authenticate(ctx, given)
	if err == nil {
		err = p.api.authorize(p.r, caller)
	}
	next := recheckEvery
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return
	case err == nil:
		p.caller.Store(&caller)
		p.seen = time.Now()
	case nomadish.KindOf(err) == nomadish.KindDenied || time.Since(p.seen) >= recheckGrace:
		p.cancel(nomadish.ErrDenied)
		return
	default: // nobody can tell just now
		next = recheckSoon
	}
	p.timer.Reset(next)
}

// lost returns ErrDenied when the request was ended as its caller has lost the right to it.
func (r *Request) lost() error {
	if r.presence != nil && context.Cause(r.Context()) == error(nomadish.ErrDenied) { //nolint:errorlint // that very cause
		return nomadish.ErrDenied
	}
	return nil
}

// run lets a route's handler answer, for somebody who may ask.
func (a *API) run(w http.ResponseWriter, r *Request) error {
	given := credentials(r.HTTP)
	caller, err := a.back.Authority.Authenticate(r.Context(), given)
	if err != nil && r.route.Permission == nomadish.PermNone {
		caller, err = nomadish.Caller{Addr: given.Addr}, nil // as without a token: it may be an old one
	}
	if err != nil {
		return a.completed(r, nil, err)
	}
	p := a.present(r, given, caller)
	defer p.end()
	if !r.shakesHands() { // else its first message says who it is
		if err := a.authorize(r, caller); err != nil {
			return a.completed(r, &caller, err)
		}
	}
	if err := a.received(r, caller); err != nil {
		return err
	}
	if err := r.identified(caller); err != nil {
		return a.completed(r, &caller, err)
	}
	if r.route.is(Read) {
		r.knownLeader, r.lastContact = a.back.Server.Reads.Contact()
	}
	value, err := r.route.Handle(r)
	if lost := r.lost(); err != nil && lost != nil {
		err = lost
	}
	if err := a.completed(r, &caller, err); err != nil {
		discard(value)
		return err
	}
	return a.respond(w, r, value)
}

// discard frees an answer that nobody gets.
func discard(value any) {
	switch v := value.(type) {
	case Raw:
		_ = v.Body.Close() // it was only read
	case Upgraded:
		if v.Refused != nil {
			_ = v.Refused()
		}
	}
}
