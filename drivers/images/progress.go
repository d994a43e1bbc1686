//go:build linux

package images

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/nomadish/nomadish/drivers"
)

// progress counts what a download has received, over all its attempts.
type progress struct {
	mu      sync.Mutex
	doing   string
	blobs   map[digest.Digest]*blob
	asking  int       // requests and reads that wait for the registry
	arrived time.Time // when the last of them had an answer, or began to wait alone
}

// blob is how much of a config or layer is here.
type blob struct{ done, size int64 }

func newProgress() *progress { return &progress{blobs: map[digest.Digest]*blob{}} }

func (p *progress) say(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = what
}

// notice is what a user should know of the download now.
func (p *progress) notice(ref string) drivers.Notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := drivers.Notice{Key: "image"}
	for _, b := range p.blobs {
		n.Done += min(b.done, b.size)
		n.Total += b.size
	}
	what := p.doing
	if n.Total > 0 && n.Done == n.Total {
		what = "Unpacking image"
	}
	n.Message = what + " " + ref
	return n
}

// expect adds what a manifest lists to what the download has to get.
func (p *progress) expect(store content.InfoProvider) func(images.Handler) images.Handler {
	return func(h images.Handler) images.Handler {
		return images.HandlerFunc(func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			children, err := h.Handle(ctx, desc)
			if err != nil || !images.IsManifestType(desc.MediaType) {
				return children, err
			}
			for _, child := range children {
				_, missing := store.Info(ctx, child.Digest)
				p.mu.Lock()
				if p.blobs[child.Digest] == nil {
					p.blobs[child.Digest] = &blob{size: child.Size}
				}
				if missing == nil {
					p.blobs[child.Digest].done = child.Size
				}
				p.mu.Unlock()
			}
			return children, nil
		})
	}
}

// at sets how much of a blob is here.
func (p *progress) at(d digest.Digest, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.blobs[d]; b != nil {
		b.done = offset
	}
}

// ask is called before waiting for the registry, and what it returns after.
func (p *progress) ask() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking == 0 {
		p.arrived = time.Now()
	}
	p.asking++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking--
		p.arrived = time.Now()
	}
}

// silent is how long the registry has been waited for.
func (p *progress) silent() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asking == 0 {
		return 0
	}
	return time.Since(p.arrived)
}

// watch ends the attempt when nothing has come for as long as idle, until ctx ends.
func (p *progress) watch(ctx context.Context, idle time.Duration, end context.CancelCauseFunc) {
	tick := time.NewTicker(max(idle/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if p.silent() > idle {
				end(fmt.Errorf("%w for %s", errIdle, idle))
				return
			}
		}
	}
}

// counted is a resolver whose downloads are counted.
type counted struct {
	remotes.Resolver
	p *progress
}

// Resolve finds out which image a name means.
func (c counted) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	defer c.p.ask()()
	return c.Resolver.Resolve(ctx, ref)
}

// Fetcher returns what downloads the parts of an image.
func (c counted) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	f, err := c.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return remotes.FetcherFunc(func(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		defer c.p.ask()()
		desc.URLs = nil // an image has no say in which addresses this node asks
		body, err := f.Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		reader := &countedReader{ReadCloser: body, p: c.p, digest: desc.Digest, size: desc.Size}
		if seeker, ok := body.(io.Seeker); ok {
			return &countedSeeker{reader, seeker}, nil
		}
		return reader, nil
	}), nil
}

// countedReader counts what is read of a blob.
type countedReader struct {
	io.ReadCloser
	p      *progress
	digest digest.Digest
	size   int64 // that the image's manifest says; 0: none
	offset int64
}

// Read reads on, and not beyond the size.
func (r *countedReader) Read(b []byte) (int, error) {
	answered := r.p.ask()
	n, err := r.ReadCloser.Read(b)
	answered()
	r.offset += int64(n)
	r.p.at(r.digest, r.offset)
	if r.size > 0 && r.offset > r.size {
		return 0, fmt.Errorf("%w: the registry sends more than the %d bytes of %s", errUnpacked, r.size, r.digest)
	}
	return n, err
}

// countedSeeker can go on where an earlier download was cut off.
type countedSeeker struct {
	*countedReader
	seeker io.Seeker
}

// Seek chooses where to read on.
func (s *countedSeeker) Seek(offset int64, whence int) (int64, error) {
	at, err := s.seeker.Seek(offset, whence)
	if err == nil {
		s.offset = at
	}
	return at, err
}
