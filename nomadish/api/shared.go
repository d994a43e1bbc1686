package api

import (
	"context"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

// SharedRows lists what the region that is asked has of what all regions share, with secrets.
// Servers of other regions ask for it with a management token.
func (o Operator) SharedRows(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error) {
	q := &Query{MinIndex: ask.Index, Wait: ask.Wait, Params: map[string]string{"known": strconv.Itoa(ask.Known)}}
	if ask.From != 0 {
		q.Params["from"] = strconv.FormatUint(ask.From, 10)
	}
	out, _, err := get[*nomadish.SharedRows](ctx, o.c, "/v1/internal/shared/"+id(ask.Kind), q)
	return out, err
}

// Replication tells how a region gets what all regions share.
func (o Operator) Replication(ctx context.Context) (*nomadish.Replication, error) {
	out, _, err := get[*nomadish.Replication](ctx, o.c, "/v1/operator/replication", nil)
	return out, err
}
