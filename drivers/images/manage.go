//go:build linux

package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

var _ drivers.ImageStore = (*Store)(nil)

// List describes all images, by name.
func (s *Store) List(ctx context.Context) ([]*nomadish.NodeImage, error) {
	c, ctx, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.ListImages(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	users, err := c.users(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]*nomadish.NodeImage, 0, len(all))
	for _, img := range all {
		described, err := describe(ctx, img)
		if errdefs.IsNotFound(err) {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		described.Containers = users[img.Name()]
		out = append(out, described)
	}
	slices.SortFunc(out, func(a, b *nomadish.NodeImage) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// describe does not know of containers.
func describe(ctx context.Context, img client.Image) (*nomadish.NodeImage, error) {
	size, err := img.Size(ctx)
	if err != nil {
		return nil, fmt.Errorf("size of image %s: %w", img.Name(), err)
	}
	out := &nomadish.NodeImage{
		Name: img.Name(), Digest: img.Target().Digest.String(), Size: size,
		Created: img.Metadata().CreatedAt, Kept: kept(img.Labels()),
	}
	if since, err := time.Parse(time.RFC3339, img.Labels()[labelUnused]); err == nil {
		out.UnusedSince = &since
	}
	return out, nil
}

// users counts containers by the image that they were made from.
func (c *session) users(ctx context.Context, filters ...string) (map[string]int, error) {
	all, err := c.ContainerService().List(ctx, filters...)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	users := map[string]int{}
	for _, ct := range all {
		users[ct.Image]++
	}
	return users, nil
}

// Remove removes an image; one that containers were made from only by force. They go on.
func (s *Store) Remove(ctx context.Context, name string, force bool) error {
	c, ctx, err := s.session(ctx)
	if err != nil {
		return err
	}
	ref, err := parse(name)
	if err != nil {
		return err
	}
	done, ok := s.claim(ref)
	if !ok {
		return nomadish.Errorf(nomadish.KindConflict, "image %s is being used by a task that starts", ref)
	}
	defer done()
	users, err := c.users(ctx, fmt.Sprintf("image==%q", ref))
	if err != nil {
		return err
	}
	if n := users[ref]; n > 0 && !force {
		return nomadish.Errorf(nomadish.KindConflict, "image %s is used by %d containers: stop their tasks, or remove it by force", ref, n)
	}
	err = c.ImageService().Delete(ctx, ref, images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return absent(ref)
	}
	return err
}

// Pull gets an image from its registry with the node's credentials, to be kept until it is
// removed.
func (s *Store) Pull(ctx context.Context, name string, notify func(*nomadish.ImageProgress)) (*nomadish.NodeImage, error) {
	ref, err := parse(name)
	if err != nil {
		return nil, err
	}
	req := Request{Ref: ref, Force: true, Timeout: userTimeout, keep: true}
	if notify != nil {
		req.Notify = func(n drivers.Notice) {
			notify(&nomadish.ImageProgress{Message: n.Message, Done: n.Done, Total: n.Total})
		}
	}
	img, release, err := s.Get(ctx, req)
	switch {
	case errdefs.IsNotFound(err):
		return nil, nomadish.Errorf(nomadish.KindNotFound, "%w", err)
	case err != nil && !drivers.IsRecoverable(err):
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%w", err)
	case err != nil:
		return nil, err
	}
	defer release()
	_, ctx, err = s.session(ctx)
	if err != nil {
		return nil, err
	}
	return describe(ctx, img)
}

// userTimeout bounds what a user waits for; a silent registry ends it sooner.
const userTimeout = 6 * time.Hour

// Load takes images from an archive, to be kept until they are removed.
func (s *Store) Load(ctx context.Context, r io.Reader, name string) ([]*nomadish.NodeImage, error) {
	c, ctx, err := s.session(ctx)
	if err != nil {
		return nil, err
	}
	ctx, done, err := c.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(userTimeout))
	if err != nil {
		return nil, err
	}
	defer done(context.WithoutCancel(ctx)) //nolint:errcheck // the lease ends by itself
	held, err := s.readIndex(ctx, c, r)
	if err != nil {
		return nil, ofArchive(err)
	}
	names, err := namesOf(held, name)
	if err != nil {
		return nil, err
	}
	var out []*nomadish.NodeImage
	for i, target := range held {
		loaded, err := s.adopt(ctx, c, names[i], target)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", names[i], ofArchive(err))
		}
		out = append(out, loaded)
	}
	return out, nil
}

// adopt makes an image of what an archive had.
func (s *Store) adopt(ctx context.Context, c *session, name string, target ocispec.Descriptor) (*nomadish.NodeImage, error) {
	release, err := s.hold(ctx, name)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := c.referTo(ctx, target); err != nil {
		return nil, err
	}
	target.Annotations = nil // names in it are the archive's
	img, err := c.record(ctx, name, target, map[string]string{labelKeep: "true"})
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, c, img); err != nil {
		return nil, err
	}
	return describe(ctx, img)
}

// namesOf says what the images of an archive are to be called.
func namesOf(held []ocispec.Descriptor, name string) ([]string, error) {
	if len(held) == 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the archive has no image")
	}
	if name != "" && len(held) > 1 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "the archive has %d images: one name is not enough", len(held))
	}
	out := make([]string, len(held))
	for i, m := range held {
		n := name
		for _, key := range []string{images.AnnotationImageName, ocispec.AnnotationRefName} {
			if n == "" && strings.ContainsAny(m.Annotations[key], "/:") {
				n = m.Annotations[key]
			}
		}
		if n == "" {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "an image in the archive has no full name: say which it is to have")
		}
		var err error
		if out[i], err = parse(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// ofArchive gives faults of an archive their kind.
func ofArchive(err error) error {
	if errors.Is(err, errArchive) {
		return nomadish.Errorf(nomadish.KindInvalid, "%w", err)
	}
	return err
}

// Export writes an image as an archive, with the parts for this machine's platform.
func (s *Store) Export(ctx context.Context, name string, w io.Writer) error {
	c, ctx, err := s.session(ctx)
	if err != nil {
		return err
	}
	ref, err := parse(name)
	if err != nil {
		return err
	}
	release, err := s.hold(ctx, ref)
	if err != nil {
		return err
	}
	defer release()
	record, err := c.ImageService().Get(ctx, ref)
	if errdefs.IsNotFound(err) {
		return absent(ref)
	}
	if err != nil {
		return err
	}
	// An index names the images of all platforms, but only this one's parts are here.
	target, err := c.manifest(ctx, record.Target)
	if err != nil {
		return fmt.Errorf("image %s: %w", ref, err)
	}
	return c.Client.Export(ctx, w, archive.WithPlatform(platforms.Default()), archive.WithManifest(target, ref))
}

// manifest is the one for this machine's platform that an image's target means.
func (c *session) manifest(ctx context.Context, target ocispec.Descriptor) (ocispec.Descriptor, error) {
	if images.IsManifestType(target.MediaType) {
		return target, nil
	}
	var found []ocispec.Descriptor
	store := c.ContentStore()
	children := images.LimitManifests(images.FilterPlatforms(images.ChildrenHandler(store), platforms.Default()), platforms.Default(), 1)
	err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if images.IsManifestType(desc.MediaType) {
			found = append(found, desc)
			return nil, images.ErrSkipDesc
		}
		return children(ctx, desc)
	}), target)
	if err == nil && len(found) == 0 {
		err = errors.New("it has no manifest for this platform")
	}
	if err != nil {
		return target, err
	}
	return found[0], nil
}

func parse(name string) (string, error) {
	ref, err := ParseName(name)
	if err != nil {
		return "", nomadish.Errorf(nomadish.KindInvalid, "image: %w", err)
	}
	return ref, nil
}

func absent(ref string) error {
	return nomadish.Errorf(nomadish.KindNotFound, "image %s is not on this node", ref)
}
