//go:build linux

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/nomadish/nomadish/drivers"
)

// pullTimeout is how long getting an image may take when the request does not say.
const pullTimeout = 5 * time.Minute

// Request says which image a task wants, and what helps to get it.
type Request struct {
	// Ref is the image's name in the form that ParseName returns.
	Ref string
	// Auth are the task's own credentials; without any the node's are used.
	Auth Auth
	// AuthSoftFail goes on without credentials when the node's can't be had.
	AuthSoftFail bool
	// Force asks the registry also when the image is here.
	Force bool
	// Timeout is how long it may take in all; default 5m.
	Timeout time.Duration
	// Load is an archive that has the image, in place of a registry: a path in the task's
	// directory, or an absolute one below a directory that the node allows.
	Load string
	// Dir are the task's directories, for Load.
	Dir drivers.TaskDir
	// Notify hears how a download goes on, with the key "image"; it may be nil.
	Notify func(drivers.Notice)

	keep bool // until it is removed, whether tasks use it or not
}

// Auth are credentials for one registry.
type Auth struct {
	Username string
	Password string
	Server   string // the registry that they are for; default that of the image
}

func (a Auth) given() bool { return a.Username != "" || a.Password != "" }

// String shows nothing that is secret.
func (a Auth) String() string { return "credentials of " + cmp.Or(a.Server, "the image's registry") }

// GoString shows nothing that is secret.
func (a Auth) GoString() string { return a.String() }

// Get returns an image, unpacked and ready to be mounted: out of the archive where the
// request names one, else what is here, else from the registry. The image stays until the
// function is called that comes with it, and then as long as a container is made from it.
func (s *Store) Get(ctx context.Context, req Request) (client.Image, func(), error) {
	timeout := cmp.Or(req.Timeout, pullTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("image_pull_timeout: no image after %s", timeout))
	defer cancel()
	c, ctx, err := s.session(ctx)
	if err != nil {
		return nil, nil, drivers.Recoverable(err)
	}
	img, release, err := s.find(ctx, c, req)
	if err != nil {
		return nil, nil, explain(ctx, req.Ref, err)
	}
	if err := s.prepare(ctx, c, img); err != nil {
		release()
		return nil, nil, explain(ctx, req.Ref, err)
	}
	return img, release, nil
}

// find returns the image, held.
func (s *Store) find(ctx context.Context, c *session, req Request) (client.Image, func(), error) {
	if req.Load != "" {
		return s.fromArchive(ctx, c, req)
	}
	release, err := s.hold(ctx, req.Ref)
	if err != nil {
		return nil, nil, err
	}
	img, err := s.present(ctx, c, req)
	if err != nil {
		release()
		return nil, nil, err
	}
	return img, release, nil
}

// present returns the image that is here or, where that won't do, the registry's. The caller
// holds it.
func (s *Store) present(ctx context.Context, c *session, req Request) (client.Image, error) {
	img, err := c.GetImage(ctx, req.Ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, err
	}
	if err == nil && !req.Force && (!moves(req.Ref) || kept(img.Labels())) {
		return img, nil
	}
	req.keep = req.keep || err == nil && kept(img.Labels())
	return s.pull(ctx, req)
}

// prepare unpacks an image that is not, and takes off it the mark of being unused.
func (s *Store) prepare(ctx context.Context, c *session, img client.Image) error {
	unlock, err := s.turns.Take(ctx, img.Name())
	if err != nil {
		return err
	}
	defer unlock()
	if img.Labels()[labelUnused] != "" {
		if err := setLabel(ctx, c, img.Name(), labelUnused, ""); err != nil {
			return err
		}
	}
	done, err := img.IsUnpacked(ctx, c.snapshotter)
	if err != nil || done {
		return err
	}
	if err := s.checkRoom(ctx, c, img.Target()); err != nil {
		return err
	}
	return img.Unpack(ctx, c.snapshotter)
}

// hold is an image that must not be removed, or one that is being removed.
type hold struct {
	count int
	gone  chan struct{} // not nil while it is being removed; closed at the end
}

// hold keeps an image from being removed until the function that it returns is called. It
// waits while the image is being removed.
func (s *Store) hold(ctx context.Context, name string) (func(), error) {
	for {
		s.mu.Lock()
		h := s.held[name]
		if h == nil {
			h = &hold{}
			s.held[name] = h
		}
		if h.gone == nil {
			h.count++
			s.mu.Unlock()
			return onlyOnce(func() { s.letGo(name) }), nil
		}
		s.mu.Unlock()
		select {
		case <-h.gone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Store) letGo(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[name]; h != nil {
		if h.count--; h.count == 0 {
			delete(s.held, name)
		}
	}
}

// claim keeps everybody else from an image while it is removed. It returns false when
// somebody holds it.
func (s *Store) claim(name string) (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] != nil {
		return nil, false
	}
	h := &hold{gone: make(chan struct{})}
	s.held[name] = h
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, name)
		close(h.gone)
	}, true
}

// onlyOnce makes calling a function again harmless. It is for one goroutine.
func onlyOnce(f func()) func() {
	return func() {
		if f != nil {
			f()
			f = nil
		}
	}
}

// Labels of image records. Unused has the time since when no container was made from the
// image, keep is on images that users put here, and archive says which file one was read
// from, so that it is read once.
const (
	labelUnused  = "nomadish.dev/unused-since"
	labelKeep    = "nomadish.dev/keep"
	labelArchive = "nomadish.dev/archive"
)

func kept(labels map[string]string) bool { return labels[labelKeep] != "" }

// setLabel writes one label of an image's record; an empty value takes it away.
func setLabel(ctx context.Context, c *session, name, label, value string) error {
	record, err := c.ImageService().Get(ctx, name)
	if err != nil {
		return err
	}
	if record.Labels == nil {
		record.Labels = map[string]string{}
	}
	if record.Labels[label] == value {
		return nil
	}
	record.Labels[label] = value
	_, err = c.ImageService().Update(ctx, record, "labels."+label)
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, errdefs.ErrNotFound) || errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
