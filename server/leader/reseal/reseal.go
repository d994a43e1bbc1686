// Package reseal seals anew, with the active root key, what root keys have sealed that are to
// be left, as "operator root keyring rotate -full" asks for.
//
//	walker := reseal.New(reseal.Config{}, store, raft, keyring, reseal.Variables(store, keyring))
//	err := walker.Run(ctx) // for one term
//
// It works in batches, each of them one command that leaves alone what has changed since it
// was read. What is left to do is in the state at every moment, so that a new leader goes on
// where the former one ended.
package reseal

import (
	"cmp"
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Retirer is told of root keys that nothing is sealed with any more.
type Retirer interface {
	// Rekeyed takes a root key out of use. KindConflict: something is sealed with it.
	Rekeyed(ctx context.Context, keyID string) error
}

// Rows are the rows of one kind that root keys seal. A pass over them yields commands which
// seal rows anew that a root key has sealed; each is applied before the next is asked for. An
// error is that of a row which stays as it is: the pass goes on.
type Rows func(keyID string) iter.Seq2[fsm.Command, error]

// Config of a Walker.
type Config struct {
	Retry  time.Duration // after which a pass that left something over is repeated; default 5s
	Logger *slog.Logger  // default: discard
}

// Walker seals anew.
type Walker struct {
	cfg     Config
	store   *state.Store
	raft    Proposer
	retirer Retirer
	rows    []Rows
}

// New returns a walker over rows of all kinds that root keys seal.
func New(cfg Config, store *state.Store, raft Proposer, retirer Retirer, rows ...Rows) *Walker {
	cfg.Retry = cmp.Or(cfg.Retry, 5*time.Second)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Walker{cfg: cfg, store: store, raft: raft, retirer: retirer, rows: rows}
}

// Run works whenever there is a root key to leave, until ctx ends. Only the leader runs it.
func (w *Walker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		leave := w.leave(ws)
		if len(leave) == 0 {
			_ = ws.WatchCtx(ctx) // the loop sees that ctx has ended
			continue
		}
		for _, key := range leave {
			if err := w.clear(ctx, key); err != nil && ctx.Err() == nil {
				w.cfg.Logger.Warn("seal anew what a former root key has sealed", "key", key, "err", err)
				w.pause(ctx)
			}
		}
	}
	return nil
}

// leave lists the root keys that are to be left.
func (w *Walker) leave(ws memdb.WatchSet) []string {
	var keys []string
	for k := range w.store.Reader().RootKeys(ws) {
		if k.State == nomadish.RootKeyRekeying {
			keys = append(keys, k.KeyID)
		}
	}
	return keys
}

// clear makes a pass over everything that a root key may have sealed. The key is out of use
// if nothing was written meanwhile; otherwise there will be another pass.
func (w *Walker) clear(ctx context.Context, key string) error {
	var last error
	for _, rows := range w.rows {
		for command, err := range rows(key) {
			if err == nil {
				_, _, err = w.raft.Propose(ctx, command)
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				last = err
			}
		}
	}
	if last != nil {
		return last
	}
	return w.retirer.Rekeyed(ctx, key)
}

func (w *Walker) pause(ctx context.Context) {
	timer := time.NewTimer(w.cfg.Retry)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
