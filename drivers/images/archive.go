//go:build linux

package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/container"
)

// fromArchive takes an image from the request's archive, held. The image gets a name made of
// its digest: an archive can't take the place of an image that others use by name.
func (s *Store) fromArchive(ctx context.Context, c *session, req Request) (client.Image, func(), error) {
	f, err := s.openArchive(req)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	identity, err := fileIdentity(f)
	if err != nil {
		return nil, nil, err
	}
	identity += " " + req.Ref
	unlock, err := s.turns.Take(ctx, identity)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	known, err := c.ListImages(ctx, fmt.Sprintf("labels.%q==%q", labelArchive, identity))
	if err != nil {
		return nil, nil, err
	}
	if len(known) > 0 {
		release, err := s.hold(ctx, known[0].Name())
		if err != nil {
			return nil, nil, err
		}
		img, err := c.GetImage(ctx, known[0].Name()) // it may have been removed before it was held
		if err == nil {
			return img, release, nil
		}
		release()
		if !errdefs.IsNotFound(err) {
			return nil, nil, err
		}
	}
	ctx, done, err := c.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(leaseTime))
	if err != nil {
		return nil, nil, err
	}
	defer done(context.WithoutCancel(ctx)) //nolint:errcheck // the lease ends by itself
	target, err := s.readArchive(ctx, c, f, req)
	if err != nil {
		return nil, nil, err
	}
	name := "load.nomadish.dev/image@" + target.Digest.String()
	release, err := s.hold(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	img, err := c.record(ctx, name, target, map[string]string{labelArchive: identity})
	if err != nil {
		release()
		return nil, nil, err
	}
	return img, release, nil
}

// record writes an image's record.
func (c *session) record(ctx context.Context, name string, target ocispec.Descriptor, labels map[string]string) (client.Image, error) {
	img := images.Image{Name: name, Target: target, Labels: labels}
	stored, err := c.ImageService().Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		stored, err = c.ImageService().Update(ctx, img, "target", "labels")
	}
	if err != nil {
		return nil, err
	}
	return client.NewImage(c.Client, stored), nil
}

// openArchive opens the file that load names: in the task's local directory, in the task's
// directory, or, by an absolute path, below a directory that the node's configuration
// names. Symbolic links lead nowhere outside.
func (s *Store) openArchive(req Request) (*os.File, error) {
	path, dirs := req.Load, []string{req.Dir.Local, req.Dir.Task}
	if filepath.IsAbs(path) {
		dirs = slices.Concat(dirs, []string{req.Dir.Alloc}, s.cfg.Archives)
	}
	var last error
	for _, dir := range dirs {
		if dir == "" {
			continue
		}
		inside := path
		if filepath.IsAbs(path) {
			rel, err := filepath.Rel(dir, path)
			if err != nil || !filepath.IsLocal(rel) {
				continue
			}
			inside = rel
		}
		f, err := openInside(dir, inside)
		if err == nil {
			return f, nil
		}
		last = err
	}
	if last == nil {
		return nil, fmt.Errorf("%w: %s is outside the task's directory and the node's image_archives", errArchive, path)
	}
	return nil, fmt.Errorf("%w: %s: %w", errArchive, path, last)
}

func openInside(dir, path string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not block us
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// fileIdentity changes whenever a file's content does: the change time can't be set by hand.
func fileIdentity(f *os.File) (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d:%d:%d:%d", st.Dev, st.Ino, st.Size, st.Ctim.Nano()), nil
}

// readArchive reads an archive's images into the content store and returns the one that the
// request asks for.
func (s *Store) readArchive(ctx context.Context, c *session, f io.Reader, req Request) (ocispec.Descriptor, error) {
	held, err := s.readIndex(ctx, c, f)
	if err == nil {
		var target ocispec.Descriptor
		if target, err = choose(held, req.Ref); err == nil {
			return target, c.referTo(ctx, target)
		}
	}
	if errors.Is(err, errArchive) {
		err = fmt.Errorf("%s: %w", req.Load, err)
	}
	return ocispec.Descriptor{}, err
}

// readIndex reads an archive of either kind, packed or not, into the content store and
// returns the images in it.
func (s *Store) readIndex(ctx context.Context, c *session, r io.Reader) ([]ocispec.Descriptor, error) {
	plain, err := compression.DecompressStream(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errArchive, err)
	}
	defer plain.Close()
	index, err := archive.ImportIndex(ctx, c.ContentStore(), &limited{r: plain, left: s.cfg.MaxArchive})
	if err != nil {
		if container.Down(err) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no OCI or docker archive: %w", errArchive, err)
	}
	b, err := content.ReadBlob(ctx, c.ContentStore(), index)
	if err != nil {
		return nil, err
	}
	var held ocispec.Index
	if err := json.Unmarshal(b, &held); err != nil {
		return nil, fmt.Errorf("%w: index: %w", errArchive, err)
	}
	return held.Manifests, nil
}

// referTo writes down, for an image and all its parts, which part needs which: that keeps
// containerd from collecting the parts.
func (c *session) referTo(ctx context.Context, target ocispec.Descriptor) error {
	store := c.ContentStore()
	handler := images.SetChildrenLabels(store, images.FilterPlatforms(images.ChildrenHandler(store), platforms.Default()))
	if err := images.Walk(ctx, handler, target); err != nil {
		return fmt.Errorf("%w: %w", errArchive, err)
	}
	return nil
}

// choose picks the image of an archive: the one of that name, or the only one if it has none.
func choose(held []ocispec.Descriptor, image string) (ocispec.Descriptor, error) {
	var names []string
	for _, m := range held {
		name := m.Annotations[images.AnnotationImageName]
		if name == "" {
			name = m.Annotations[ocispec.AnnotationRefName]
		}
		if name == "" {
			continue
		}
		if sameImage(name, image) {
			return m, nil
		}
		names = append(names, name)
	}
	if len(held) == 1 && len(names) == 0 {
		return held[0], nil
	}
	if len(names) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the archive holds %d images without a name", errArchive, len(held))
	}
	slices.Sort(names)
	return ocispec.Descriptor{}, fmt.Errorf("%w: the archive holds %s, not %s", errArchive, strings.Join(names, ", "), image)
}

// sameImage compares a name in an archive, which may be only a tag, with an image's.
func sameImage(name, image string) bool {
	if named, err := reference.ParseDockerRef(name); err == nil && named.String() == image {
		return true
	}
	return !strings.ContainsAny(name, "/:") && strings.HasSuffix(image, ":"+name)
}

// limited fails, where io.LimitReader would end, when more than left is read.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(b []byte) (int, error) {
	if l.left <= 0 {
		return 0, errors.New("the archive is larger than max_archive allows")
	}
	n, err := l.r.Read(b[:min(int64(len(b)), l.left)])
	l.left -= int64(n)
	return n, err
}
