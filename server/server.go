// Package server is the half of an agent that decides: it replicates the cluster's state,
// answers requests about it, and on the leader schedules, collects and watches.
//
//	s, err := server.New(server.Config{ID: id, Dir: dir, Bootstrap: []string{id}}, network)
//	err = s.Run(ctx)
package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/evals"
	"github.com/nomadish/nomadish/server/leader/gc"
	"github.com/nomadish/nomadish/server/leader/liveness"
	"github.com/nomadish/nomadish/server/secrets"
	"github.com/nomadish/nomadish/server/state"
)

// Config of a Server.
type Config struct {
	ID        string   // the server's identity, for all time; required
	Dir       string   // of its data; required
	FS        vfs.FS   // default: the machine's
	Bootstrap []string // voters of a new cluster; see consensus.Config
	Region    string   // default global

	Consensus consensus.Config // timings and limits; identity, place, logger and clock come from this Config
	Evals     evals.Config
	GC        gc.Config
	Liveness  liveness.Config
	Events    events.Config
	Schemas   map[string]nomadish.ConfigSchema // of task drivers, to check jobs with

	// AskLeader asks the leader, where that is another server, for its CommitIndex. Without it
	// only the leader answers consistent reads.
	AskLeader func(ctx context.Context) (uint64, error)

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

// Server is one server of a region.
type Server struct {
	cfg       Config
	store     *state.Store
	consensus *consensus.Consensus
	endpoint  *endpoint.Endpoint
	leases    *liveness.Leases
	reaper    *gc.Reaper
	evals     *evals.Evals
	events    *events.Buffer
}

// New opens a server's data. It starts nothing; a server that is not run must be closed.
func New(cfg Config, network consensus.Network) (*Server, error) {
	cfg.Region = cmp.Or(cfg.Region, nomadish.DefaultRegion)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, store: state.New()}
	machine := fsm.New(s.store, fsm.Config{Logger: cfg.Logger})
	c := cfg.Consensus
	c.ID, c.Dir, c.FS, c.Bootstrap, c.Now, c.Logger = cfg.ID, cfg.Dir, cfg.FS, cfg.Bootstrap, cfg.Now, cfg.Logger
	var err error
	if s.consensus, err = consensus.New(c, machine, network); err != nil {
		return nil, err
	}
	raft := proposer{s.consensus}
	cfg.Liveness.Logger = cfg.Logger
	s.leases = liveness.New(cfg.Liveness)
	cfg.GC.Now, cfg.GC.Logger = cfg.Now, cfg.Logger
	s.reaper = gc.New(cfg.GC, s.store, raft)
	cfg.Evals.Now, cfg.Evals.Logger = cfg.Now, cfg.Logger
	s.evals = evals.New(cfg.Evals, s.store, raft)
	s.events = events.New(cfg.Events, s.store)
	s.endpoint = endpoint.New(endpoint.Config{
		Region: cfg.Region, Schemas: cfg.Schemas, Now: cfg.Now, Logger: cfg.Logger,
	}, s.store, raft, s.leases, s.reaper, s.evals)
	return s, nil
}

// Close frees the data of a server that was never run.
func (s *Server) Close() error { return s.consensus.Close() }

// Run serves until ctx ends or the server can't go on.
func (s *Server) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, s.consensus.Run, s.events.Run, func(ctx context.Context) error {
		return s.consensus.Lead(ctx, s.lead)
	})
}

// lead runs what only the leader does, for one term.
func (s *Server) lead(ctx context.Context, term uint64) error {
	s.cfg.Logger.Info("this server leads", "term", term)
	key, err := secrets.New(filepath.Join(s.cfg.Dir, "keyring")).Active(s.cfg.Now().UnixNano())
	if err != nil {
		return err
	}
	return lifecycle.Run(ctx,
		s.evals.Run,
		s.reaper.Run,
		func(ctx context.Context) error { return s.leases.Run(ctx, s.upNodes(), s.endpoint) },
		func(ctx context.Context) error { return s.publish(ctx, key) },
	)
}

// publishAgain is the time after which a server tries again to publish its key.
const publishAgain = time.Second

// publish puts the public half of this server's signing key into the state, and runs on as
// long as the term.
func (s *Server) publish(ctx context.Context, key *nomadish.IdentityKey) error {
	for !s.published(key.ID) {
		_, err := s.consensus.Propose(ctx, &fsm.PutIdentityKey{Key: key})
		if err == nil {
			break
		}
		s.cfg.Logger.Warn("publish the signing key", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(publishAgain):
		}
	}
	<-ctx.Done()
	return nil
}

func (s *Server) published(id string) bool {
	for known := range s.store.Reader().IdentityKeys(nil) {
		if known.ID == id {
			return true
		}
	}
	return false
}

func (s *Server) upNodes() []string {
	var ids []string
	for n := range s.store.Reader().Nodes(nil) {
		if n.Status != nomadish.NodeStatusDown {
			ids = append(ids, n.ID)
		}
	}
	return ids
}

// Endpoint returns the server's methods.
func (s *Server) Endpoint() *endpoint.Endpoint { return s.endpoint }

// Consensus returns the server's part in replication.
func (s *Server) Consensus() *consensus.Consensus { return s.consensus }

// Events returns what tells readers of the state's changes.
func (s *Server) Events() *events.Buffer { return s.events }

// Store returns the server's state.
func (s *Server) Store() *state.Store { return s.store }

// proposer gives the parts the form of Propose that they know, without knowing consensus.
type proposer struct{ c *consensus.Consensus }

func (p proposer) Propose(ctx context.Context, c fsm.Command) (uint64, any, error) {
	result, err := p.c.Propose(ctx, c)
	if errors.Is(err, consensus.ErrUnknownOutcome) {
		return 0, nil, err
	}
	return result.Index, result.Value, err
}
