package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Config says how the API answers.
type Config struct {
	Name   string // of this agent
	Region string // of this agent; default "global"
	// Authoritative is the region that changes what all regions share; default: each its own.
	Authoritative string
	MaxWait       time.Duration    // longest blocking query, at most 10m; default 5m
	Origins       []string         // of pages that may change things and open websockets, as host patterns, besides the agent's own
	Hosts         []string         // names, besides addresses, under which this agent may be asked, those below them included; default: any
	Now           func() time.Time // wall clock; default time.Now
	Logger        *slog.Logger     // default: discard
	// MaxImages bounds an archive of images in bytes; default 32 GiB.
	MaxImages int64
	Rates     Rates
	Headers   map[string]string // of every answer besides those that it has
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "global")
	c.MaxImages = cmp.Or(c.MaxImages, bodyImages)
	c.MaxWait = min(cmp.Or(c.MaxWait, waitDefault), waitMax)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// API is the HTTP API of one agent. It is an http.Handler, safe for concurrent use.
type API struct {
	cfg     Config
	back    Backends
	table   *table
	always  http.Header // of every answer
	sockets sockets
	meter   *meter
}

// New returns the API in front of the backends.
func New(cfg Config, back Backends) (*API, error) {
	if err := back.validate(); err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	a := &API{cfg: cfg.withDefaults(), back: back, sockets: newSockets(), meter: newMeter(cfg.Rates)}
	t, err := newTable(a.routes())
	if err != nil {
		return nil, fmt.Errorf("httpapi: %w", err)
	}
	a.table, a.always = t, a.cfg.always()
	return a, nil
}

// Routes returns the table of routes.
func (a *API) Routes() []Route { return a.routes() }

// ServeHTTP finds the route of a request and answers it.
func (a *API) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	defer a.recover(w, hr)
	a.protect(w.Header())
	if err := a.admit(w, hr); err != nil {
		a.writeError(w, hr, err)
		return
	}
	e, params := a.table.find(hr.URL.EscapedPath())
	if e == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	route := e.routes[hr.Method]
	if route == nil {
		a.noMethod(w, hr, e)
		return
	}
	if route.is(CORS) {
		allowAnyOrigin(w.Header())
	}
	r := &Request{HTTP: hr, api: a, route: route, params: params, values: hr.URL.Query(), control: http.NewResponseController(w)}
	err := a.serve(w, r)
	switch {
	case err == nil:
	case route.is(Socket) && wantsSocket(hr):
		a.refuseSocket(w, hr, err)
	default:
		a.writeError(w, hr, err)
	}
}

// serve answers a request, or returns why it can't before anything is written.
func (a *API) serve(w http.ResponseWriter, r *Request) error {
	if r.HTTP.ContentLength > r.route.Body {
		return r.tooLarge()
	}
	r.HTTP.Body = http.MaxBytesReader(w, r.HTTP.Body, r.route.Body)
	var err error
	if r.Query, err = parseQuery(r.values); err != nil {
		return err
	}
	r.Query.Wait = min(r.Query.Wait, a.cfg.MaxWait)
	return a.insist(w, r)
}

// noMethod answers a method that a path has not.
func (a *API) noMethod(w http.ResponseWriter, hr *http.Request, e *endpoint) {
	w.Header().Set("Allow", e.allowed())
	if hr.Method == http.MethodOptions {
		for _, r := range e.routes {
			if r.is(CORS) {
				preflight(w, hr, e)
				return
			}
		}
	}
	a.writeError(w, hr, &statusError{http.StatusMethodNotAllowed, "Invalid method"})
}

// allowAnyOrigin sets what Nomad sets for the routes that its UI calls on other agents.
func allowAnyOrigin(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Credentials", "true")
}

func preflight(w http.ResponseWriter, hr *http.Request, e *endpoint) {
	h := w.Header()
	allowAnyOrigin(h)
	h.Set("Access-Control-Allow-Methods", e.allowed())
	if asked := hr.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	w.WriteHeader(http.StatusNoContent)
}

// recover keeps a fault in one request from ending the agent.
func (a *API) recover(w http.ResponseWriter, hr *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(fault)
	}
	a.cfg.Logger.Error("request panicked", "method", hr.Method, "path", hr.URL.Path, "panic", fault, "stack", string(debug.Stack()))
	a.writeError(w, hr, &statusError{http.StatusInternalServerError, "internal error"})
}
