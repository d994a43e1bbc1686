//go:build linux

package images_test

import (
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/client"

	"github.com/nomadish/nomadish/drivers/container/containertest"
	"github.com/nomadish/nomadish/drivers/images"
	"github.com/nomadish/nomadish/nomadish"
)

// has says whether an image is on the node.
func has(t *testing.T, s *images.Store, ref string) bool {
	t.Helper()
	all, err := s.List(containertest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(i *nomadish.NodeImage) bool { return i.Name == ref })
}

// An image that nothing uses goes after the delay, which goes on while there is no agent; one
// that is in use, held by a start, or kept stays.
func TestCollect(t *testing.T) {
	h := newPlainHub(t)
	unused := h.push(t, "unused:1", build(t, "unused", 10))
	used := h.push(t, "used:1", build(t, "used", 10))
	held := h.push(t, "held:1", build(t, "held", 10))
	keep := h.push(t, "keep:1", build(t, "keep", 10))
	again := h.push(t, "again:1", build(t, "again", 10))
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	cfg := images.Config{Delay: 3 * time.Minute, Now: func() time.Time { return now }}
	s := newStore(t, cfg)
	collect := func(s *images.Store, want ...string) {
		t.Helper()
		if err := s.Collect(containertest.Context(t)); err != nil {
			t.Fatal(err)
		}
		for _, ref := range []string{unused, used, held, keep, again} {
			if got := has(t, s, ref); got != slices.Contains(want, ref) {
				t.Errorf("at %s: %s is here: %v", now.Format(time.TimeOnly), ref, got)
			}
		}
	}
	get(t, s, images.Request{Ref: unused})
	get(t, s, images.Request{Ref: again})
	container := uses(t, get(t, s, images.Request{Ref: used}))
	_, release, err := s.Get(containertest.Context(t), images.Request{Ref: held})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(containertest.Context(t), keep, nil); err != nil {
		t.Fatal(err)
	}
	collect(s, unused, used, held, keep, again) // marks
	now = now.Add(2 * time.Minute)
	get(t, s, images.Request{Ref: again}) // takes the mark off
	collect(s, unused, used, held, keep, again)
	now = now.Add(time.Minute)
	s = newStore(t, cfg) // another agent, which holds nothing
	collect(s, used, keep, again)
	release()
	container()
	now = now.Add(3 * time.Minute)
	collect(s, used, keep)
	now = now.Add(3 * time.Minute)
	collect(s, keep)
	if err := s.Remove(containertest.Context(t), keep, false); err != nil {
		t.Error(err)
	}
	collect(s)
}

// uses makes a container of an image, without a process.
func uses(t *testing.T, img client.Image) (remove func()) {
	t.Helper()
	c, ctx, err := world.Runtime(t).Client(containertest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.NewContainer(ctx, "user-of-image", client.WithImageName(img.Name()), client.WithRuntime("none", nil))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := made.Delete(ctx); err != nil {
			t.Error(err)
		}
	}
}

// A start that holds an image keeps it from being collected and removed.
func TestHeldImagesStay(t *testing.T) {
	h := newPlainHub(t)
	ref := h.push(t, "app:1", build(t, "x", 10))
	now := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	s := newStore(t, images.Config{Delay: time.Minute, Now: func() time.Time { return now }})
	_, release, err := s.Get(containertest.Context(t), images.Request{Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := s.Collect(containertest.Context(t)); err != nil || !has(t, s, ref) {
			t.Fatalf("collected: %v", err)
		}
		now = now.Add(time.Hour)
	}
	if err := s.Remove(containertest.Context(t), ref, true); nomadish.KindOf(err) != nomadish.KindConflict {
		t.Errorf("remove: %v", err)
	}
	release()
	if err := s.Remove(containertest.Context(t), ref, false); err != nil {
		t.Errorf("remove: %v", err)
	}
	if err := s.Remove(containertest.Context(t), ref, false); nomadish.KindOf(err) != nomadish.KindNotFound {
		t.Errorf("remove what is gone: %v", err)
	}
}
