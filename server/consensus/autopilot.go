package consensus

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// AutopilotConfig says how often servers are looked at.
type AutopilotConfig struct {
	Every   time.Duration // default 2s
	Timeout time.Duration // time that a server has to answer; default 1s

	Now func() time.Time // wall clock, to tell since when servers are well; default time.Now
}

func (c AutopilotConfig) withDefaults() AutopilotConfig {
	c.Every = cmp.Or(c.Every, 2*time.Second)
	c.Timeout = cmp.Or(c.Timeout, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// AskServer asks a server of the cluster, this one too, how it is.
type AskServer func(ctx context.Context, id string) (*nomadish.ServerReport, error)

// Autopilot knows how well the servers are. Whoever removes servers that are dead, or gives new ones
// their vote, goes by its Health.
type Autopilot struct {
	cfg       AutopilotConfig
	consensus *Consensus
	wanted    func() *nomadish.AutopilotConfiguration
	ask       AskServer

	mu    sync.Mutex
	known map[string]judgement // by the server's ID
	last  *nomadish.OperatorHealthReply
}

// judgement is what was last thought of a server.
type judgement struct {
	healthy bool
	since   time.Time
}

// NewAutopilot returns the autopilot of a server, which judges by the configuration that wanted returns.
func NewAutopilot(cfg AutopilotConfig, c *Consensus, wanted func() *nomadish.AutopilotConfiguration, ask AskServer) *Autopilot {
	return &Autopilot{cfg: cfg.withDefaults(), consensus: c, wanted: wanted, ask: ask, known: map[string]judgement{}}
}

// Run looks at the servers until ctx ends, so that it is known since when they are well, and leaves the
// lead to another one where this one's disk hinders it. It is a part of what leads: another leader judges anew.
func (a *Autopilot) Run(ctx context.Context) error {
	a.mu.Lock()
	a.known, a.last = map[string]judgement{}, nil
	a.mu.Unlock()
	tick := time.NewTicker(a.cfg.Every)
	defer tick.Stop()
	for {
		peers := a.consensus.Peers()
		reports := a.Reports(ctx, peers)
		a.note(ctx, peers, reports)
		a.yield(ctx, peers, reports)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Health asks all servers how they are. On the leader only does it mean anything.
func (a *Autopilot) Health(ctx context.Context) *nomadish.OperatorHealthReply {
	peers := a.consensus.Peers()
	return a.note(ctx, peers, a.Reports(ctx, peers))
}

// note judges by reports, and since when that judgement holds.
func (a *Autopilot) note(ctx context.Context, peers []Peer, reports map[string]*nomadish.ServerReport) *nomadish.OperatorHealthReply {
	leader, _ := a.consensus.Leader()
	health := judge(a.wanted(), peers, reports, leader)
	a.mu.Lock()
	defer a.mu.Unlock()
	known := map[string]judgement{}
	for _, s := range health.Servers {
		last, ok := a.known[s.ID]
		if !ok || last.healthy != s.Healthy {
			last = judgement{s.Healthy, a.cfg.Now()}
		}
		known[s.ID] = last
		s.StableSince = last.since
	}
	if ctx.Err() == nil { // who was asked too late to answer is not ill
		a.known, a.last = known, health
	}
	return health
}

// Last is what Run last found out, which nobody changes; nil: nothing yet.
func (a *Autopilot) Last() *nomadish.OperatorHealthReply {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// Reports asks servers how they are, all at once. One that does not answer in time has no report.
func (a *Autopilot) Reports(ctx context.Context, peers []Peer) map[string]*nomadish.ServerReport {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Timeout)
	defer cancel()
	reports := make([]*nomadish.ServerReport, len(peers))
	var parts sync.WaitGroup
	for i, p := range peers {
		parts.Go(func() {
			if report, err := a.ask(ctx, p.ID); err == nil {
				reports[i] = report
			}
		})
	}
	parts.Wait()
	byID := map[string]*nomadish.ServerReport{}
	for i, p := range peers {
		if reports[i] != nil {
			byID[p.ID] = reports[i]
		}
	}
	return byID
}

// judge compares what servers report with what is wanted of them.
func judge(want *nomadish.AutopilotConfiguration, peers []Peer, reports map[string]*nomadish.ServerReport, leader string) *nomadish.OperatorHealthReply {
	health := &nomadish.OperatorHealthReply{Healthy: true, Leader: leader, Servers: []*nomadish.ServerHealth{}, Voters: []string{}}
	first := reports[leader]
	voters, well := 0, 0
	for _, p := range peers {
		s := &nomadish.ServerHealth{ID: p.ID, Voter: p.Voter, Leader: p.ID == leader, SerfStatus: "failed"}
		if report := reports[p.ID]; report != nil {
			s.Name, s.Address, s.Version, s.SerfStatus = report.Name, report.Address, report.Version, "alive"
			s.LastContact, s.LastTerm, s.LastIndex = report.LastContact, report.LastTerm, report.LastIndex
			s.Healthy = first != nil && s.LastTerm == first.LastTerm && s.LastContact <= want.LastContactThreshold &&
				s.LastIndex+want.MaxTrailingLogs >= first.LastIndex
		}
		health.Servers = append(health.Servers, s)
		health.Healthy = health.Healthy && s.Healthy
		if !p.Voter {
			continue
		}
		health.Voters = append(health.Voters, p.ID)
		voters++
		if s.Healthy {
			well++
		}
	}
	health.Healthy = health.Healthy && len(peers) > 0
	health.FailureTolerance = max(0, well-(voters/2+1))
	return health
}
