//go:build linux

package docker

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
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
)

// errArchive marks faults of an archive that stay however often it is read.
var errArchive = errors.New("load")

// labelArchive holds, on an image, which file it was read from, so that it is read once.
const labelArchive = "nomadish.dev/archive"

// load takes the task's image from its archive. The image gets a name made of its digest:
// an archive can't take the place of an image that others use by name.
func (d *Driver) load(ctx context.Context, c *client.Client, spec *drivers.TaskSpec, s *settings) (client.Image, error) {
	f, err := d.openArchive(spec, s.load)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	identity, err := fileIdentity(f)
	if err != nil {
		return nil, err
	}
	identity += " " + s.image
	known, err := c.ListImages(ctx, fmt.Sprintf("labels.%q==%q", labelArchive, identity))
	if err != nil {
		return nil, err
	}
	if len(known) > 0 {
		return known[0], nil
	}
	ctx, done, err := c.WithLease(ctx) // keeps what is read until the image refers to it
	if err != nil {
		return nil, err
	}
	defer done(context.WithoutCancel(ctx)) //nolint:errcheck // the lease ends by itself in a day
	target, err := d.importArchive(ctx, c, f, s)
	if err != nil {
		return nil, err
	}
	img := images.Image{
		Name:   "load.nomadish.dev/image@" + target.Digest.String(),
		Target: target,
		Labels: map[string]string{labelArchive: identity},
	}
	stored, err := c.ImageService().Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		stored, err = c.ImageService().Update(ctx, img, "target", "labels")
	}
	if err != nil {
		return nil, err
	}
	return client.NewImage(c, stored), nil
}

// openArchive opens the file that load names: in the task's local directory, in the task's
// directory, or, by an absolute path, below a directory that the node's configuration
// names. Symbolic links lead nowhere outside.
func (d *Driver) openArchive(spec *drivers.TaskSpec, path string) (*os.File, error) {
	dirs := []string{spec.Dir.Local, spec.Dir.Task}
	if filepath.IsAbs(path) {
		dirs = slices.Concat(dirs, []string{spec.Dir.Alloc}, d.cfg.ImageArchives)
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

// importArchive reads an archive into the content store and returns the image that the task
// asks for.
func (d *Driver) importArchive(ctx context.Context, c *client.Client, f *os.File, s *settings) (ocispec.Descriptor, error) {
	var none ocispec.Descriptor
	plain, err := compression.DecompressStream(f)
	if err != nil {
		return none, fmt.Errorf("%w: %s: %w", errArchive, s.load, err)
	}
	defer plain.Close()
	store := c.ContentStore()
	index, err := archive.ImportIndex(ctx, store, &limited{r: plain, left: d.cfg.MaxArchive})
	if err != nil {
		if container.Down(err) {
			return none, err
		}
		return none, fmt.Errorf("%w: %s is no OCI or docker archive: %w", errArchive, s.load, err)
	}
	b, err := content.ReadBlob(ctx, store, index)
	if err != nil {
		return none, err
	}
	var held ocispec.Index
	if err := json.Unmarshal(b, &held); err != nil {
		return none, fmt.Errorf("%w: %s: index: %w", errArchive, s.load, err)
	}
	target, err := choose(held.Manifests, s.image)
	if err != nil {
		return none, fmt.Errorf("%w: %s: %w", errArchive, s.load, err)
	}
	// References from parent to child keep the garbage collector from taking the children.
	handler := images.SetChildrenLabels(store, images.FilterPlatforms(images.ChildrenHandler(store), platforms.Default()))
	if err := images.Walk(ctx, handler, target); err != nil {
		return none, fmt.Errorf("%w: %s: %w", errArchive, s.load, err)
	}
	return target, nil
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
		return ocispec.Descriptor{}, fmt.Errorf("the archive holds %d images without a name", len(held))
	}
	slices.Sort(names)
	return ocispec.Descriptor{}, fmt.Errorf("the archive holds %s, not %s", strings.Join(names, ", "), image)
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
