package httpapi

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// Members changes which servers know each other, and the keys by which they talk.
type Members interface {
	// Join has this server join those at the addresses, and returns how many let it in.
	Join(ctx context.Context, addrs []string) (int, error)
	// ForceLeave has servers take one that failed for one that left, and with prune forget it.
	ForceLeave(ctx context.Context, name string, prune bool) error
	// SetServers has a client node talk to servers at these addresses.
	SetServers(ctx context.Context, addrs []string) error
	// GossipKeys asks all servers for their keys (KeyList, without a key), or has all change them.
	GossipKeys(ctx context.Context, op KeyOp, key string) (*nomadish.KeyringResponse, error)
}

// KeyOp is what is done with a key of gossip.
type KeyOp string

// What can be done with keys of gossip.
const (
	KeyList    KeyOp = "list"
	KeyInstall KeyOp = "install"
	KeyUse     KeyOp = "use"
	KeyRemove  KeyOp = "remove"
)

// maxAddresses bounds the servers that one request names.
const maxAddresses = 64

// addresses returns those that the query names.
func (r *Request) addresses() ([]string, error) {
	addrs := r.values["address"]
	if len(addrs) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "missing address to join")
	}
	if len(addrs) > maxAddresses {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%d addresses, at most %d are allowed", len(addrs), maxAddresses)
	}
	return addrs, nil
}

// joinServers answers 200 with an error inside where nobody lets this server in, as clients expect.
func (a *API) joinServers(r *Request) (any, error) {
	addrs, err := r.addresses()
	if err != nil {
		return nil, err
	}
	n, err := a.back.Members.Join(r.Context(), addrs)
	if err != nil && nomadish.KindOf(err) != nomadish.KindInternal {
		return nil, err
	}
	out := &nomadish.ServerJoinResponse{NumJoined: n}
	if err != nil {
		out.Error = err.Error()
	}
	return out, nil
}

func (a *API) forceLeave(r *Request) (any, error) {
	name, err := r.required("node")
	if err != nil {
		return nil, err
	}
	prune, err := r.Bool("prune")
	if err != nil {
		return nil, err
	}
	return nil, a.back.Members.ForceLeave(r.Context(), name, prune)
}

func (a *API) setServers(r *Request) (any, error) {
	addrs, err := r.addresses()
	if err != nil {
		return nil, err
	}
	return nil, a.back.Members.SetServers(r.Context(), addrs)
}

func (a *API) gossipKeys(r *Request) (any, error) {
	return a.back.Members.GossipKeys(r.Context(), KeyList, "")
}

func (a *API) changeGossipKeys(r *Request) (any, error) {
	op := KeyOp(r.Param("op"))
	switch op {
	case KeyInstall, KeyUse, KeyRemove:
	default:
		return nil, nomadish.Errorf(nomadish.KindNotFound, "%q is none of install, use, remove", op)
	}
	req := &nomadish.KeyringRequest{}
	if err := r.Decode(req); err != nil {
		return nil, err
	}
	return a.back.Members.GossipKeys(r.Context(), op, req.Key.Reveal())
}
