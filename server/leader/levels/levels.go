// Package levels raises the level of the cluster once every server can speak a newer one: from
// then on commands and formats of that level may be written, and servers that don't know them can't
// take part any more.
package levels

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Config of a Raiser.
type Config struct {
	Every time.Duration // time between two looks at the servers; default 2s
	// Settle is how long all servers have to have spoken a newer level before it is the cluster's: until then
	// an upgrade can be taken back. The leader counts it, a new one from the beginning; default 0.
	Settle time.Duration
	Logger *slog.Logger // default: discard
}

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Ask returns what levels each server of the cluster can speak. It is an error if one does not say it.
type Ask func(ctx context.Context) ([]fsm.Levels, error)

// Raiser raises the cluster's level. Only the leader runs it.
type Raiser struct {
	cfg   Config
	store *state.Store
	raft  Proposer
	ask   Ask
	most  uint32 // the newest level of this program
}

// New returns a raiser.
func New(cfg Config, store *state.Store, raft Proposer, ask Ask) *Raiser {
	cfg.Every = cmp.Or(cfg.Every, 2*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Raiser{cfg: cfg, store: store, raft: raft, ask: ask, most: fsm.SupportedLevels().Max}
}

// Run looks at the servers from time to time until ctx ends.
func (r *Raiser) Run(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.Every)
	defer tick.Stop()
	var seen level
	for {
		next, err := r.next(ctx)
		if err != nil && ctx.Err() == nil {
			r.cfg.Logger.Debug("ask servers for their levels", "err", err)
		}
		if next != seen.next {
			seen = level{next: next, since: time.Now()}
		}
		if next != 0 && time.Since(seen.since) >= r.cfg.Settle {
			r.raise(ctx, next)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// level is one that the cluster can be raised to, since when.
type level struct {
	next  uint32 // 0: none
	since time.Time
}

// next is the level that the cluster can be raised to; 0 when there is none.
func (r *Raiser) next(ctx context.Context) (uint32, error) {
	present := r.store.Reader().Level()
	if present >= r.most {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Every)
	defer cancel()
	servers, err := r.ask(ctx)
	if err != nil {
		return 0, err
	}
	if next := fsm.NextLevel(present, servers); next > present {
		return next, nil
	}
	return 0, nil
}

// raise proposes a level. The next look tries again.
func (r *Raiser) raise(ctx context.Context, next uint32) {
	if _, _, err := r.raft.Propose(ctx, &fsm.RaiseClusterLevel{Level: next}); err != nil {
		r.cfg.Logger.Warn("raise the cluster's level", "level", next, "err", err)
		return
	}
	r.cfg.Logger.Info("the cluster's level is raised", "level", next)
}
