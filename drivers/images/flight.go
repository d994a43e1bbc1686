//go:build linux

package images

import (
	"context"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers"
)

// noticeEvery is how often a waiting start tells of its download.
const noticeEvery = 250 * time.Millisecond

// flightKey is what downloads must have in common to be one. The credentials are part of
// it: a task gets nothing by what another one may see.
type flightKey struct {
	ref  string
	auth Auth
	soft bool
	keep bool
}

// flight is a download that any number of starts wait for. It ends early when none is left.
type flight struct {
	cancel   context.CancelCauseFunc
	done     chan struct{} // closed at its end; img and err are set then
	progress *progress
	waiters  int // guarded by the store's mu
	img      client.Image
	err      error
}

// pull gets an image from its registry, together with all others that want it now.
func (s *Store) pull(ctx context.Context, req Request) (client.Image, error) {
	key := flightKey{req.Ref, req.Auth, req.AuthSoftFail, req.keep}
	f := s.board(ctx, key, req)
	defer s.alight(key, f)
	var tick <-chan time.Time
	if req.Notify != nil {
		ticker := time.NewTicker(noticeEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	var told drivers.Notice
	for {
		select {
		case <-f.done:
			return f.img, f.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick:
			if n := f.progress.notice(req.Ref); n != told {
				req.Notify(n)
				told = n
			}
		}
	}
}

// board joins the download of the key, or begins it.
func (s *Store) board(ctx context.Context, key flightKey, req Request) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.flights[key]; f != nil {
		f.waiters++
		return f
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, done: make(chan struct{}), progress: newProgress(), waiters: 1}
	s.flights[key] = f
	go func() { // the last one who alights waits for it
		defer close(f.done)
		f.img, f.err = s.download(ctx, f.progress, req)
	}()
	return f
}

// alight leaves a download. The last one ends it.
func (s *Store) alight(key flightKey, f *flight) {
	s.mu.Lock()
	f.waiters--
	last := f.waiters == 0
	if last {
		delete(s.flights, key)
	}
	s.mu.Unlock()
	if last {
		f.cancel(errUnwanted)
		<-f.done
	}
}
