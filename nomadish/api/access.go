package api

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

// CanI says whether the client's token has a permission, in the query's namespace. name is the
// node pool, host volume or path of a variable that it is about.
func (a ACL) CanI(ctx context.Context, permission, name string, q *Query) (*nomadish.AccessAnswer, error) {
	out, _, err := get[*nomadish.AccessAnswer](ctx, a.c, "/v1/acl/can-i", asking(q, permission, name))
	return out, err
}

// WhoCan says who has a permission.
func (a ACL) WhoCan(ctx context.Context, permission, name string, q *Query) (*nomadish.AccessHolders, error) {
	out, _, err := get[*nomadish.AccessHolders](ctx, a.c, "/v1/acl/who-can", asking(q, permission, name))
	return out, err
}

// asking is q with what is asked for.
func asking(q *Query, permission, name string) *Query {
	with := Query{}
	if q != nil {
		with = *q
	}
	with.Params = map[string]string{"permission": permission, "name": name}
	return &with
}
