// Package replicate keeps what all regions share as the authoritative region has it: quotas, node
// pools, namespaces, and what access control is made of, but for local tokens.
//
//	r := replicate.New(replicate.Config{Region: "eu", Authoritative: "us"}, store, raft, keyring, source)
//	err := r.Run(ctx) // for one term
//
// Each kind has a loop of its own. It asks for what has changed and for which rows there are, and
// writes and deletes the difference to what is here, so that it does not matter what an earlier
// leader has seen. While the authoritative region can't be asked all stays as it is.
package replicate

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands within this region.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Keyring seals secrets with this region's keys.
type Keyring interface {
	Seal(plain, bound []byte) (nomadish.Sealed, error)
	Open(s nomadish.Sealed, bound []byte) ([]byte, error)
	MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error)
}

// Source is the authoritative region.
type Source func(ctx context.Context, ask nomadish.SharedQuery) (*nomadish.SharedRows, error)

// Config of a Replicator.
type Config struct {
	Region        string // this one
	Authoritative string // from which is replicated

	Every time.Duration // between two passes over one kind, at least; default 500ms
	Wait  time.Duration // for a change, until the authoritative region is asked anew; default 30s
	Retry time.Duration // after a failure, doubled with each further one up to a third of Wait; default 1s

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.Every = cmp.Or(c.Every, 500*time.Millisecond)
	c.Wait = cmp.Or(c.Wait, 30*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Replicator replicates what all regions share.
type Replicator struct {
	cfg    Config
	store  *state.Store
	raft   Proposer
	source Source
	kinds  []kind

	mu     sync.Mutex
	status map[string]*nomadish.ReplicationKind
}

// New returns the replicator of a region that is not the authoritative one.
func New(cfg Config, store *state.Store, raft Proposer, keyring Keyring, source Source) *Replicator {
	return &Replicator{
		cfg: cfg.withDefaults(), store: store, raft: raft, source: source, kinds: kinds(keyring),
		status: map[string]*nomadish.ReplicationKind{},
	}
}

// Run replicates until ctx ends. Only the leader runs it.
func (r *Replicator) Run(ctx context.Context) error {
	parts := make([]lifecycle.Part, len(r.kinds))
	for i, k := range r.kinds {
		r.note(k.name(), func(s *nomadish.ReplicationKind) { *s = nomadish.ReplicationKind{Kind: k.name()} })
		parts[i] = func(ctx context.Context) error {
			(&loop{r: r, kind: k, known: -1}).run(ctx)
			return nil
		}
	}
	return lifecycle.Run(ctx, parts...)
}

// Status tells how it goes, as far as this server, the leader, has seen.
func (r *Replicator) Status() *nomadish.Replication {
	out := &nomadish.Replication{Region: r.cfg.Region, Authoritative: r.cfg.Authoritative, Kinds: []*nomadish.ReplicationKind{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.kinds {
		if s := r.status[k.name()]; s != nil {
			shown := *s
			out.Kinds = append(out.Kinds, &shown)
		}
	}
	return out
}

func (r *Replicator) note(kind string, change func(*nomadish.ReplicationKind)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.status[kind] == nil {
		r.status[kind] = &nomadish.ReplicationKind{Kind: kind}
	}
	change(r.status[kind])
}
