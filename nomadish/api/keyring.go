package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// Keyring are the routes of root keys.
type Keyring struct{ c *Client }

// Keyring returns the routes of root keys.
func (c *Client) Keyring() Keyring { return Keyring{c} }

// List lists root keys by ID.
func (k Keyring) List(ctx context.Context, q *Query) ([]*nomadish.RootKey, Meta, error) {
	return get[[]*nomadish.RootKey](ctx, k.c, "/v1/operator/keyring/keys", q)
}

// Rotate makes a new root key and returns it.
func (k Keyring) Rotate(ctx context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.RootKey, error) {
	params := url.Values{}
	if req.Algorithm != "" {
		params.Set("algo", req.Algorithm)
	}
	if req.Full {
		params.Set("full", "true")
	}
	if req.PublishTime != 0 {
		params.Set("publish_time", strconv.FormatInt(req.PublishTime, 10))
	}
	out, err := put[nomadish.KeyringRotateResponse](ctx, k.c, "/v1/operator/keyring/rotate", params, nil)
	return out.Key, err
}

// Delete removes a root key that nothing needs any more; with force also one that allocations
// may hold identities of.
func (k Keyring) Delete(ctx context.Context, keyID string, force bool) error {
	_, err := k.c.do(ctx, call{
		method: http.MethodDelete, path: "/v1/operator/keyring/key/" + id(keyID),
		params: url.Values{"force": {strconv.FormatBool(force)}},
	})
	return err
}

// Recovery tells of the recovery key: nil if there is none.
func (k Keyring) Recovery(ctx context.Context, q *Query) (*nomadish.RecoveryKey, error) {
	out, _, err := get[nomadish.RecoveryKeyResponse](ctx, k.c, "/v1/operator/keyring/recovery", q)
	return out.Key, err
}

// SetRecovery has root keys be wrapped for another recovery key, and for no former one.
func (k Keyring) SetRecovery(ctx context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKey, error) {
	out, err := put[nomadish.RecoveryKeyResponse](ctx, k.c, "/v1/operator/keyring/recovery", nil, req)
	return out.Key, err
}

// SignIdentities signs identities of the node's tasks.
func (n NodeAgent) SignIdentities(ctx context.Context, nodeID string, req *nomadish.IdentitiesRequest) (*nomadish.IdentitiesResponse, error) {
	out := &nomadish.IdentitiesResponse{}
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: n.path(nodeID, "/identities"), in: req, out: out})
	if err != nil {
		return nil, err
	}
	return out, nil
}
