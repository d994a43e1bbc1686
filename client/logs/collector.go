// Package logs moves the output of tasks into the files that users read.
//
// A driver lets a task append its output to a spool file, so that a task never waits for
// the agent and loses nothing while the agent is away. The collector moves the spool's
// content into numbered files of the allocation (alloc/logs/TASK.stdout.N), of a size and
// a number that the job limits, and gives the spool's disk space back behind it.
//
// A position beside the spool says how far it has come, and how long the newest numbered
// file was then. An agent that was killed in between cuts that file back to this length,
// so that no byte is missing and none is there twice. The positions are not kept with the
// rest of the node's state: they change with every line and need no sync of the disk.
package logs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// movers is how many streams are moved at the same time: giving much of the disk back takes the
// kernel a while, in which others would grow.
const movers = 4

// Config is what a collector works with.
type Config struct {
	Dir    string        // of the spool files; made when it is missing
	Poll   time.Duration // time between looks at the spools where the system can't tell of changes; default 1s
	Gather time.Duration // time in which changes gather before they are moved; default 25ms
	Logger *slog.Logger  // default discard
}

// Collector moves the spools of all tasks of a node.
type Collector struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	streams map[string]*stream
}

// Stream is one output of one task.
type Stream struct {
	Key         string // names the spool: letters, digits, "-" and "."
	Root        string // the allocation's directory
	Path        string // of the numbered files below Root, without the number: alloc/logs/web.stdout
	MaxFiles    int    // default 10
	MaxFileSize int64  // bytes; default 10 MiB
}

// New returns a collector whose spools lie in cfg.Dir.
func New(cfg Config) (*Collector, error) {
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Gather = cmp.Or(cfg.Gather, 25*time.Millisecond)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("log spools: %w", err)
	}
	return &Collector{cfg: cfg, log: cfg.Logger, streams: map[string]*stream{}}, nil
}

// Run moves what the tasks write, until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	w, err := newWatcher(c.cfg.Dir, c.cfg.Poll)
	if err != nil {
		c.log.Info("spools are polled", "reason", err)
	}
	defer w.close()
	more, retry := true, false // what was written before the watch began
	for ctx.Err() == nil {
		names, all := []string(nil), more || retry
		if !more {
			names, all = w.next(ctx, retry)
		}
		if lifecycle.Sleep(ctx, c.cfg.Gather) != nil {
			break
		}
		late, lateAll := w.pending()
		more, retry = c.pass(c.pick(append(names, late...), all || lateAll))
	}
	return nil
}

// pick returns the streams of the spools that changed, or all.
func (c *Collector) pick(names []string, all bool) []*stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*stream
	if all {
		for _, s := range c.streams {
			out = append(out, s)
		}
		return out
	}
	seen := map[string]bool{}
	for _, name := range names {
		if s := c.streams[name]; s != nil && !seen[name] {
			seen[name] = true
			out = append(out, s)
		}
	}
	return out
}

// pass moves a bounded piece of each stream, so that a loud task does not hold up the
// others, and says whether there is more, and whether some could not be moved.
func (c *Collector) pass(streams []*stream) (more, failed bool) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		turn = make(chan struct{}, movers)
	)
	for _, s := range streams {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			left, err := s.move(maxPiece)
			if err != nil {
				s.warn(c.log, err)
			}
			mu.Lock()
			defer mu.Unlock()
			more, failed = more || left, failed || err != nil
		})
	}
	wg.Wait()
	return more, failed
}

// Attach begins to move a stream, or goes on where an earlier collector stopped, and
// returns the path of its spool, which exists then. Attaching again only sets the limits.
func (c *Collector) Attach(cfg Stream) (spool string, err error) {
	if cfg.Key == "" || strings.ContainsAny(cfg.Key, "/\x00") || strings.HasSuffix(cfg.Key, positionSuffix) {
		return "", fmt.Errorf("log spool: %q is no name for one", cfg.Key)
	}
	cfg.MaxFiles = max(cmp.Or(cfg.MaxFiles, 10), 1)
	cfg.MaxFileSize = max(cmp.Or(cfg.MaxFileSize, 10<<20), 1)
	c.mu.Lock()
	s := c.streams[cfg.Key]
	c.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.cfg = cfg
		return s.spool, s.create()
	}
	s = &stream{cfg: cfg, spool: filepath.Join(c.cfg.Dir, cfg.Key)}
	if err := s.resume(); err != nil {
		return "", fmt.Errorf("log %s: %w", cfg.Path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[cfg.Key] = s
	return s.spool, nil
}

// Drain moves all that the stream's spool holds now.
func (c *Collector) Drain(ctx context.Context, key string) error {
	c.mu.Lock()
	s := c.streams[key]
	c.mu.Unlock()
	if s == nil {
		return nil
	}
	for {
		more, err := s.move(maxPiece)
		if err != nil || !more {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Detach moves nothing more of a stream and removes its spool. Detaching twice is no error.
func (c *Collector) Detach(key string) error {
	c.mu.Lock()
	s := c.streams[key]
	delete(c.streams, key)
	c.mu.Unlock()
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.gone = true
	}
	spool := filepath.Join(c.cfg.Dir, key)
	return errors.Join(removeFile(spool), removeFile(spool+positionSuffix))
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
