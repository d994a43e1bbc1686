// Package pki is the cluster's own certificate authority. Its key is in the state, sealed by
// the keyring; the leader signs.
//
//	authority := pki.New(pki.Config{Region: "global"}, store, raft, keyring)
//	err := authority.Lead(ctx) // for one term
//
// Who has a join token gets an agent's first certificate (Join); every agent gets the next ones
// for itself alone (Certify). Authorities are replaced by Rotate: all agents first trust the new
// one, then get certificates of it, and then the old one is dropped. How far that is stands in
// the state at every moment, so that each leader goes on where another has ended.
package pki

import (
	"cmp"
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/certificate"
	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// Proposer replicates commands.
type Proposer interface {
	Propose(ctx context.Context, c fsm.Command) (index uint64, answer any, err error)
}

// Keyring seals keys, and makes the hashes by which secrets are known.
type Keyring interface {
	Seal(plain, bound []byte) (nomadish.Sealed, error)
	Open(s nomadish.Sealed, bound []byte) ([]byte, error)
	MACs(purpose string, data []byte) ([]nomadish.KeyedHash, error)
}

// Config of a PKI.
type Config struct {
	Region    string        // of the agents; default global
	ServerTTL time.Duration // of servers' certificates; default 30 days, so that a cluster can be off for long
	ClientTTL time.Duration // of client nodes' certificates; default 72h
	Settle    time.Duration // time between steps of a change of authorities, in which agents show each other what they have got; default 5s
	Forget    time.Duration // time after which agents are forgotten whose certificates have ended; default 24h

	// Seed returns the authority that "nomadish init" has made for a new cluster; nil: there is
	// none. Once it is in the state Seeded is called.
	Seed   func() (*certificate.Authority, error)
	Seeded func() error

	// Keep keeps the authority beside the state, its key wrapped; see Kept. nil: it is in the state alone.
	Keep    func(text []byte) error
	Wrapper Wrapper // wraps the key; required with Keep

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, nomadish.DefaultRegion)
	c.ServerTTL = cmp.Or(c.ServerTTL, 30*24*time.Hour)
	c.ClientTTL = cmp.Or(c.ClientTTL, 72*time.Hour)
	c.Settle = cmp.Or(c.Settle, 5*time.Second)
	c.Forget = cmp.Or(c.Forget, 24*time.Hour)
	if c.Seed == nil {
		c.Seed = func() (*certificate.Authority, error) { return nil, nil }
	}
	if c.Seeded == nil {
		c.Seeded = func() error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// PKI signs certificates. Its methods may be called concurrently, those that write only on the
// leader. They check no permissions: who may call them is the routes' matter.
type PKI struct {
	cfg     Config
	store   *state.Store
	raft    Proposer
	keyring Keyring
}

// New returns the authority of a state.
func New(cfg Config, store *state.Store, raft Proposer, keyring Keyring) *PKI {
	return &PKI{cfg: cfg.withDefaults(), store: store, raft: raft, keyring: keyring}
}

// errNone says that the cluster has no authority of its own.
func errNone() error {
	return nomadish.Errorf(nomadish.KindInvalid, "this cluster has no certificate authority of its own: \"nomadish init\" makes clusters that have")
}

// authorities lists the authorities, the oldest first.
func authorities(r state.Reader, ws memdb.WatchSet) []*nomadish.Authority {
	return slices.SortedFunc(r.Authorities(ws), func(a, b *nomadish.Authority) int {
		return cmp.Or(cmp.Compare(a.CreateIndex, b.CreateIndex), cmp.Compare(a.ID, b.ID))
	})
}

// inState returns the authority in a state, or nil.
func inState(all []*nomadish.Authority, s nomadish.AuthorityState) *nomadish.Authority {
	i := slices.IndexFunc(all, func(a *nomadish.Authority) bool { return a.State == s })
	if i < 0 {
		return nil
	}
	return all[i]
}

// signer opens the authority that signs.
func (p *PKI) signer(all []*nomadish.Authority) (*certificate.Authority, error) {
	active := inState(all, nomadish.AuthorityActive)
	if active == nil {
		return nil, errNone()
	}
	c, err := x509.ParseCertificate(active.Certificate)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindInternal, "authority %s: %w", active.ID, err)
	}
	key, err := p.keyring.Open(active.Key, active.SealedBinding())
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return certificate.OpenAuthority(c, key)
}

// add puts an authority into the state.
func (p *PKI) add(ctx context.Context, a *certificate.Authority) (*nomadish.Authority, uint64, error) {
	row := &nomadish.Authority{ID: certificate.Fingerprint(a.Certificate), Certificate: a.Certificate.Raw, CreateTime: p.cfg.Now().UnixNano()}
	key, err := a.Key()
	if err != nil {
		return nil, 0, err
	}
	defer clear(key)
	if row.Key, err = p.keyring.Seal(key, row.SealedBinding()); err != nil {
		return nil, 0, err
	}
	index, _, err := p.raft.Propose(ctx, &fsm.PutAuthority{Authority: row})
	return row, index, err
}

// Rotate begins to replace the authority: it makes a new one that all agents are to trust first.
func (p *PKI) Rotate(ctx context.Context) (*nomadish.AuthoritiesResponse, error) {
	all := authorities(p.store.Reader(), nil)
	if inState(all, nomadish.AuthorityActive) == nil {
		return nil, errNone()
	}
	for _, a := range all {
		if a.State != nomadish.AuthorityActive {
			return nil, nomadish.Errorf(nomadish.KindConflict, "authorities are being changed already: %s is %s; \"nomadish operator ca status\" shows what that waits for", short(a.ID), a.State)
		}
	}
	next, err := certificate.NewAuthority(certificate.AuthorityConfig{Now: p.cfg.Now()})
	if err != nil {
		return nil, err
	}
	if _, _, err := p.add(ctx, next); err != nil {
		return nil, err
	}
	return p.Status(nil)
}

func short(id string) string { return id[:min(len(id), 12)] }

// Status tells of the authorities and of the agents with certificates. ws fires when that may have
// changed.
func (p *PKI) Status(ws memdb.WatchSet) (*nomadish.AuthoritiesResponse, error) {
	r := p.store.Reader()
	resp := &nomadish.AuthoritiesResponse{
		Authorities: authorities(r, ws), Agents: slices.Collect(r.CertifiedAgents(ws)), Index: r.Index(),
	}
	resp.Revoked = p.Revoked(ws)
	resp.Waiting = waiting(resp.Authorities, resp.Agents, p.cfg.Now())
	return resp, nil
}

// waiting lists the agents that the present change of authorities waits for. Those whose
// certificates have ended are not waited for: they have to join again in any case.
func waiting(all []*nomadish.Authority, agents []*nomadish.CertifiedAgent, now time.Time) []string {
	var left []string
	for _, a := range agents {
		if !a.Ended(now) && holdsUp(all, a) {
			left = append(left, a.Role+"/"+a.ID)
		}
	}
	return left
}

// holdsUp says whether the next step of a change of authorities has to wait for an agent.
func holdsUp(all []*nomadish.Authority, a *nomadish.CertifiedAgent) bool {
	if next := inState(all, nomadish.AuthorityPrepared); next != nil {
		return a.Trusts != next.ID
	}
	former := inState(all, nomadish.AuthorityRetiring)
	return former != nil && a.AuthorityID == former.ID
}

// leadEvery is the longest time between looks at what ends by the clock.
const leadEvery = time.Minute

// Lead takes in the authority of a new cluster, goes on with changes of authorities, and forgets
// agents that are gone, until ctx ends. Only the leader runs it.
func (p *PKI) Lead(ctx context.Context) error {
	calm := &calm{}
	for ctx.Err() == nil {
		ws := memdb.NewWatchSet()
		pause := leadEvery
		err := p.tend(ctx, ws, calm)
		if calm.step != "" {
			pause = p.cfg.Settle
		}
		if err != nil && ctx.Err() == nil {
			p.cfg.Logger.Warn("tend the certificate authority", "err", err)
			pause = time.Second
			ws = nil
		}
		wait, cancel := context.WithTimeout(ctx, pause)
		if ws == nil {
			<-wait.Done()
		} else {
			_ = ws.WatchCtx(wait) // the loop sees that ctx has ended
		}
		cancel()
	}
	return nil
}

// calm is since when the next step of a change of authorities could be taken.
type calm struct {
	step  string // empty: it can't
	since time.Time
}

// tend does what is due.
func (p *PKI) tend(ctx context.Context, ws memdb.WatchSet, c *calm) error {
	r, now := p.store.Reader(), p.cfg.Now()
	all, agents := authorities(r, ws), slices.Collect(r.CertifiedAgents(ws))
	if len(all) == 0 {
		return p.adopt(ctx)
	}
	if err := p.advance(ctx, all, agents, c); err != nil {
		return err
	}
	if err := p.forget(ctx, r, all); err != nil {
		return err
	}
	var gone []*nomadish.CertifiedAgent
	for _, a := range agents {
		if a.Ended(now.Add(-p.cfg.Forget)) {
			gone = append(gone, a)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, _, err := p.raft.Propose(ctx, &fsm.CertifyAgents{Remove: gone[:min(len(gone), maxForget)]})
	return err
}

// maxForget bounds how many agents are forgotten at once.
const maxForget = 1024

// adopt takes in the authority of a new cluster.
func (p *PKI) adopt(ctx context.Context) error {
	seed, err := p.cfg.Seed()
	if err != nil || seed == nil {
		return err
	}
	row, _, err := p.add(ctx, seed)
	if err != nil {
		return err
	}
	p.cfg.Logger.Info("this cluster has a certificate authority of its own", "fingerprint", row.ID)
	return p.cfg.Seeded()
}

// advance takes a change of authorities one step further when no agent has held it up for a while.
func (p *PKI) advance(ctx context.Context, all []*nomadish.Authority, agents []*nomadish.CertifiedAgent, c *calm) error {
	step := inState(all, nomadish.AuthorityPrepared)
	if step == nil {
		step = inState(all, nomadish.AuthorityRetiring)
	}
	if step == nil || len(waiting(all, agents, p.cfg.Now())) > 0 {
		*c = calm{}
		return nil
	}
	if next := step.ID + string(step.State); c.step != next {
		*c = calm{step: next, since: time.Now()}
	}
	if time.Since(c.since) < p.cfg.Settle {
		return nil
	}
	*c = calm{}
	if _, _, err := p.raft.Propose(ctx, &fsm.AdvanceAuthority{ID: step.ID, From: step.State}); err != nil {
		return err
	}
	p.cfg.Logger.Info("change of certificate authorities goes on", "fingerprint", step.ID, "was", step.State)
	return nil
}
