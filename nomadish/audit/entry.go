package audit

import (
	"net/http"
	"path"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// The stages of a request.
const (
	StageReceived = "OperationReceived" // before anything is done
	StageComplete = "OperationComplete" // before the answer's body is sent
)

// Entry is one line of the log, in the shape of Nomad's audit events. Bodies and query
// strings are not in it: they may hold secrets.
type Entry struct {
	CreatedAt time.Time `json:"created_at"`
	EventType string    `json:"event_type"` // audit
	Payload   Payload   `json:"payload"`
}

// Payload says what was asked, by whom, and what came of it.
type Payload struct {
	ID        string    `json:"id"`
	Stage     string    `json:"stage"`
	Type      string    `json:"type"` // audit
	Timestamp time.Time `json:"timestamp"`
	Version   int       `json:"version"`
	Auth      *Auth     `json:"auth,omitempty"` // nil: nobody was recognised
	Request   Request   `json:"request"`
	Response  *Response `json:"response,omitempty"` // at the stage StageComplete
}

// Auth is who asked.
type Auth struct {
	Kind       string `json:"kind"`                  // anonymous, token, management, workload, node or server
	AccessorID string `json:"accessor_id,omitempty"` // of a token; the ID of a node, server or a workload's allocation
	Name       string `json:"name,omitempty"`
}

// Request is what was asked.
type Request struct {
	ID        string      `json:"id"`        // the same at both stages
	Operation string      `json:"operation"` // the HTTP method
	Endpoint  string      `json:"endpoint"`  // the path
	Namespace *Namespace  `json:"namespace,omitempty"`
	Meta      RequestMeta `json:"request_meta"`
	Node      NodeMeta    `json:"node_meta"`
}

// Namespace is the namespace that a request names.
type Namespace struct {
	ID string `json:"id"`
}

// RequestMeta says where a request came from.
type RequestMeta struct {
	RemoteAddress string `json:"remote_address"`
	UserAgent     string `json:"user_agent,omitempty"`
}

// NodeMeta says which agent wrote the entry.
type NodeMeta struct {
	Name string `json:"name"`
}

// Response is what came of a request.
type Response struct {
	StatusCode int    `json:"status_code"`
	Error      string `json:"error,omitempty"`
}

// maxText bounds what callers put into an entry.
const maxText = 1 << 10

// NewEntry returns an entry of a request by a caller at a stage. A nil response is for
// StageReceived.
func NewEntry(now time.Time, caller *nomadish.Caller, r Request, response *Response) *Entry {
	stage := StageReceived
	if response != nil {
		stage = StageComplete
		response.Error = clip(response.Error)
	}
	r.Endpoint, r.Meta.UserAgent = clip(r.Endpoint), clip(r.Meta.UserAgent)
	if r.Namespace != nil {
		r.Namespace = &Namespace{ID: clip(r.Namespace.ID)}
	}
	e := &Entry{CreatedAt: now, EventType: "audit", Payload: Payload{
		ID: nomadish.NewID(), Stage: stage, Type: "audit", Timestamp: now, Version: 1, Request: r, Response: response,
	}}
	if caller != nil {
		e.Payload.Auth = &Auth{Kind: caller.Kind.String(), AccessorID: caller.ID, Name: caller.Name}
	}
	return e
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}

// Denied says whether the request was refused for want of rights.
func (e *Entry) Denied() bool {
	r := e.Payload.Response
	return r != nil && (r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden)
}

// Filter leaves entries out. Each of its lists has to match; "*" matches all. What was
// denied is never left out.
type Filter struct {
	Endpoints  []string // paths, in which * stands for anything but a slash, and at the end for anything
	Stages     []string // StageReceived, StageComplete
	Operations []string // HTTP methods
}

func (f *Filter) matches(e *Entry) bool {
	return matchesAny(f.Stages, e.Payload.Stage) &&
		matchesAny(f.Operations, e.Payload.Request.Operation) &&
		slices.ContainsFunc(f.Endpoints, func(pattern string) bool { return matchesPath(pattern, e.Payload.Request.Endpoint) })
}

func matchesAny(list []string, s string) bool {
	return slices.Contains(list, "*") || slices.Contains(list, s)
}

func matchesPath(pattern, endpoint string) bool {
	if n := len(pattern) - 1; n >= 0 && pattern[n] == '*' && len(endpoint) >= n && endpoint[:n] == pattern[:n] {
		return true
	}
	ok, err := path.Match(pattern, endpoint)
	return ok && err == nil
}

// validate says what is wrong with a filter.
func (f *Filter) validate() error {
	for _, p := range f.Endpoints {
		if _, err := path.Match(p, ""); err != nil {
			return nomadish.Errorf(nomadish.KindInvalid, "endpoints: %q is no pattern: %w", p, err)
		}
	}
	for _, s := range f.Stages {
		if s != "*" && s != StageReceived && s != StageComplete {
			return nomadish.Errorf(nomadish.KindInvalid, "stages: %q is none of *, %s and %s", s, StageReceived, StageComplete)
		}
	}
	if len(f.Endpoints) == 0 || len(f.Stages) == 0 || len(f.Operations) == 0 {
		return nomadish.Errorf(nomadish.KindInvalid, `endpoints, stages and operations must be set: with ["*"] they match all`)
	}
	return nil
}
