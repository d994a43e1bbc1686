package transport

import (
	"context"
	"net/http"
	"time"
)

// Bounds of what those ask who have no certificate yet.
const (
	joinBody = 64 << 10
	joinTime = 30 * time.Second
)

// joins serves who has no certificate yet.
type joins struct {
	conns *handover
	http  *http.Server
}

func newJoins(cfg HubConfig) *joins {
	h := http.TimeoutHandler(http.MaxBytesHandler(cfg.Joins, joinBody), joinTime, "it took too long")
	s := newHTTPServer(cfg.Limits, h, cfg.Logger)
	s.ReadTimeout = joinTime
	return &joins{conns: newHandover(), http: s}
}

func (j *joins) run(ctx context.Context) error { return serve(ctx, j.http, hubGrace, j.conns) }
