package api

import (
	"context"
	"net/http"

	"github.com/nomadish/nomadish/nomadish"
)

// Put stores a namespace in place of the one with its name.
func (n Namespaces) Put(ctx context.Context, ns *nomadish.Namespace) error {
	_, err := n.c.do(ctx, call{method: http.MethodPut, path: "/v1/namespace", in: ns})
	return err
}

// Delete removes a namespace in which nothing lives.
func (n Namespaces) Delete(ctx context.Context, name string) error {
	return n.c.remove(ctx, "/v1/namespace/"+id(name))
}

// Quotas are the routes of quotas.
type Quotas struct{ c *Client }

// Quotas returns the routes of quotas.
func (c *Client) Quotas() Quotas { return Quotas{c} }

// List lists quotas by name.
func (s Quotas) List(ctx context.Context, q *Query) ([]*nomadish.QuotaSpec, Meta, error) {
	return get[[]*nomadish.QuotaSpec](ctx, s.c, "/v1/quotas", q)
}

// Quota reads a quota.
func (s Quotas) Quota(ctx context.Context, name string, q *Query) (*nomadish.QuotaSpec, Meta, error) {
	return get[*nomadish.QuotaSpec](ctx, s.c, "/v1/quota/"+id(name), q)
}

// Usages lists what the namespaces of quotas use, by the quotas' names.
func (s Quotas) Usages(ctx context.Context, q *Query) ([]*nomadish.QuotaUsage, Meta, error) {
	return get[[]*nomadish.QuotaUsage](ctx, s.c, "/v1/quota-usages", q)
}

// Usage reads what the namespaces of a quota use.
func (s Quotas) Usage(ctx context.Context, name string, q *Query) (*nomadish.QuotaUsage, Meta, error) {
	return get[*nomadish.QuotaUsage](ctx, s.c, "/v1/quota/usage/"+id(name), q)
}

// Put stores a quota in place of the one with its name.
func (s Quotas) Put(ctx context.Context, quota *nomadish.QuotaSpec) error {
	_, err := s.c.do(ctx, call{method: http.MethodPut, path: "/v1/quota", in: quota})
	return err
}

// Delete removes a quota that no namespace has.
func (s Quotas) Delete(ctx context.Context, name string) error {
	return s.c.remove(ctx, "/v1/quota/"+id(name))
}
