package httpapi

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
)

// Sharing knows what all regions share.
type Sharing interface {
	// SharedRows lists what changed of a kind since an index, with secrets: for management.
	SharedRows(ctx context.Context, ws memdb.WatchSet, kind string, since uint64, known int) (*nomadish.SharedRows, uint64, error)
	GlobalToken(accessor string) bool // it is one of all regions
	GlobalLogin(method string) bool   // who logs in by this auth method gets such a token
}

// Replication tells how this region gets what all regions share.
type Replication interface {
	Replication(ctx context.Context) (*nomadish.Replication, error)
}

// sharedRows answers another region. What is asked for is what follows a part of the changes, or
// what changes after an index, which is waited for. After the state was replaced by a saved one all
// of it has changed.
func (a *API) sharedRows(r *Request) (any, error) {
	from, err := r.Int("from", 0)
	if err != nil {
		return nil, err
	}
	known, err := r.Int("known", -1)
	if err != nil {
		return nil, err
	}
	return one(r, func(ctx context.Context, ws memdb.WatchSet) (*nomadish.SharedRows, uint64, error) {
		restored := a.back.Server.Reads.Restored()
		since := max(uint64(max(from, 0)), r.Query.MinIndex)
		if from <= 0 && since < restored {
			since, known = 0, -1
		}
		out, index, err := a.back.Server.Shared.SharedRows(ctx, ws, r.Param("kind"), since, int(known))
		if err == nil && !out.More {
			out.Index = max(out.Index, restored)
		}
		return out, index, err
	})
}

func (a *API) replication(r *Request) (any, error) {
	return a.back.Server.Replication.Replication(r.Context())
}
