package httpapi

import (
	"cmp"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/audit"
)

// Auditor keeps a log of what is asked. An error refuses the request.
type Auditor interface {
	Record(e *audit.Entry) error
}

// audited says whether a request belongs into the log: all do but what agents tell each other.
func (a *API) audited(r *Request) bool {
	return a.back.Audit != nil && r.route.Permission != nomadish.PermNode && r.route.Permission != nomadish.PermServer
}

// received records a request before anything is done.
func (a *API) received(r *Request, caller nomadish.Caller) error {
	if !a.audited(r) {
		return nil
	}
	return a.record(r, &caller, nil)
}

// completed records what came of a request, before the caller hears of it. It returns the
// outcome; one that can't be recorded is an error.
func (a *API) completed(r *Request, caller *nomadish.Caller, outcome error) error {
	if a.back.Audit == nil {
		return outcome
	}
	response := &audit.Response{StatusCode: cmp.Or(r.status, http.StatusOK)}
	if outcome != nil {
		response.StatusCode, response.Error = statusOf(outcome), outcome.Error()
	}
	denied := response.StatusCode == http.StatusForbidden || response.StatusCode == http.StatusUnauthorized
	if !denied && !a.audited(r) {
		return outcome
	}
	if err := a.record(r, caller, response); err != nil {
		return err
	}
	return outcome
}

func (a *API) record(r *Request, caller *nomadish.Caller, response *audit.Response) error {
	if r.id == "" {
		r.id = nomadish.NewID()
	}
	request := audit.Request{
		ID: r.id, Operation: r.HTTP.Method, Endpoint: r.HTTP.URL.Path,
		Meta: audit.RequestMeta{RemoteAddress: r.remote(caller), UserAgent: r.HTTP.UserAgent()},
		Node: audit.NodeMeta{Name: a.cfg.Name},
	}
	if r.Query.Namespace != "" {
		request.Namespace = &audit.Namespace{ID: r.Query.Namespace}
	}
	if err := a.back.Audit.Record(audit.NewEntry(a.cfg.Now(), caller, request, response)); err != nil {
		a.cfg.Logger.Error("a request is refused as it can't be recorded in the audit log", "err", err)
		return nomadish.Errorf(nomadish.KindInternal, "the request can't be recorded in the audit log")
	}
	return nil
}

// remote is where a request entered the cluster.
func (r *Request) remote(caller *nomadish.Caller) string {
	if caller != nil && caller.Addr != "" {
		return caller.Addr
	}
	return r.HTTP.RemoteAddr
}
