// Package artifact fetches what a task needs from web servers, and unpacks it.
//
//	f, err := artifact.New(artifact.Config{})
//	err = f.Fetch(ctx, &artifact.Request{Source: "https://host/app.tar.gz", Root: root, Dest: "local"})
//
// Everything is written through an os.Root, so that nothing lands outside of it, whatever
// the archive holds and whatever a task does meanwhile to the directories. What is fetched
// is first complete and verified in a directory of its own beside its destination, and then
// moved into place.
package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"time"
)

// Config bounds what is fetched.
type Config struct {
	ReadTimeout   time.Duration // for one artifact; default 30m
	MaxSize       int64         // bytes of a download; default 100 GB, negative: no limit
	UnpackedSize  int64         // bytes of an archive's files; default 100 GB, negative: no limit
	UnpackedFiles int           // files, directories and links of an archive; default 4096, negative: no limit
	MaxRatio      int64         // unpacked bytes per packed byte, counted beyond 64 MiB; default 200
	Parallel      int           // artifacts under way at once; default 8
	Retries       int           // of a download that failed for a passing reason; default 3, negative: none
	RetryWait     time.Duration // before the first retry, then doubled; default 1s
}

func (c Config) withDefaults() Config {
	const gb = 1_000_000_000
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 30*time.Minute)
	c.MaxSize = cmp.Or(c.MaxSize, 100*gb)
	c.UnpackedSize = cmp.Or(c.UnpackedSize, 100*gb)
	c.UnpackedFiles = cmp.Or(c.UnpackedFiles, 4096)
	c.MaxRatio = cmp.Or(c.MaxRatio, 200)
	c.Parallel = cmp.Or(c.Parallel, 8)
	c.Retries = cmp.Or(c.Retries, 3)
	c.RetryWait = cmp.Or(c.RetryWait, time.Second)
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.ReadTimeout < 0 || c.RetryWait < 0 {
		errs = append(errs, errors.New("http_read_timeout: must not be negative"))
	}
	if c.MaxRatio < 1 || c.Parallel < 1 {
		errs = append(errs, errors.New("ratio and number of downloads: must be positive"))
	}
	return errors.Join(errs...)
}

// Fetcher fetches artifacts. Its methods may be called concurrently.
type Fetcher struct {
	cfg   Config
	slots chan struct{}
	plain http.RoundTripper
	loose http.RoundTripper // trusts any certificate
}

// New returns a fetcher.
func New(cfg Config) (*Fetcher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("artifact: %w", err)
	}
	return &Fetcher{cfg: cfg, slots: make(chan struct{}, cfg.Parallel), plain: newTransport(false), loose: newTransport(true)}, nil
}

// Modes of a request: what the source is, which decides what the destination is.
const (
	ModeAny  = "any"  // an archive is unpacked into the destination, anything else put there as a file
	ModeFile = "file" // the destination is a file
	ModeDir  = "dir"  // an archive is unpacked into the destination
)

// Owner is a user and a group by number.
type Owner struct{ UID, GID int }

// Request says what to fetch, and where to.
type Request struct {
	Source   string
	Options  map[string]string // added to the source's query: archive, checksum, filename
	Headers  map[string]string // for the source's own host
	Mode     string            // default any
	Insecure bool              // trust any certificate
	Root     *os.Root          // nothing is written outside of it
	Dest     string            // below Root
	Owner    *Owner            // of what is fetched; nil: this process

	// Progress is called now and then with the bytes that have come, and how many there
	// will be; 0: nobody knows. It may be nil.
	Progress func(done, total int64)
}

// Error is why an artifact could not be had. Its text names the source without what may be
// secret in it: user, password and query.
type Error struct {
	Source string
	Err    error
	// Invalid says that the request is at fault: it will never work.
	Invalid bool
}

func (e *Error) Error() string { return fmt.Sprintf("artifact %s: %v", e.Source, e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Name returns a source as it may be shown: without user, password and query.
func Name(raw string) string {
	src, err := parseSource(raw, nil)
	if err != nil {
		return "of an invalid source"
	}
	return src.String()
}

// Fetch brings an artifact to its place. When it fails it leaves nothing, but what an
// archive has put in place of earlier files stays.
func (f *Fetcher) Fetch(ctx context.Context, req *Request) error {
	src, err := parseSource(req.Source, req.Options)
	if err != nil {
		return &Error{Source: "of an invalid source", Err: err, Invalid: true}
	}
	target, err := src.place(req.Mode, req.Dest)
	if err != nil {
		return &Error{Source: src.String(), Err: err, Invalid: true}
	}
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	limited, cancel := context.WithTimeout(ctx, f.cfg.ReadTimeout)
	defer cancel()
	err = f.fetch(limited, req, src, target)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		err = fmt.Errorf("it took longer than %s (client.artifact.http_read_timeout)", f.cfg.ReadTimeout)
	}
	return &Error{Source: src.String(), Err: err}
}

func (f *Fetcher) fetch(ctx context.Context, req *Request, src *source, target target) (err error) {
	s, err := newStage(req.Root, target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	file, err := s.file()
	if err != nil {
		return err
	}
	defer file.Close()
	if err := f.download(ctx, req, src, file); err != nil {
		return err
	}
	if src.archive == "" {
		return s.putFile(file, path.Base(target.file), req.Owner)
	}
	tree, err := s.tree()
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := f.unpack(ctx, tree, file, src.archive, target); err != nil {
		return err
	}
	return s.putTree(tree, src.subdir, target, req.Owner)
}

// passingError is an error of a download that is worth another try at once.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }
