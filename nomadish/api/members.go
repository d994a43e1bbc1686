package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/nomadish/nomadish/nomadish"
)

// Join has the server that is asked join others, at addresses of gossip (host or host:port). It returns how
// many let it in.
func (a Agent) Join(ctx context.Context, addrs ...string) (int, error) {
	out, err := put[nomadish.ServerJoinResponse](ctx, a.c, "/v1/agent/join", url.Values{"address": addrs}, nil)
	if err == nil && out.Error != "" {
		err = nomadish.Errorf(nomadish.KindInternal, "%s", out.Error)
	}
	return out.NumJoined, err
}

// ForceLeave has the servers take one that failed, by name or ID, for one that left; with prune they forget it.
func (a Agent) ForceLeave(ctx context.Context, name string, prune bool) error {
	params := url.Values{"node": {name}}
	if prune {
		params.Set("prune", "true")
	}
	_, err := a.c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/force-leave", params: params})
	return err
}

// SetServers has a client node that is no server talk to servers at these addresses.
func (a Agent) SetServers(ctx context.Context, addrs ...string) error {
	_, err := a.c.do(ctx, call{method: http.MethodPut, path: "/v1/agent/servers", params: url.Values{"address": addrs}})
	return err
}

// ListKeys lists the keys by which servers encrypt their gossip.
func (a Agent) ListKeys(ctx context.Context) (*nomadish.KeyringResponse, error) {
	out, _, err := get[*nomadish.KeyringResponse](ctx, a.c, "/v1/agent/keyring/list", nil)
	return out, err
}

// InstallKey gives all servers another key, in base64, that they can read by.
func (a Agent) InstallKey(ctx context.Context, key nomadish.SecretText) (*nomadish.KeyringResponse, error) {
	return a.changeKeys(ctx, "install", key)
}

// UseKey has all servers encrypt by a key that is installed.
func (a Agent) UseKey(ctx context.Context, key nomadish.SecretText) (*nomadish.KeyringResponse, error) {
	return a.changeKeys(ctx, "use", key)
}

// RemoveKey has all servers forget a key that is not used.
func (a Agent) RemoveKey(ctx context.Context, key nomadish.SecretText) (*nomadish.KeyringResponse, error) {
	return a.changeKeys(ctx, "remove", key)
}

func (a Agent) changeKeys(ctx context.Context, op string, key nomadish.SecretText) (*nomadish.KeyringResponse, error) {
	return put[*nomadish.KeyringResponse](ctx, a.c, "/v1/agent/keyring/"+op, nil, struct{ Key string }{key.Reveal()})
}
