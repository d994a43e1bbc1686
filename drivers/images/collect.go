//go:build linux

package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
)

// Run removes images that no task uses any more, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	if s.cfg.KeepUnused {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := s.Collect(ctx); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("collect images", "err", err) // the next pass tries again
			}
		}
	}
}

// Collect removes the images that no container was made from for as long as the delay, and
// marks those that it sees without one for the first time. The marks are with the images:
// the time goes on while there is no agent.
func (s *Store) Collect(ctx context.Context) error {
	c, ctx, err := s.session(ctx)
	if err != nil {
		return err
	}
	all, err := c.ListImages(ctx)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	users, err := c.users(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, img := range all {
		if err := ignoreNotFound(s.consider(ctx, c, img, users[img.Name()] > 0)); err != nil {
			errs = append(errs, fmt.Errorf("image %s: %w", img.Name(), err))
		}
	}
	return errors.Join(errs...)
}

// consider looks at one image.
func (s *Store) consider(ctx context.Context, c *session, img client.Image, used bool) error {
	mark, now := img.Labels()[labelUnused], s.cfg.Now()
	switch since, err := time.Parse(time.RFC3339, mark); {
	case used || kept(img.Labels()):
		if mark == "" {
			return nil
		}
		return setLabel(ctx, c, img.Name(), labelUnused, "")
	case err != nil || since.After(now): // not marked yet, or the clock was set back
		return setLabel(ctx, c, img.Name(), labelUnused, now.UTC().Format(time.RFC3339))
	case now.Sub(since) < s.cfg.Delay:
		return nil
	}
	return s.collect(ctx, c, img.Name())
}

// collect removes an image unless it came into use since it was looked at.
func (s *Store) collect(ctx context.Context, c *session, name string) error {
	done, ok := s.claim(name)
	if !ok {
		return nil
	}
	defer done()
	record, err := c.ImageService().Get(ctx, name)
	if err != nil {
		return err
	}
	users, err := c.users(ctx, fmt.Sprintf("image==%q", name))
	if err != nil || users[name] > 0 || record.Labels[labelUnused] == "" || kept(record.Labels) {
		return err
	}
	s.cfg.Logger.Info("remove an image that no task uses", "image", name, "unused_since", record.Labels[labelUnused])
	return c.ImageService().Delete(ctx, name, images.SynchronousDelete())
}
