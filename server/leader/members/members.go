// Package members makes the servers that replicate the state those that the pool knows: while its server
// leads, it adds new ones, gives them their vote once they are stable, and removes those that left or died.
//
// What the pool says is a hint. It never makes more servers vanish than a majority survives.
package members

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/server/consensus"
	"github.com/nomadish/nomadish/server/gossip"
)

// Raft changes who replicates the state.
type Raft interface {
	Peers() []consensus.Peer
	AddNonvoter(ctx context.Context, id string) error
	AddVoter(ctx context.Context, id string) error
	RemoveServer(ctx context.Context, id string) error
}

// Pool knows the servers of all regions.
type Pool interface {
	Members() []gossip.Member
	Changed() <-chan struct{}
	Since(id string) time.Duration // for which a member has its status
}

// Health tells how well the servers are.
type Health interface {
	Health(ctx context.Context) *nomadish.OperatorHealthReply
}

// Config of a Keeper.
type Config struct {
	ID      string
	Region  string
	Cluster func() string                           // ID of the cluster, as members tell theirs
	Wanted  func() *nomadish.AutopilotConfiguration // what operators want
	// Ask asks a server how it is: what the pool says of a new one may be old.
	Ask func(ctx context.Context, id string) (*nomadish.ServerReport, error)

	Every   time.Duration // time between two looks; default 2s
	Dead    time.Duration // time for which a server has to have failed before it is removed; default 20s
	Timeout time.Duration // for one change; default 10s

	Now    func() time.Time // wall clock, with which Health tells since when servers are well; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() Config {
	c.Every = cmp.Or(c.Every, 2*time.Second)
	c.Dead = cmp.Or(c.Dead, 20*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Keeper keeps the servers that replicate the state. Only the leader runs it.
type Keeper struct {
	cfg    Config
	raft   Raft
	pool   Pool
	health Health

	missing map[string]time.Time // since when the pool has not known a peer, by ID
	told    map[string]string    // what was last logged of a server, by ID
}

// New returns a keeper.
func New(cfg Config, raft Raft, pool Pool, health Health) *Keeper {
	return &Keeper{cfg: cfg.withDefaults(), raft: raft, pool: pool, health: health}
}

// Run makes changes until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	k.missing, k.told = map[string]time.Time{}, map[string]string{}
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		changed := k.pool.Changed()
		for k.change(ctx) { // one after the other, each with a fresh look
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// change makes the next change that is due, and says whether there was one that worked.
func (k *Keeper) change(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, k.cfg.Timeout)
	defer cancel()
	next, ok := decide(k.look(ctx))
	if ctx.Err() != nil {
		return false
	}
	for id, reason := range next.notes {
		k.tell(id, reason)
	}
	if !ok {
		return false
	}
	var err error
	switch next.kind {
	case add:
		err = k.add(ctx, next.id)
	case promote:
		err = k.raft.AddVoter(ctx, next.id)
	case remove:
		err = k.raft.RemoveServer(ctx, next.id)
	}
	if err != nil {
		if ctx.Err() == nil && nomadish.KindOf(err) != nomadish.KindNoLeader {
			k.tell(next.id, fmt.Sprintf("it can't be %s: %v", next.kind, err))
		}
		return false
	}
	k.cfg.Logger.Info("the servers of the cluster have changed", "change", next.kind.String(), "id", next.id, "server", next.name, "reason", next.reason)
	return true
}

// add has a server follow, unless it says that it belongs to another cluster.
func (k *Keeper) add(ctx context.Context, id string) error {
	report, err := k.cfg.Ask(ctx, id)
	if err != nil {
		return fmt.Errorf("ask it for its state: %w", err)
	}
	m := gossip.Member{ID: id, HasState: report.HasState, Cluster: report.Cluster}
	if reason := foreign(m, k.cfg.Cluster()); reason != "" {
		return errors.New(reason)
	}
	return k.raft.AddNonvoter(ctx, id)
}

// foreign says why a server can't be added to a cluster; empty: it can be.
func foreign(m gossip.Member, cluster string) string {
	switch {
	case !m.HasState:
		return ""
	case m.Cluster == "":
		return "it belongs to a cluster that it can't name yet"
	case m.Cluster != cluster:
		return fmt.Sprintf("it belongs to another cluster of this region: %s, and this one is %s; empty its data directory to have it join", m.Cluster, cluster)
	}
	return ""
}

// tell logs why a server is left as it is, when that is news.
func (k *Keeper) tell(id, reason string) {
	if k.told[id] != reason {
		k.told[id] = reason
		k.cfg.Logger.Warn("a server is not what it could be", "id", id, "reason", reason)
	}
}

// look collects all that a decision depends on.
func (k *Keeper) look(ctx context.Context) view {
	v := view{
		self: k.cfg.ID, region: k.cfg.Region, cluster: k.cfg.Cluster(), want: k.cfg.Wanted(), dead: k.cfg.Dead,
		members: map[string]gossip.Member{}, gone: map[string]time.Duration{}, stable: map[string]time.Duration{},
	}
	v.peers = k.raft.Peers()
	for _, m := range k.pool.Members() {
		if m.Region == k.cfg.Region {
			v.members[m.ID] = m
			v.order = append(v.order, m.ID)
		}
	}
	now := time.Now()
	for _, p := range v.peers {
		m, known := v.members[p.ID]
		switch {
		case !known && k.missing[p.ID].IsZero():
			k.missing[p.ID] = now
		case !known:
			v.gone[p.ID] = now.Sub(k.missing[p.ID])
		case m.Status == gossip.StatusFailed:
			v.gone[p.ID] = k.pool.Since(p.ID)
		}
		if known {
			delete(k.missing, p.ID)
		}
	}
	if v.candidates() {
		for _, s := range k.health.Health(ctx).Servers {
			if s.Healthy {
				v.stable[s.ID] = k.cfg.Now().Sub(s.StableSince)
			}
		}
	}
	return v
}

// kind is what can be done with a server.
type kind int

const (
	add     kind = iota + 1 // have it follow, without a vote
	promote                 // give it its vote
	remove
)

func (k kind) String() string {
	return [...]string{add: "added", promote: "given a vote", remove: "removed"}[k]
}

// step is a change of the servers.
type step struct {
	kind     kind
	id, name string
	reason   string
	notes    map[string]string // by ID, why a server is left as it is
}

// view is all that a decision depends on.
type view struct {
	self, region, cluster string
	want                  *nomadish.AutopilotConfiguration
	dead                  time.Duration

	peers   []consensus.Peer
	members map[string]gossip.Member // of this region, by ID
	order   []string                 // their IDs, by name
	gone    map[string]time.Duration // of peers that failed or are not known to the pool, for how long
	stable  map[string]time.Duration // of healthy peers, for how long
}

// candidates says whether a peer could be given a vote.
func (v *view) candidates() bool {
	for _, p := range v.peers {
		if !p.Voter && v.members[p.ID].Status == gossip.StatusAlive && !v.members[p.ID].Nonvoter {
			return true
		}
	}
	return false
}

// decide returns the next change. Whoever left goes first, and whoever died last: a vote that is given
// before makes it likelier that there is a majority without them.
func decide(v view) (step, bool) {
	notes := map[string]string{}
	for _, find := range []func(view, map[string]string) (step, bool){left, replaced, added, promoted, died} {
		if s, ok := find(v, notes); ok {
			s.name, s.notes = v.members[s.id].Name, notes
			return s, true
		}
	}
	return step{notes: notes}, false
}

// left finds a server that said that it goes.
func left(v view, _ map[string]string) (step, bool) {
	for _, p := range v.peers {
		if m, ok := v.members[p.ID]; ok && p.ID != v.self && m.Status == gossip.StatusLeft {
			return step{kind: remove, id: p.ID, reason: "it left"}, true
		}
	}
	return step{}, false
}

// replaced finds a server that failed where another has its name or address now: it will not come back.
func replaced(v view, notes map[string]string) (step, bool) {
	for _, p := range v.peers {
		m, ok := v.members[p.ID]
		if !ok || m.Status != gossip.StatusFailed || p.ID == v.self {
			continue
		}
		for _, id := range v.order {
			if other := v.members[id]; id != p.ID && other.Status == gossip.StatusAlive && (other.Name == m.Name || other.RPC == m.RPC) {
				if reason := v.keeps(p); reason != "" {
					notes[p.ID] = reason
					break
				}
				return step{kind: remove, id: p.ID, reason: "server " + id + " is in its place"}, true
			}
		}
	}
	return step{}, false
}

// added finds a server that is new.
func added(v view, notes map[string]string) (step, bool) {
	peers := map[string]bool{}
	for _, p := range v.peers {
		peers[p.ID] = true
	}
	for _, id := range v.order {
		m := v.members[id]
		if peers[id] || m.Status != gossip.StatusAlive {
			continue
		}
		reason := foreign(m, v.cluster)
		if reason == "" {
			return step{kind: add, id: id, reason: "it is new"}, true
		}
		notes[id] = reason
	}
	return step{}, false
}

// promoted finds a server that has been well for long enough to vote.
func promoted(v view, _ map[string]string) (step, bool) {
	for _, p := range v.peers {
		m := v.members[p.ID]
		if p.Voter || m.Nonvoter || m.Status != gossip.StatusAlive {
			continue
		}
		if stable, ok := v.stable[p.ID]; ok && stable >= time.Duration(v.want.ServerStabilizationTime) {
			return step{kind: promote, id: p.ID, reason: "it is stable"}, true
		}
	}
	return step{}, false
}

// died finds a server that has been gone for so long that it is better not to count on it.
func died(v view, notes map[string]string) (step, bool) {
	if !v.want.CleanupDeadServers {
		return step{}, false
	}
	for _, p := range v.peers {
		gone, ok := v.gone[p.ID]
		if !ok || gone < v.dead || p.ID == v.self {
			continue
		}
		if reason := v.keeps(p); reason != "" {
			notes[p.ID] = reason
			continue
		}
		return step{kind: remove, id: p.ID, reason: "it is dead"}, true
	}
	return step{}, false
}

// keeps says why a dead server is not removed; empty: it can be. A minority of the voters may be, and as
// many as leave the quorum that operators want.
func (v *view) keeps(p consensus.Peer) string {
	if !p.Voter {
		return ""
	}
	voters, dead := 0, 0
	for _, other := range v.peers {
		if !other.Voter {
			continue
		}
		voters++
		if _, gone := v.gone[other.ID]; gone {
			dead++
		}
	}
	switch {
	case dead > (voters-1)/2:
		return fmt.Sprintf("it is dead, and so are %d of %d servers with a vote: no majority would agree to remove them", dead, voters)
	case uint64(voters-1) < v.want.MinQuorum:
		return fmt.Sprintf("it is dead, and stays because at least %d servers with a vote are wanted (MinQuorum)", v.want.MinQuorum)
	}
	return ""
}
