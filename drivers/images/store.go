//go:build linux

package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/nomadish/nomadish/drivers/container"
)

// Config says where images come from and how long they stay.
type Config struct {
	// Hosts is a directory with one directory per registry, each with a hosts.toml
	// (mirrors, private CAs, client certificates) or certificates as Docker keeps them.
	Hosts string
	// PlainHTTP are registries (host or host:port) that are asked without TLS. This host
	// itself always may be.
	PlainHTTP []string
	// Insecure are registries whose certificate is not checked, and which are asked without
	// TLS when they have none.
	Insecure []string
	// CA is a PEM file with certificates that registries may be signed by besides the
	// system's.
	CA string
	// Auth is a config.json of Docker with credentials for registries.
	Auth string
	// Helper is NAME of a program docker-credential-NAME that is asked for credentials
	// of registries for which a task and Auth have none.
	Helper string
	// HelperPath are directories that have the credential helpers; default those of PATH.
	HelperPath string
	// Idle is how long a download may go on without receiving anything; default 2m.
	Idle time.Duration
	// MaxPulls is how many images are downloaded at once; default 4.
	MaxPulls int
	// Attempts is how often a download is tried when the fault may pass; default 4.
	Attempts int
	// Archives are directories of the host; a task may name archives in them by absolute
	// path. Default none: archives come from the task's directory.
	Archives []string
	// MaxArchive bounds an unpacked archive in bytes; default 32 GiB.
	MaxArchive int64
	// MaxImage bounds an image in bytes when it is unpacked; default 64 GiB.
	MaxImage int64
	// KeepUnused keeps images that no task uses; default no.
	KeepUnused bool
	// Delay is how long an image stays that no task uses any more; default 3m.
	Delay time.Duration
	// Every is how often unused images are looked for; default 30s, or less for a shorter Delay.
	Every time.Duration
	// Logger; default discard.
	Logger *slog.Logger
	// Now; default time.Now.
	Now func() time.Time

	dial    func(ctx context.Context, network, address string) (net.Conn, error) // default the net's
	backoff time.Duration                                                        // before the second attempt; default 500ms
}

func (c Config) withDefaults() Config {
	c.Idle = cmp.Or(c.Idle, 2*time.Minute)
	c.MaxPulls = cmp.Or(c.MaxPulls, 4)
	c.Attempts = cmp.Or(c.Attempts, 4)
	c.MaxArchive = cmp.Or(c.MaxArchive, 32<<30)
	c.MaxImage = cmp.Or(c.MaxImage, 64<<30)
	c.Delay = cmp.Or(c.Delay, 3*time.Minute)
	c.Every = cmp.Or(c.Every, min(30*time.Second, max(c.Delay, time.Second)))
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	c.backoff = cmp.Or(c.backoff, 500*time.Millisecond)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Validate names every fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	for _, path := range []struct{ option, value string }{
		{"registry_config_path", c.Hosts}, {"registry_ca", c.CA}, {"auth.config", c.Auth},
	} {
		if path.value != "" && !filepath.IsAbs(path.value) {
			errs = append(errs, fmt.Errorf("%s: %q is not an absolute path", path.option, path.value))
		}
	}
	if c.Helper != "" {
		if err := checkHelper(c.Helper); err != nil {
			errs = append(errs, fmt.Errorf("auth.helper: %w", err))
		}
	}
	for _, n := range []struct {
		option string
		value  int64
	}{
		{"pull_activity_timeout", int64(c.Idle)},
		{"max_pulls", int64(c.MaxPulls)},
		{"max_archive_bytes", c.MaxArchive},
		{"max_image_bytes", c.MaxImage},
		{"gc.image_delay", int64(c.Delay)},
	} {
		if n.value < 0 {
			errs = append(errs, fmt.Errorf("%s: must not be negative", n.option))
		}
	}
	return errors.Join(errs...)
}

// Engine is the containerd that has the images.
type Engine interface {
	// Client returns a client of a containerd that runs, and ctx for its calls.
	Client(ctx context.Context) (*client.Client, context.Context, error)
	// Snapshotter names the one that containers get their file systems from.
	Snapshotter(ctx context.Context, c *client.Client) (string, error)
}

// Store keeps the images of one node. Its methods may be called concurrently.
type Store struct {
	cfg    Config
	engine Engine
	quiet  *log.Entry
	slots  chan struct{} // one token for each download that may run

	mu      sync.Mutex
	held    map[string]*hold // by name
	flights map[flightKey]*flight
	turns   container.Turns // one at a time unpacks an image or reads an archive
}

// New returns a store of the engine's images. It starts nothing.
func New(cfg Config, e Engine) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	quiet.AddHook(warnings{cfg.Logger})
	return &Store{
		cfg: cfg, engine: e, quiet: logrus.NewEntry(quiet), slots: make(chan struct{}, cfg.MaxPulls),
		held: map[string]*hold{}, flights: map[flightKey]*flight{},
	}, nil
}

// session is one containerd, and how to talk to it.
type session struct {
	*client.Client
	snapshotter string
}

// session returns a client of the running containerd, and ctx for its calls.
func (s *Store) session(ctx context.Context) (*session, context.Context, error) {
	c, ctx, err := s.engine.Client(ctx)
	if err != nil {
		return nil, ctx, err
	}
	// containerd's client logs what it returns as errors as well: once is enough.
	ctx = log.WithLogger(ctx, s.quiet)
	snapshotter, err := s.engine.Snapshotter(ctx, c)
	if err != nil {
		return nil, ctx, err
	}
	return &session{c, snapshotter}, ctx, nil
}

// warnings tells of a registry's directory that can't be read: containerd's library only
// logs that, and goes on without the directory.
type warnings struct{ log *slog.Logger }

// Levels says of what Fire hears.
func (warnings) Levels() []logrus.Level { return []logrus.Level{logrus.ErrorLevel} }

// Fire passes on what concerns the registries' directories.
func (w warnings) Fire(e *logrus.Entry) error {
	if strings.Contains(e.Message, "decode") {
		w.log.Warn("a registry's directory has no effect", "message", e.Message, "err", e.Data[logrus.ErrorKey])
	}
	return nil
}
