package liveness

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// pending is what this server has yet to tell the leader.
type pending struct {
	beats map[string]time.Duration
	heard map[string]bool
	ended map[string]string // nodes without a session any more: how it ended
	began map[string]bool   // nodes whose agents have begun a session
	held  map[string]bool   // nodes whose sessions the leader knows of
	whole bool              // the leader is to know all sessions
}

func newPending() pending {
	return pending{
		beats: map[string]time.Duration{}, heard: map[string]bool{}, ended: map[string]string{}, held: map[string]bool{}, began: map[string]bool{}, whole: true,
	}
}

// Ended notes that a node has no session with this server any more.
func (l *Leases) Ended(nodeID, how string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending.ended[nodeID] = how
	l.poke()
}

// Began notes that a node's agent begins a session with this server: it is not gone.
func (l *Leases) Began(nodeID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending.began[nodeID] = true
	l.poke()
}

// reportWithin bounds the leader's answer to a report.
const reportWithin = 700 * time.Millisecond

// Witness tells the leader, be it this server, what this server sees of nodes, until ctx ends. It also
// finds out at which addresses their machines can be probed.
func (l *Leases) Witness(ctx context.Context) error {
	if l.cfg.Peers == nil {
		<-ctx.Done()
		return nil
	}
	return lifecycle.Run(ctx, l.surveys, l.reports)
}

// reports tells the leader what this server sees.
func (l *Leases) reports(ctx context.Context) error {
	look := time.NewTimer(0)
	defer look.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		case <-l.notable:
		}
		report, notable, sessions := l.report()
		look.Reset(min(max(lookEvery, time.Duration(sessions)*lookShare), reportEvery))
		if !notable && time.Since(last) < reportEvery {
			continue
		}
		if !last.IsZero() {
			report.After = time.Since(last)
		}
		last = time.Now()
		if err := l.deliver(ctx, report); err != nil && ctx.Err() == nil {
			l.restore(report)
			l.cfg.Logger.Debug("tell the leader of nodes", "err", err)
		}
	}
}

// report takes out what is to be told, and says whether it can't wait and how many sessions there are.
func (l *Leases) report() (report *nomadish.WitnessReport, notable bool, sessions int) {
	pulses := l.cfg.Peers.Pulses()
	slices.SortFunc(pulses, func(a, b nomadish.NodePulse) int { return strings.Compare(a.NodeID, b.NodeID) })
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.pending
	report = &nomadish.WitnessReport{Server: l.cfg.ServerID, Whole: p.whole}
	here := make(map[string]bool, len(pulses))
	from := silentFrom
	if len(pulses) <= fewSessions {
		from = silentSoon
	}
	for _, pulse := range pulses {
		here[pulse.NodeID] = true
		if p.whole || !p.held[pulse.NodeID] {
			report.Held = append(report.Held, pulse.NodeID)
		}
		if pulse.Silent >= from {
			report.Silent = append(report.Silent, pulse)
		}
	}
	l.silent = len(report.Silent)
	report.Live = len(pulses) - l.silent
	for id := range p.held { // also those of whose end nobody told
		if _, told := p.ended[id]; !told {
			p.ended[id] = ""
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.ended)) {
		if !here[id] {
			report.Ended = append(report.Ended, nomadish.SessionEnd{NodeID: id, How: p.ended[id]})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.beats)) {
		report.Beats = append(report.Beats, nomadish.NodeBeat{NodeID: id, TTL: p.beats[id]})
	}
	report.Heard = slices.Sorted(maps.Keys(p.heard))
	report.Began = slices.Sorted(maps.Keys(p.began))
	p.held, p.whole = here, false
	clear(p.ended)
	clear(p.beats)
	clear(p.heard)
	clear(p.began)
	told := len(report.Held) + len(report.Silent) + len(report.Ended) + len(report.Beats) + len(report.Heard) + len(report.Began)
	return report, report.Whole || told > 0, len(pulses)
}

// restore puts back what could not be told.
func (l *Leases) restore(report *nomadish.WitnessReport) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.pending
	p.whole = true
	for _, end := range report.Ended {
		if _, newer := p.ended[end.NodeID]; !newer {
			p.ended[end.NodeID] = end.How
		}
	}
	for _, b := range report.Beats {
		if _, newer := p.beats[b.NodeID]; !newer {
			p.beats[b.NodeID] = b.TTL
		}
	}
	for _, id := range report.Began {
		p.began[id] = true
	}
}

func (l *Leases) deliver(ctx context.Context, report *nomadish.WitnessReport) error {
	ctx, cancel := context.WithTimeout(ctx, reportWithin)
	defer cancel()
	answer, err := l.Told(ctx, report)
	if err != nil && nomadish.KindOf(err) == nomadish.KindNoLeader {
		answer, err = l.cfg.Peers.Tell(ctx, report)
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered = time.Now()
	l.shares.learn(answer.Sessions, l.delivered)
	if answer.Whole {
		l.pending.whole = true
		l.poke()
	}
	return nil
}
