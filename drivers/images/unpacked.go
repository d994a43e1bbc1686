//go:build linux

package images

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/platforms"
	"github.com/klauspost/compress/gzip"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// errUnpacked refuses an image that takes more room than it may.
var errUnpacked = errors.New("max_image_bytes")

// room is what of an image may still be unpacked, before any of it is: a layer of a few
// kilobytes can be made that unpacks to more than any disk has.
type room struct {
	max  int64
	left atomic.Int64
}

func newRoom(limit int64) *room {
	r := &room{max: limit}
	r.left.Store(limit)
	return r
}

func (r *room) over() error {
	return fmt.Errorf("%w: the image is larger than %d bytes when unpacked", errUnpacked, r.max)
}

// watch measures each layer once it is here, and before it is unpacked.
func (r *room) watch(store content.Provider) func(images.Handler) images.Handler {
	return func(next images.Handler) images.Handler {
		return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			if !images.IsLayerType(desc.MediaType) {
				return next.Handle(ctx, desc)
			}
			if desc.Size > r.max { // not even packed
				return nil, r.over()
			}
			children, err := next.Handle(ctx, desc)
			if err != nil {
				return nil, err
			}
			return children, r.take(ctx, store, desc)
		})
	}
}

// take measures a layer: what its archive holds, holes of sparse files included, since
// unpacking fills them.
func (r *room) take(ctx context.Context, store content.Provider, layer ocispec.Descriptor) error {
	blob, err := store.ReaderAt(ctx, layer)
	if err != nil {
		return err
	}
	defer blob.Close()
	plain, err := unpacked(content.NewReader(blob))
	if err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	defer plain.Close()
	packed := &counting{r: plain, max: r.left.Load()}
	held := int64(0)
	for entries := tar.NewReader(packed); ctx.Err() == nil; {
		header, err := entries.Next()
		if errors.Is(err, errUnpacked) || header != nil && header.Size > r.max-held {
			return r.over()
		}
		if errors.Is(err, io.EOF) {
			if r.left.Add(-max(held, packed.n)) < 0 {
				return r.over()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("layer %s: %w", layer.Digest, err)
		}
		held += header.Size
	}
	return context.Cause(ctx)
}

// unpacked reads what is packed in a stream. Most layers are packed by gzip, which is read by
// the faster of two libraries: each start waits for it.
func unpacked(packed io.Reader) (io.ReadCloser, error) {
	r := bufio.NewReaderSize(packed, 64<<10)
	if magic, err := r.Peek(3); err == nil && compression.DetectCompression(magic) == compression.Gzip {
		return gzip.NewReader(r)
	}
	return compression.DecompressStream(r)
}

// counting counts what is read, and fails after max bytes.
type counting struct {
	r      io.Reader
	n, max int64
}

func (c *counting) Read(b []byte) (int, error) {
	if c.n > c.max {
		return 0, errUnpacked
	}
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// checkRoom measures an image whose layers are here, as they come out of an archive.
func (s *Store) checkRoom(ctx context.Context, c *session, target ocispec.Descriptor) error {
	manifest, err := images.Manifest(ctx, c.ContentStore(), target, platforms.Default())
	if err != nil {
		return err
	}
	r := newRoom(s.cfg.MaxImage)
	for _, layer := range manifest.Layers {
		if err := r.take(ctx, c.ContentStore(), layer); err != nil {
			return err
		}
	}
	return nil
}
