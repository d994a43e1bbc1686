package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

var errNoDebug = &statusError{http.StatusNotImplemented, "this agent shows nothing of its inside"}

// monitor streams the agent's log.
func (a *API) monitor(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	req := &nomadish.MonitorRequest{LogLevel: r.Value("log_level")}
	var err error
	if req.LogJSON, err = r.Bool("log_json"); err != nil {
		return nil, err
	}
	plain, err := r.Bool("plain")
	if err != nil {
		return nil, err
	}
	if err := a.back.Debug.CheckMonitor(req); err != nil {
		return nil, err
	}
	contentType := "application/json"
	if plain {
		contentType = textPlain
	}
	return Streamed{ContentType: contentType, Write: func(w io.Writer) error {
		return frames(r.Context(), w, true, plain, func(ctx context.Context, emit func(*nomadish.StreamFrame) error) error {
			return a.back.Debug.Monitor(ctx, req, emit)
		})
	}}, nil
}

// profile answers with a profile of the agent.
func (a *API) profile(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	req := &nomadish.ProfileRequest{Name: r.Param("name")}
	seconds, err := r.Int("seconds", 1)
	if err != nil {
		return nil, err
	}
	level, err := r.Int("debug", 0)
	if err != nil {
		return nil, err
	}
	collect, err := r.Int("gc", 0)
	if err != nil {
		return nil, err
	}
	req.Seconds, req.Debug, req.GC = int(seconds), int(level), collect != 0
	body, contentType, err := a.back.Debug.Profile(r.Context(), req)
	if err != nil {
		return nil, err
	}
	return Raw{ContentType: contentType, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

func (a *API) host(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	return a.back.Debug.Host(r.Context())
}

func (a *API) schedulers(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	return a.back.Debug.Schedulers(r.Context())
}

func (a *API) schedulersConfig(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	return a.back.Debug.SchedulersConfig(r.Context())
}

func (a *API) setSchedulersConfig(r *Request) (any, error) {
	if a.back.Debug == nil {
		return nil, errNoDebug
	}
	req := &nomadish.SchedulerWorkerConfig{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Debug.SetSchedulersConfig(r.Context(), req)
}

// toAgent returns the way to the agent that a request names by ?node_id or ?server_id.
func (a *API) toAgent(r *Request) (http.RoundTripper, error) {
	ctx := asAgent(r.Context())
	node, server := r.Value("node_id"), r.Value("server_id")
	switch {
	case node != "" && server != "":
		return nil, nomadish.Errorf(nomadish.KindInvalid, "Cannot target node and server simultaneously")
	case server != "":
		return a.back.Router.Peer(ctx, server)
	case node == "" || a.back.Node != nil && a.back.Node.ID == node:
		return nil, nil
	case a.back.Server == nil:
		return a.back.Router.Server(ctx)
	}
	if _, _, err := a.back.Server.Nodes.Node(ctx, nil, node); err != nil {
		return nil, unknown(err, "node %s", node)
	}
	return a.back.Router.Node(ctx, node)
}
