package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/nomadish/nomadish/nomadish"
)

// Limits of websockets.
const (
	maxSockets     = 1024      // on one agent
	maxMessage     = 128 << 10 // of what a caller sends
	maxReason      = 120       // bytes that tell why a socket is closed; the protocol allows 123
	handshakeWait  = 10 * time.Second
	heartbeatInput = 10 * time.Second // between messages to a quiet caller
)

// Upgraded is an answer that goes on as a websocket. Serve has it until it returns. When all
// is sent it calls end, which closes the websocket; an error is told as the reason.
type Upgraded struct {
	Serve   func(ctx context.Context, c *websocket.Conn, end func(error))
	Refused func() error // called in place of Serve when there will be no websocket; may be nil
}

// sockets counts what is open, and ends it.
type sockets struct {
	slots   chan struct{}
	closing chan struct{}
	once    *sync.Once
}

func newSockets() sockets {
	return sockets{slots: make(chan struct{}, maxSockets), closing: make(chan struct{}), once: &sync.Once{}}
}

// Close ends all websockets and waits for what serves them, but no longer than ctx. New
// ones are refused.
func (a *API) Close(ctx context.Context) error {
	a.sockets.once.Do(func() { close(a.sockets.closing) })
	for range maxSockets {
		select {
		case a.sockets.slots <- struct{}{}:
		case <-ctx.Done():
			return errors.New("httpapi: some websockets did not end in time")
		}
	}
	return nil
}

// upgrade makes a websocket of a request and serves it.
func (a *API) upgrade(w http.ResponseWriter, r *Request, v Upgraded) (err error) {
	served := false
	defer func() {
		if !served && v.Refused != nil {
			err = errors.Join(err, v.Refused())
		}
	}()
	if !wantsSocket(r.HTTP) {
		return nomadish.Errorf(nomadish.KindInvalid, "%s needs a websocket: ask with Connection: Upgrade", r.route.Path)
	}
	select {
	case a.sockets.slots <- struct{}{}:
		defer func() { <-a.sockets.slots }()
	default:
		return nomadish.Errorf(nomadish.KindLimited, "more than %d websockets are open on this agent", maxSockets)
	}
	c, err := a.accept(w, r.HTTP)
	if err != nil {
		return nil // Accept has answered
	}
	defer c.CloseNow() //nolint:errcheck // regularly it is closed by then
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		select {
		case <-a.sockets.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	end := func(err error) {
		if lost := r.lost(); lost != nil {
			a.end(c, r.HTTP, lost)
			return
		}
		if err != nil && ctx.Err() != nil {
			_ = c.Close(websocket.StatusGoingAway, "the agent is shutting down") // or the caller is gone
			return
		}
		a.end(c, r.HTTP, err)
	}
	if err := a.greet(ctx, r, c); err != nil {
		end(err)
		return nil
	}
	served = true
	v.Serve(ctx, c, end)
	return nil
}

func (a *API) accept(w http.ResponseWriter, hr *http.Request) (*websocket.Conn, error) {
	c, err := websocket.Accept(w, hr, &websocket.AcceptOptions{
		OriginPatterns: a.cfg.Origins, CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		a.cfg.Logger.Debug("websocket refused", "path", hr.URL.Path, "err", err)
		return nil, err
	}
	c.SetReadLimit(maxMessage)
	return c, nil
}

func wantsSocket(hr *http.Request) bool {
	return strings.EqualFold(hr.Header.Get("Upgrade"), "websocket")
}

// shakesHands says whether the caller tells its token in the first message, since it could
// not set headers.
func (r *Request) shakesHands() bool {
	return r.route.is(Socket) && r.values.Get("ws_handshake") == "true"
}

// greet takes the first message of a caller that shakes hands, and checks its permission.
func (a *API) greet(ctx context.Context, r *Request, c *websocket.Conn) error {
	if !r.shakesHands() {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, handshakeWait)
	defer cancel()
	_, data, err := c.Read(waiting)
	if err != nil {
		return nomadish.Errorf(nomadish.KindInvalid, "websocket handshake: %w", err)
	}
	var shake nomadish.ExecHandshake
	if err := json.Unmarshal(data, &shake); err != nil || shake.Version != 1 {
		return nomadish.Errorf(nomadish.KindInvalid, "websocket handshake: want version 1 and auth_token")
	}
	given := credentials(r.HTTP)
	given.Token = shake.AuthToken
	caller, err := a.back.Authority.Authenticate(ctx, given)
	if err != nil {
		return err
	}
	if err := a.authorize(r, caller); err != nil {
		return a.completed(r, &caller, err)
	}
	r.presence.become(given, caller)
	return a.received(r, caller)
}

// refuseSocket tells an error over a websocket: a browser sees no other answer.
func (a *API) refuseSocket(w http.ResponseWriter, hr *http.Request, err error) {
	if c, failed := a.accept(w, hr); failed == nil {
		a.end(c, hr, err)
	}
}

// end closes a websocket with an error's text, or regularly without one.
func (a *API) end(c *websocket.Conn, hr *http.Request, err error) {
	code, reason := websocket.StatusNormalClosure, ""
	if err != nil {
		code, reason = websocket.StatusPolicyViolation, err.Error()
		if statusOf(err) >= http.StatusInternalServerError {
			code = websocket.StatusInternalError
			a.cfg.Logger.Warn("websocket ended in an error", "path", hr.URL.Path, "err", err)
		}
	}
	_ = c.Close(code, shorten(reason)) // the caller may be gone already
}

// shorten cuts a reason to what fits into the message that closes a websocket.
func shorten(s string) string {
	if len(s) <= maxReason {
		return s
	}
	const more = "…"
	cut := maxReason - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}
