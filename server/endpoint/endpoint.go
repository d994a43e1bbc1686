// Package endpoint holds the server's methods: what the HTTP API's routes call.
//
// A method fills in defaults, checks the request and reads the state or proposes a command.
// Ids and times are chosen here, before the log. Each noun has its file.
package endpoint

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"log/slog"
	"time"

	"github.com/hashicorp/go-memdb"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/acl"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/login"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	// Propose returns once a command has been applied here. Its error is KindNoLeader where
	// another server leads, or the command's own.
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Leases knows how long nodes may stay silent.
type Leases interface {
	// Renew gives a node another lease and returns its length.
	Renew(nodeID string) time.Duration
	// Elsewhere returns the address of another server to which a node is to move its session, or "".
	Elsewhere(nodeID string) (addr string)
	// InTouch says whether the leader learns of it: leases that it does not know of are none.
	InTouch() bool
}

// Collector removes what has ended.
type Collector interface {
	// Collect removes all that has ended, whatever its age.
	Collect(ctx context.Context) error
}

// Secrets is the keyring: it seals what the state must not show, and knows workloads by their identities.
type Secrets interface {
	Seal(plain, bound []byte) (nomadish.Sealed, error)
	Open(s nomadish.Sealed, bound []byte) ([]byte, error)
	// MACs returns the keyed hashes of a secret: store the first, look up with all.
	MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error)
	Verify(jwt string) (*nomadish.IdentityClaims, error)
	Sign(claims *nomadish.IdentityClaims) (jwt string, err error)
	Rotate(ctx context.Context, req *nomadish.KeyringRotateRequest) (*nomadish.RootKey, error)
	Remove(ctx context.Context, keyID string, force bool) (index uint64, err error)
	SetRecovery(ctx context.Context, req *nomadish.RecoveryKeyRequest) (*nomadish.RecoveryKey, uint64, error)
}

// Config of an Endpoint.
type Config struct {
	Region  string                           // default global
	Schemas map[string]nomadish.ConfigSchema // of task drivers, to check jobs with
	ACL     ACLConfig
	// Introduction says which new client nodes are taken.
	Introduction Introduction
	// Sync brings this server's state up to date, so that a token is not refused which was made
	// a moment ago at another server. Default: it is taken to be.
	Sync func(ctx context.Context) error
	// Servers lists the addresses of the region's servers for other agents, which nodes are told;
	// default: none.
	Servers func() []string
	Issuer  string           // of workload identities: a URL below which others find how to verify them; default none
	Now     func() time.Time // wall clock; default time.Now
	Logger  *slog.Logger     // default: discard
}

// Endpoint implements the server's backends of the HTTP API.
type Endpoint struct {
	cfg       Config
	store     *state.Store
	raft      Proposer
	leases    Leases
	collector Collector
	scheduler Scheduler
	keyring   Secrets
	logins    *login.Verifier
	reports   *gathering // of nodes
	evictions evictions
	compiler  acl.Compiler // of callers' policies
}

// New returns the endpoint of a server.
func New(cfg Config, store *state.Store, raft Proposer, leases Leases, collector Collector, scheduler Scheduler, keyring Secrets) *Endpoint {
	cfg.Region = cmp.Or(cfg.Region, nomadish.DefaultRegion)
	cfg.ACL = cfg.ACL.withDefaults()
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	cfg.Introduction = cfg.Introduction.withDefaults(cfg.ACL.Enabled)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Servers == nil {
		cfg.Servers = func() []string { return nil }
	}
	e := &Endpoint{
		cfg: cfg, store: store, raft: raft, leases: leases, collector: collector, scheduler: scheduler, keyring: keyring,
		logins: login.New(login.Config{Now: cfg.Now, Logger: cfg.Logger}),
	}
	e.reports = newGathering(func(ctx context.Context, c fsm.Command) (uint64, error) {
		_, index, err := propose[any](ctx, e, c)
		return index, err
	})
	return e
}

// propose replicates a command and returns what it made, of type T, and its index.
func propose[T any](ctx context.Context, e *Endpoint, c fsm.Command) (value T, index uint64, err error) {
	index, answer, err := e.raft.Propose(ctx, c)
	if err != nil {
		return value, 0, err
	}
	value, ok := answer.(T)
	if !ok && answer != nil {
		return value, 0, nomadish.Errorf(nomadish.KindInternal, "command %s answered a %T", c.Kind(), answer)
	}
	return value, index, nil
}

// evaluation makes a pending evaluation of a job, of the job's priority unless another is asked for.
func (e *Endpoint) evaluation(ctx context.Context, job *nomadish.Job, trigger string, priority int) *nomadish.Evaluation {
	if priority <= 0 {
		priority = nomadish.Val(job.Priority)
	}
	now := e.cfg.Now().UnixNano()
	return &nomadish.Evaluation{
		ID:             nomadish.NewIDFor(ctx),
		Namespace:      nomadish.Val(job.Namespace),
		JobID:          nomadish.Val(job.ID),
		JobModifyIndex: nomadish.Val(job.JobModifyIndex),
		Type:           nomadish.Val(job.Type),
		Priority:       priority,
		TriggeredBy:    trigger,
		Status:         nomadish.EvalStatusPending,
		CreateTime:     now,
		ModifyTime:     now,
	}
}

// places says whether a job itself is evaluated: periodic and parameterized jobs only
// launch others.
func places(job *nomadish.Job) bool { return job.Periodic == nil && job.ParameterizedJob == nil }

// mapped lists what f makes of each row.
func mapped[A, B any](rows iter.Seq[A], f func(A) B) iter.Seq[B] {
	return func(yield func(B) bool) {
		for row := range rows {
			if !yield(f(row)) {
				return
			}
		}
	}
}

// where lists the rows that keep accepts.
func where[A any](rows iter.Seq[A], keep func(A) bool) iter.Seq[A] {
	return func(yield func(A) bool) {
		for row := range rows {
			if keep(row) && !yield(row) {
				return
			}
		}
	}
}

// found gives a "not found" error the text that Nomad's clients know.
func found[T any](row T, err error, format string, args ...any) (T, error) {
	if errors.Is(err, nomadish.ErrNotFound) {
		return row, nomadish.Errorf(nomadish.KindNotFound, format, args...)
	}
	return row, err
}

// Namespaces lists namespaces by name.
func (e *Endpoint) Namespaces(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.Namespace], uint64, error) {
	r := e.store.Reader()
	rows := visibleRows(ctx, e, nomadish.PermNamespaceAny, r.NamespacesByPrefix(ws, prefix), func(n *nomadish.Namespace) string { return n.Name })
	return rows, tableIndex(r, state.TableNamespaces), nil
}

// Namespace returns a namespace.
func (e *Endpoint) Namespace(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.Namespace, uint64, error) {
	if err := e.may(ctx, nomadish.PermNamespaceAny, name); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	ns, err := r.Namespace(ws, name)
	if ns, err = found(ns, err, "Namespace not found"); err != nil {
		return nil, tableIndex(r, state.TableNamespaces), err
	}
	return ns, ns.ModifyIndex, nil
}

// NodePools lists node pools by name.
func (e *Endpoint) NodePools(ctx context.Context, ws memdb.WatchSet, prefix string) (iter.Seq[*nomadish.NodePool], uint64, error) {
	r := e.store.Reader()
	rows := where(r.NodePoolsByPrefix(ws, prefix), func(p *nomadish.NodePool) bool {
		return e.mayName(ctx, nomadish.PermNodePoolRead, "", p.Name) == nil
	})
	return rows, tableIndex(r, state.TableNodePools), nil
}

// NodePool returns a node pool.
func (e *Endpoint) NodePool(ctx context.Context, ws memdb.WatchSet, name string) (*nomadish.NodePool, uint64, error) {
	if err := e.mayName(ctx, nomadish.PermNodePoolRead, "", name); err != nil {
		return nil, 0, err
	}
	r := e.store.Reader()
	pool, err := r.NodePool(ws, name)
	if pool, err = found(pool, err, "node pool not found"); err != nil {
		return nil, tableIndex(r, state.TableNodePools), err
	}
	return pool, pool.ModifyIndex, nil
}

// SchedulerConfig returns the scheduler configuration.
func (e *Endpoint) SchedulerConfig(_ context.Context, ws memdb.WatchSet) (*nomadish.SchedulerConfiguration, uint64, error) {
	r := e.store.Reader()
	c := r.SchedulerConfig(ws)
	return c, max(c.ModifyIndex, r.TableIndex(state.TableSchedulerConfig)), nil
}

// SetSchedulerConfig changes it, with cas only if it is unchanged since that index.
func (e *Endpoint) SetSchedulerConfig(ctx context.Context, c *nomadish.SchedulerConfiguration, cas *uint64) (bool, uint64, error) {
	switch c.SchedulerAlgorithm {
	case "", nomadish.SchedulerBinpack, nomadish.SchedulerSpread:
	default:
		return false, 0, nomadish.Errorf(nomadish.KindInvalid, "invalid scheduler algorithm: %v", c.SchedulerAlgorithm)
	}
	set := *c
	set.SchedulerAlgorithm = cmp.Or(set.SchedulerAlgorithm, nomadish.SchedulerBinpack)
	command := &fsm.SetSchedulerConfig{Config: &set}
	if cas != nil {
		command.EnforceIndex, set.ModifyIndex = true, *cas
	}
	_, index, err := propose[any](ctx, e, command)
	if nomadish.KindOf(err) == nomadish.KindConflict && err != nil {
		return false, e.store.Reader().Index(), nil
	}
	return err == nil, index, err
}

// CollectGarbage removes all that has ended.
func (e *Endpoint) CollectGarbage(ctx context.Context) error { return e.collector.Collect(ctx) }
