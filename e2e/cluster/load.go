//go:build linux

package cluster

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// LoadConfig says what a load is.
type LoadConfig struct {
	Lab     *Lab   // whose cluster is used; required
	Name    string // of its variables; default load
	Writers int    // default 8
	Readers int    // default 2
	// Pause lies between two calls of one user; default 25 ms.
	Pause time.Duration
	// Record is the file with a line per write that was acknowledged, as soon as it was; required.
	Record string
}

// Load is users who write variables, each only once, and read them. Each has a client of its own, which
// knows all servers.
type Load struct {
	cfg  LoadConfig
	file *bufio.Writer

	mu      sync.Mutex // guards what follows, and file
	history History
	err     error // of file
}

// History is what a load's users were told.
type History struct {
	Acked   []Write
	Refused []string // why a write was not carried out, for each
	Unknown []string // paths of writes that may have been carried out or not
	Why     []string // for each of Unknown
	Reads   int      // of acknowledged writes that were answered
	Unread  int      // that were not
	Stale   []string // those that did not see the write
}

// Write is an acknowledged one.
type Write struct {
	Path  string
	Index uint64
	By    int // writer
	At    time.Time
	Took  time.Duration
}

// NewLoad makes a load. It calls nobody.
func NewLoad(cfg LoadConfig) *Load {
	cfg.Name = cmp.Or(cfg.Name, "load")
	cfg.Writers = cmp.Or(cfg.Writers, 8)
	cfg.Readers = cmp.Or(cfg.Readers, 2)
	cfg.Pause = cmp.Or(cfg.Pause, 25*time.Millisecond)
	return &Load{cfg: cfg}
}

// Run has the users call until ctx ends, and lets them end what they have begun.
func (l *Load) Run(ctx context.Context) error {
	file, err := os.Create(l.cfg.Record)
	if err != nil {
		return err
	}
	l.file = bufio.NewWriter(file)
	var users sync.WaitGroup
	var errs []error
	use := func(n int, f func(context.Context, *api.Client, int)) {
		client, err := l.cfg.Lab.Users(n)
		if err != nil {
			errs = append(errs, err)
			return
		}
		users.Go(func() {
			defer client.Close()
			f(ctx, client, n)
		})
	}
	for i := range l.cfg.Writers {
		use(i, l.write)
	}
	for i := range l.cfg.Readers {
		use(i, l.read)
	}
	users.Wait()
	return errors.Join(append(errs, l.err, l.file.Flush(), file.Close())...)
}

// History returns what was told up to now.
func (l *Load) History() History {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.history
	h.Acked, h.Refused, h.Unknown = slices.Clone(h.Acked), slices.Clone(h.Refused), slices.Clone(h.Unknown)
	h.Why, h.Stale = slices.Clone(h.Why), slices.Clone(h.Stale)
	return h
}

// write is one writer.
func (l *Load) write(ctx context.Context, client *api.Client, writer int) {
	for n := 0; ctx.Err() == nil; n++ {
		path := fmt.Sprintf("%s/w%d/%06d", l.cfg.Name, writer, n)
		v := &nomadish.Variable{Items: nomadish.VariableItems{"value": path}}
		v.Path = path
		begin := time.Now()
		var stored *nomadish.Variable
		err := l.call(ctx, func(ctx context.Context) (err error) {
			stored, err = client.Variables().Set(ctx, v, nil)
			return err
		})
		if err != nil {
			l.failed(path, err)
		} else {
			l.acked(Write{Path: path, Index: stored.ModifyIndex, By: writer, At: time.Now(), Took: time.Since(begin)})
		}
		l.pause(ctx)
	}
}

// userPatience is how long a user waits for an answer, with all that the client tries meanwhile.
const userPatience = 10 * time.Second

// call makes one call; the end of the load does not interrupt it.
func (l *Load) call(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), userPatience)
	defer cancel()
	return f(ctx)
}

// pause waits between two calls, for a time that keeps users from going in step.
func (l *Load) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(l.cfg.Pause/2 + rand.N(l.cfg.Pause)):
	}
}

func (l *Load) acked(w Write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history.Acked = append(l.history.Acked, w)
	_, err := fmt.Fprintf(l.file, "%s %s %d %s\n", w.At.Format(time.RFC3339Nano), w.Path, w.Index, w.Took)
	l.err = cmp.Or(l.err, err)
}

// failed sorts a write that was not acknowledged: an answer that refuses it means that it was not
// carried out, anything else means nothing.
func (l *Load) failed(path string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var answer *api.Error
	if errors.As(err, &answer) && (answer.StatusCode < http.StatusInternalServerError || answer.StatusCode == http.StatusInsufficientStorage) {
		l.history.Refused = append(l.history.Refused, err.Error())
		return
	}
	l.history.Unknown = append(l.history.Unknown, path)
	l.history.Why = append(l.history.Why, err.Error())
}

// read is one reader: it looks for what was acknowledged last, wherever.
func (l *Load) read(ctx context.Context, client *api.Client, _ int) {
	for ; ctx.Err() == nil; l.pause(ctx) {
		path := l.newest()
		if path == "" {
			continue
		}
		err := l.call(ctx, func(ctx context.Context) error {
			_, _, err := client.Variables().Variable(ctx, path, nil)
			return err
		})
		l.mu.Lock()
		switch {
		case err == nil:
			l.history.Reads++
		case errors.Is(err, nomadish.ErrNotFound):
			l.history.Stale = append(l.history.Stale, path)
		default:
			l.history.Unread++
		}
		l.mu.Unlock()
	}
}

// newest is the path that was acknowledged last.
func (l *Load) newest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.history.Acked) == 0 {
		return ""
	}
	return l.history.Acked[len(l.history.Acked)-1].Path
}

// Outage is the longest time since a moment in which nobody had a write acknowledged: the outage that a fault at
// that moment caused.
func (h History) Outage(fault time.Time) time.Duration {
	after := slices.IndexFunc(h.Acked, func(w Write) bool { return w.At.After(fault) })
	if after < 0 {
		return time.Since(fault)
	}
	longest, last := time.Duration(0), fault
	for _, w := range h.Acked[after:] {
		longest, last = max(longest, w.At.Sub(last)), w.At
	}
	return longest
}

// WorstOutage is the longest that one writer was without an answer since a moment.
func (h History) WorstOutage(fault time.Time) (longest time.Duration) {
	last := map[int]time.Time{}
	for _, w := range h.Acked {
		if since := last[w.By]; w.At.After(fault) && !since.IsZero() {
			longest = max(longest, w.At.Sub(since))
		}
		last[w.By] = w.At
	}
	return longest
}
