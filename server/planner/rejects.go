package planner

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nomadish/nomadish/server/capacity"
)

// rejects remembers which nodes are rejected again and again: there scheduler and planner see
// different things, and to try on would never end.
type rejects struct {
	limit     int
	window    time.Duration
	exclusion time.Duration
	logger    *slog.Logger

	mu    sync.Mutex
	times map[string][]time.Time // newest last, at most limit
	until map[string]time.Time
}

func newRejects(cfg Config) *rejects {
	return &rejects{
		limit: cfg.RejectLimit, window: cfg.RejectWindow, exclusion: cfg.Exclusion, logger: cfg.Logger,
		times: map[string][]time.Time{}, until: map[string]time.Time{},
	}
}

func (r *rejects) note(why capacity.Rejection, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	times := append(r.times[why.NodeID], now)
	times = times[max(0, len(times)-r.limit):]
	r.times[why.NodeID] = times
	r.logger.Debug("plan rejected for node", "node_id", why.NodeID, "reason", why.Reason)
	if len(times) < r.limit || now.Sub(times[0]) > r.window {
		return
	}
	delete(r.times, why.NodeID)
	r.until[why.NodeID] = now.Add(r.exclusion)
	r.logger.Warn("node left alone: plans for it are rejected again and again",
		"node_id", why.NodeID, "reason", why.Reason, "rejections", r.limit, "for", r.exclusion)
}

func (r *rejects) excluded(now time.Time) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out map[string]bool
	for id, until := range r.until {
		if !until.After(now) {
			delete(r.until, id)
			continue
		}
		if out == nil {
			out = map[string]bool{}
		}
		out[id] = true
	}
	return out
}
