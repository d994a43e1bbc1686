//go:build linux

package images

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"

	"github.com/nomadish/nomadish/drivers"
)

// leaseTime is how long the parts of a download stay that failed or was cut off, so that the
// next one goes on from there.
const leaseTime = time.Hour

// download gets an image from its registry, trying again while the faults may pass.
func (s *Store) download(ctx context.Context, p *progress, req Request) (client.Image, error) {
	p.say("Waiting for other downloads")
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p.say("Downloading image")
	for attempt := 1; ; attempt++ {
		img, err := s.attempt(ctx, p, req)
		if err == nil || ctx.Err() != nil {
			return img, err
		}
		if kind, _ := classify(registryOf(req.Ref), err); kind != passing || attempt >= s.cfg.Attempts {
			return nil, err
		}
		s.cfg.Logger.Debug("download again", "image", req.Ref, "attempt", attempt+1, "err", clean(err))
		p.say(fmt.Sprintf("Downloading image, attempt %d of %d", attempt+1, s.cfg.Attempts))
		if err := pause(ctx, s.pauseAfter(attempt)); err != nil {
			return nil, err
		}
	}
}

// pauseAfter grows with the attempts, and differs between nodes so that they do not all come
// back at once.
func (s *Store) pauseAfter(attempt int) time.Duration {
	d := s.cfg.backoff << (attempt - 1)
	return d/2 + rand.N(d)
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// attempt downloads and unpacks an image once. What it got stays for the next attempt, also
// for one of the next agent.
func (s *Store) attempt(ctx context.Context, p *progress, req Request) (_ client.Image, err error) {
	c, ctx, err := s.session(ctx) // containerd may be another one than before
	if err != nil {
		return nil, drivers.Recoverable(err)
	}
	ctx, done, err := c.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, s.cfg.Idle, cancel)
	}()
	defer func() {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = errors.Join(cause, err)
		}
		cancel(nil)
		<-watched
		if kind, _ := classify(registryOf(req.Ref), err); err == nil || kind == final { // else what came is of use yet
			err = errors.Join(err, done(context.WithoutCancel(ctx)))
		}
	}()
	expect, watch := p.expect(c.ContentStore()), newRoom(s.cfg.MaxImage).watch(c.ContentStore())
	labels := map[string]string{}
	if req.keep {
		labels[labelKeep] = "true"
	}
	return c.Pull(ctx, req.Ref,
		client.WithResolver(counted{s.resolver(ctx, req), p}),
		client.WithImageHandlerWrapper(func(h images.Handler) images.Handler { return watch(expect(h)) }),
		client.WithPullUnpack,
		client.WithPullSnapshotter(c.snapshotter),
		client.WithPullLabels(labels))
}
