package consensus

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// slowFor is how long, of the last ten seconds, slow appends may take before another server had better lead.
const slowFor = 3 * time.Second

// yieldTo returns the voter that should lead instead of self, whose disk is full or slow: the one that is
// furthest of those whose disks are much better. It is empty where self may go on, or nobody is better off:
// a cluster whose disks are all bad keeps its leader.
func yieldTo(self string, peers []Peer, reports map[string]*nomadish.ServerReport) string {
	own := reports[self]
	if own == nil || !own.DiskFull && time.Duration(own.DiskSlow) < slowFor {
		return ""
	}
	better := slices.DeleteFunc(slices.Clone(peers), func(p Peer) bool {
		r := reports[p.ID]
		return p.ID == self || !p.Voter || r == nil || r.LastTerm != own.LastTerm || r.DiskFull || r.DiskSlow > own.DiskSlow/4
	})
	if len(better) == 0 {
		return ""
	}
	return slices.MaxFunc(better, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(reports[a.ID].LastIndex, reports[b.ID].LastIndex), cmp.Compare(b.ID, a.ID))
	}).ID
}

// yield leaves the lead to a server with a better disk, if there is one.
func (a *Autopilot) yield(ctx context.Context, peers []Peer, reports map[string]*nomadish.ServerReport) {
	self := a.consensus.cfg.ID
	to := yieldTo(self, peers, reports)
	if to == "" || ctx.Err() != nil {
		return
	}
	log, own := a.consensus.cfg.Logger, reports[self]
	log.Warn("the disk hinders this leader: another server is to lead", "server_id", to,
		"full", own.DiskFull, "slow", time.Duration(own.DiskSlow), "append_p99", time.Duration(own.DiskP99))
	if err := a.consensus.TransferLeadership(ctx, to); err != nil && ctx.Err() == nil {
		log.Warn("leave the lead", "server_id", to, "err", err)
	}
}
