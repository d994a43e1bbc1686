package httpapi

import (
	"bytes"
	"io"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

func (a *API) agentSelf(r *Request) (any, error)    { return a.back.Agent.Self(r.Context()) }
func (a *API) agentMembers(r *Request) (any, error) { return a.back.Agent.Members(r.Context()) }
func (a *API) agentServers(r *Request) (any, error) { return a.back.Agent.Servers(r.Context()) }

// agentHealth answers 500 when a half that is asked for, or exists, does not work.
func (a *API) agentHealth(r *Request) (any, error) {
	health := a.back.Agent.Health(r.Context())
	switch r.Value("type") {
	case "client":
		health = &nomadish.AgentHealth{Client: health.Client}
	case "server":
		health = &nomadish.AgentHealth{Server: health.Server}
	case "":
	default:
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Invalid value %q of type: must be client or server", r.Value("type"))
	}
	for _, half := range []*nomadish.HealthStatus{health.Client, health.Server} {
		if half != nil && !half.Ok {
			r.status = http.StatusInternalServerError
		}
	}
	return health, nil
}

func (a *API) metrics(r *Request) (any, error) {
	if a.back.Metrics == nil {
		return nil, &statusError{http.StatusNotImplemented, "metrics are switched off"}
	}
	if r.Value("format") != "prometheus" {
		return a.back.Metrics.Summary(r.Context())
	}
	var buf bytes.Buffer
	contentType, ok, err := a.back.Metrics.Prometheus(&buf)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &statusError{http.StatusUnsupportedMediaType, "Prometheus is not enabled"}
	}
	return Raw{ContentType: contentType, Body: io.NopCloser(&buf)}, nil
}

func (a *API) leader(r *Request) (any, error)  { return a.back.Server.Status.Leader(r.Context()) }
func (a *API) peers(r *Request) (any, error)   { return a.back.Server.Status.Peers(r.Context()) }
func (a *API) regions(r *Request) (any, error) { return a.back.Server.Status.Regions(r.Context()) }

func (a *API) collectGarbage(r *Request) (any, error) {
	return nil, a.back.Server.System.CollectGarbage(r.Context())
}
