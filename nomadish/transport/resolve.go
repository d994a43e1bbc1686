package transport

import (
	"context"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// Server returns the way to a server: over the session with it, or over one that is set up with the
// first request, to where Resolve says that it is.
func (h *Hub) Server(id string) (http.RoundTripper, error) {
	if h.cfg.Resolve == nil {
		return h.reach(nomadish.CallerServer, id, "No path to server")
	}
	if h.session(id) == nil {
		if _, err := h.cfg.Resolve(id); err != nil {
			return nil, nomadish.Errorf(nomadish.KindInternal, "No path to server: %w", err)
		}
	}
	return &resolved{hub: h, id: id}, nil
}

// Reach returns once there is a session with a server, or says why there can't be one now.
func (h *Hub) Reach(ctx context.Context, id string) error {
	if h.session(id) != nil {
		return nil
	}
	_, err := (&resolved{hub: h, id: id}).link(ctx)
	return err
}

// session returns the session with a server that works, or nil.
func (h *Hub) session(id string) *link {
	h.mu.Lock()
	l := h.joined[peerKey(nomadish.CallerServer, id)]
	h.mu.Unlock()
	if l == nil {
		return nil
	}
	select {
	case <-l.session.Done():
		return nil
	default:
		return l
	}
}

// resolved is the way to the server of an ID, wherever that is at the time of a request.
type resolved struct {
	hub *Hub
	id  string
}

// RoundTrip makes a request to the server.
func (r *resolved) RoundTrip(req *http.Request) (*http.Response, error) {
	l, err := r.link(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as RoundTrippers must
		}
		return nil, err
	}
	return l.client.RoundTrip(req)
}

func (r *resolved) link(ctx context.Context) (*link, error) {
	if l := r.hub.session(r.id); l != nil {
		return l, nil
	}
	if r.hub.cfg.Resolve == nil {
		return nil, nomadish.Errorf(nomadish.KindInternal, "No path to server")
	}
	addr, err := r.hub.cfg.Resolve(r.id)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInternal, "No path to server: %w", err)
	}
	l, err := r.hub.Dial(addr).(*dialled).connect(ctx)
	if err != nil {
		return nil, err
	}
	if l.peer.Kind != nomadish.CallerServer || l.peer.ID != r.id {
		return nil, nomadish.Errorf(nomadish.KindInternal, "No path to server: at %s is another agent", addr)
	}
	return l, nil
}
