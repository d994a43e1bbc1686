package httpapi

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
)

// Blocking answers a read. Without ?index it reads once. With it, it waits until read
// gives an index past that one or the wait is over, and reads again before it answers.
// Unless the caller takes stale answers, every read is preceded by a check that this
// server is up to date.
//
// A thing that does not exist is waited for in the same way.
func Blocking[T any](r *Request, read func(ctx context.Context, ws memdb.WatchSet) (T, uint64, error)) (T, error) {
	ctx := r.Context()
	if r.Query.MinIndex == 0 {
		value, index, err := once(ctx, r, nil, read)
		r.SetIndex(index)
		return value, err
	}
	// The jitter spreads callers that began together.
	wait := r.Query.Wait + rand.N(r.Query.Wait/16+1)
	timeout, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		ws := memdb.NewWatchSet()
		value, index, err := once(ctx, r, ws, read)
		if err != nil && nomadish.KindOf(err) != nomadish.KindNotFound {
			return value, err
		}
		if index > r.Query.MinIndex || timeout.Err() != nil {
			r.SetIndex(index)
			return value, err
		}
		if ws.WatchCtx(timeout) != nil && ctx.Err() != nil {
			return value, ctx.Err()
		}
	}
}

func once[T any](ctx context.Context, r *Request, ws memdb.WatchSet, read func(context.Context, memdb.WatchSet) (T, uint64, error)) (value T, index uint64, err error) {
	reads := r.api.back.Server.Reads
	if err := reads.Serving(); err != nil {
		return value, 0, err
	}
	if !r.Query.Stale && r.route.is(Read) {
		if err := reads.Sync(ctx); err != nil {
			return value, 0, err
		}
	}
	// Rows of a restored state have the indexes that they had when it was saved, and the indexes of
	// answers don't go back: who waits for a change learns of the restored one.
	restored := reads.Restored()
	value, index, err = read(ctx, ws)
	r.knownLeader, r.lastContact = reads.Contact()
	return value, max(index, restored), err
}

// one is Blocking for a handler that answers with what it read.
func one[T any](r *Request, read func(ctx context.Context, ws memdb.WatchSet) (T, uint64, error)) (any, error) {
	value, err := Blocking(r, read)
	if err != nil {
		return nil, err
	}
	return value, nil
}

// heartbeatEvery is the time between signs of life on a quiet stream.
const heartbeatEvery = time.Second
