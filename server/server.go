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
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/server/bootstrap"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/consensus/vfs"
	"github.com/nomadish/nomadish/server/endpoint"
	"github.com/nomadish/nomadish/server/events"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/leader/drain"
	"github.com/nomadish/nomadish/server/leader/evals"
	"github.com/nomadish/nomadish/server/leader/gc"
	"github.com/nomadish/nomadish/server/leader/levels"
	"github.com/nomadish/nomadish/server/leader/liveness"
	"github.com/nomadish/nomadish/server/leader/locks"
	"github.com/nomadish/nomadish/server/leader/members"
	"github.com/nomadish/nomadish/server/leader/replicate"
	"github.com/nomadish/nomadish/server/leader/reseal"
	"github.com/nomadish/nomadish/server/pki"
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
	// Authoritative is the region that changes what all regions share, where access is controlled: the
	// others replicate it from there. Default: Region.
	Authoritative string
	// AskAuthoritative asks the authoritative region for what all share. Without it nothing is replicated.
	AskAuthoritative replicate.Source

	Name    string        // of the server; default its ID
	Version string        // of the program
	Address func() string // at which the server is reached; default its ID

	Snapshots SnapshotSchedule // files that the server saves the state to; default: none

	Consensus    consensus.Config // timings and limits; identity, place, logger and clock come from this Config
	Evals        evals.Config
	GC           gc.Config
	Liveness     liveness.Config
	Levels       levels.Config
	Events       events.Config
	Schemas      map[string]nomadish.ConfigSchema // of task drivers, to check jobs with
	Introduction endpoint.Introduction            // of new client nodes

	ACL endpoint.ACLConfig // access control; default: everybody may do everything

	// Keyring says how root keys are kept. A wrapper that is nil is the key in the file
	// keyring/wrap.key in Dir; default: that one alone. The file of a recovery key is keyring/recovery.key there.
	Keyring secrets.Config
	Issuer  string // of workload identities: a URL below which others find how to verify them; default none

	PKI pki.Config // the cluster's own certificate authority; Region, Now and Logger come from here

	// AskLeader asks the leader, where that is another server, for its CommitIndex. Without it
	// only the leader answers consistent reads.
	AskLeader func(ctx context.Context) (uint64, error)

	// Pool knows the other servers; nil: there are none but those of Bootstrap. With it, and without
	// Bootstrap, a server belongs to no cluster before it has found others: it begins one with them
	// once there are Expect servers, or is added to theirs.
	Pool    Pool
	Expect  int            // servers that begin a cluster together; 0: this one begins none
	Members members.Config // how the cluster's servers follow the pool; identity, logger and clock come from this Config
	// AskBootstrap and AskWrapKey put to another server what its OfferBootstrap and WrapKey answer.
	// Needed with Pool.
	AskBootstrap bootstrap.Ask
	AskWrapKey   func(ctx context.Context, id string, req *nomadish.WrapKeyRequest) (*nomadish.WrapKeyResponse, error)

	// Servers lists the addresses of the region's servers for other agents, which client nodes are
	// told; default: none.
	Servers func() []string

	// AskServer asks another server for its Report. Without it other servers count as failed.
	AskServer func(ctx context.Context, id string) (*nomadish.ServerReport, error)

	// AskState asks another server for its State. Without it a server whose state is not that of the others
	// stays without one.
	AskState func(ctx context.Context, id string) (io.ReadCloser, error)

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
	keyring   *secrets.Keyring
	locks     *locks.Timers
	drainer   *drain.Drainer
	reseal    *reseal.Walker

	replicator *replicate.Replicator // nil: nothing is replicated from another region
	variables  *endpoint.Variables
	autopilot  *consensus.Autopilot
	levels     *levels.Raiser
	pki        *pki.PKI
	hashes     hashes
	fsm        *fsm.FSM
	saver      saver
	caughtUp   atomic.Bool // see CaughtUp
	wrappers   []secrets.Wrapper
	bootstrap  *bootstrap.Bootstrap // nil without a pool
	keeper     *members.Keeper      // nil without a pool
	asked      *questions
}

// New opens a server's data. It starts nothing; a server that is not run must be closed.
func New(cfg Config, network consensus.Network) (*Server, error) {
	cfg.Region = cmp.Or(cfg.Region, nomadish.DefaultRegion)
	cfg.Authoritative = cmp.Or(cfg.Authoritative, cfg.Region)
	cfg.Name = cmp.Or(cfg.Name, cfg.ID)
	if cfg.Address == nil {
		cfg.Address = func() string { return cfg.ID }
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, store: state.New(), asked: newQuestions(cfg.AskLeader)}
	c := cfg.Consensus
	c.ID, c.Dir, c.FS, c.Bootstrap, c.Now, c.Logger = cfg.ID, cfg.Dir, cfg.FS, cfg.Bootstrap, cfg.Now, cfg.Logger
	var err error
	if s.consensus, err = consensus.New(c, s.machine(), network); err != nil {
		return nil, err
	}
	s.autopilot = s.newAutopilot()
	s.saver.cfg = cfg.Snapshots
	s.saver.cfg.Retain = cmp.Or(s.saver.cfg.Retain, 24)
	s.saver.cfg.Dir = cmp.Or(s.saver.cfg.Dir, filepath.Join(cfg.Dir, "saved"))
	s.joinPool()
	raft := proposer{s.consensus}
	cfg.Liveness.ServerID, cfg.Liveness.Nodes, cfg.Liveness.Logger = cfg.ID, s.nodesToProbe, cfg.Logger
	s.leases = liveness.New(cfg.Liveness)
	cfg.GC.Now, cfg.GC.Logger = cfg.Now, cfg.Logger
	s.reaper = gc.New(cfg.GC, s.store, raft)
	cfg.Evals.Now, cfg.Evals.Logger = cfg.Now, cfg.Logger
	s.evals = evals.New(cfg.Evals, s.store, raft)
	s.events = events.New(cfg.Events, s.store)
	cfg.Keyring.Now, cfg.Keyring.Logger = cfg.Now, cfg.Logger
	cfg.Keyring.RecoveryFile = cmp.Or(cfg.Keyring.RecoveryFile, filepath.Join(cfg.Dir, "keyring", "recovery.key"))
	s.wrappers = wrappers(cfg)
	cfg.Keyring.Wrappers = s.wrappers
	if s.keyring, err = secrets.New(cfg.Keyring, s.store, raft); err != nil {
		return nil, errors.Join(err, s.consensus.Close())
	}
	s.locks = locks.New(locks.Config{Logger: cfg.Logger}, s.store, raft)
	s.drainer = drain.New(drain.Config{Now: cfg.Now, Logger: cfg.Logger}, s.store, raft)
	s.reseal = reseal.New(reseal.Config{Logger: cfg.Logger}, s.store, raft, s.keyring,
		reseal.Variables(s.store, s.keyring), reseal.ACL(s.store, s.keyring), reseal.Authorities(s.store, s.keyring))
	cfg.PKI.Region, cfg.PKI.Now, cfg.PKI.Logger = cfg.Region, cfg.Now, cfg.Logger
	cfg.PKI.Wrapper = s.wrappers[0]
	s.pki = pki.New(cfg.PKI, s.store, raft, s.keyring)
	s.replicator = s.newReplicator(raft)
	s.variables = endpoint.NewVariables(s.store, raft, s.keyring, s.locks)
	cfg.Levels.Logger = cfg.Logger
	s.levels = levels.New(cfg.Levels, s.store, raft, s.serverLevels)
	s.endpoint = endpoint.New(endpoint.Config{
		Region: cfg.Region, Schemas: cfg.Schemas, ACL: cfg.ACL, Introduction: cfg.Introduction, Sync: s.Sync, Servers: cfg.Servers, Issuer: cfg.Issuer, Now: cfg.Now, Logger: cfg.Logger,
	}, s.store, raft, s.leases, s.reaper, s.evals, s.keyring)
	return s, nil
}

// wrappers are the keys that wrap root keys.
func wrappers(cfg Config) []secrets.Wrapper {
	all := slices.Clone(cfg.Keyring.Wrappers)
	if len(all) == 0 {
		all = []secrets.Wrapper{nil}
	}
	for i, w := range all {
		if w == nil {
			all[i] = secrets.NewFile(filepath.Join(cfg.Dir, "keyring", "wrap.key"))
		}
	}
	return all
}

// Close frees the data of a server that was never run.
func (s *Server) Close() error { return s.consensus.Close() }

// Run serves until ctx ends or the server can't go on.
func (s *Server) Run(ctx context.Context) error {
	return lifecycle.Run(ctx, s.consensus.Run, s.keyring.Run, s.events.Run, s.pki.Run, s.leases.Witness, s.asked.run, s.pooled, s.compare, s.save, func(ctx context.Context) error {
		return s.consensus.Lead(ctx, s.lead)
	})
}

// lead runs what only the leader does, for one term. Leases are counted from its first moment.
func (s *Server) lead(ctx context.Context, term uint64) error {
	s.cfg.Logger.Info("this server leads", "term", term)
	return lifecycle.Run(ctx,
		func(ctx context.Context) error { return s.leases.Run(ctx, s.upNodes(), s.endpoint) },
		s.keepMembers, // a server that could lead better may be one of those that wait to be added
		s.leadUnlocked,
	)
}

// leadUnlocked runs what waits for the keyring.
func (s *Server) leadUnlocked(ctx context.Context) error {
	if !s.unlock(ctx) {
		return nil
	}
	return lifecycle.Run(ctx,
		s.evals.Run,
		s.reaper.Run,
		s.keyring.Lead,
		s.reseal.Run,
		s.replicate,
		s.pki.Lead,
		s.locks.Run,
		s.drainer.Run,
		s.autopilot.Run,
		s.levels.Run,
		s.leadNext,
	)
}

// Times of a leader that can't use the keyring.
const (
	unlockAgain = time.Second     // after which it tries again
	handOver    = 3 * time.Second // after which it leaves the lead to another server
)

// unlock returns once the keyring can be used, or false when the term has ended. A leader that
// can't hands over: secrets would be unreadable to the parts that lead.
func (s *Server) unlock(ctx context.Context) bool {
	since := time.Now()
	for {
		err := s.keyring.Ready(ctx)
		if err == nil || ctx.Err() != nil {
			return err == nil
		}
		s.cfg.Logger.Error("this server can't lead without the keyring", "err", err)
		if time.Since(since) >= handOver {
			since = time.Now()
			if err := s.consensus.TransferLeadership(ctx, ""); err != nil && ctx.Err() == nil {
				s.cfg.Logger.Warn("no other server takes the lead", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(unlockAgain):
		}
	}
}

// Endpoint returns the server's methods.
func (s *Server) Endpoint() *endpoint.Endpoint { return s.endpoint }

// Variables returns the server's methods on variables and their locks.
func (s *Server) Variables() *endpoint.Variables { return s.variables }

// Consensus returns the server's part in replication.
func (s *Server) Consensus() *consensus.Consensus { return s.consensus }

// Events returns what tells readers of the state's changes.
func (s *Server) Events() *events.Buffer { return s.events }

// Store returns the server's state.
func (s *Server) Store() *state.Store { return s.store }

// PKI returns the cluster's certificate authority.
func (s *Server) PKI() *pki.PKI { return s.pki }

// Keyring returns the keys of what the state does not show.
func (s *Server) Keyring() *secrets.Keyring { return s.keyring }

// proposer gives the parts the form of Propose that they know, without knowing consensus.
type proposer struct{ c *consensus.Consensus }

func (p proposer) Propose(ctx context.Context, c fsm.Command) (uint64, any, error) {
	result, err := p.c.ProposeRequest(ctx, nomadish.NextCommandID(ctx), c)
	if errors.Is(err, consensus.ErrUnknownOutcome) {
		return 0, nil, err
	}
	return result.Index, result.Value, err
}
