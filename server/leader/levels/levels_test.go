package levels

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/server/fsm"
	"github.com/nomadish/nomadish/server/state"
)

// log takes down which levels are proposed, and fails the first time.
type log struct {
	failed bool
	levels []uint32
}

func (l *log) Propose(_ context.Context, c fsm.Command) (uint64, any, error) {
	if !l.failed {
		l.failed = true
		return 0, nil, errors.New("no leader")
	}
	l.levels = append(l.levels, c.(*fsm.RaiseClusterLevel).Level)
	return 1, nil, nil
}

// A level is raised once all servers have spoken it for long enough, and is tried again until it is
// raised.
func TestRaise(t *testing.T) {
	newer, older := fsm.Levels{Min: 1, Max: 2}, fsm.Levels{Min: 1, Max: 1}
	for _, tt := range []struct {
		name   string
		settle time.Duration
		ask    func(since time.Duration) ([]fsm.Levels, error)
		raised bool // after a minute
	}{
		{"all speak it", 0, func(time.Duration) ([]fsm.Levels, error) { return []fsm.Levels{newer, newer}, nil }, true},
		{"one does not", 0, func(time.Duration) ([]fsm.Levels, error) { return []fsm.Levels{newer, older}, nil }, false},
		{"one does not say", 0, func(time.Duration) ([]fsm.Levels, error) { return nil, errors.New("m3: no answer") }, false},
		{"they have for long enough", 30 * time.Second, func(time.Duration) ([]fsm.Levels, error) { return []fsm.Levels{newer}, nil }, true},
		{"not for long enough", time.Hour, func(time.Duration) ([]fsm.Levels, error) { return []fsm.Levels{newer}, nil }, false},
		{"one goes back all the time", 30 * time.Second, func(since time.Duration) ([]fsm.Levels, error) {
			if since%(20*time.Second) < 5*time.Second {
				return []fsm.Levels{newer, older}, nil
			}
			return []fsm.Levels{newer, newer}, nil
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin, proposals := time.Now(), &log{}
				ask := func(context.Context) ([]fsm.Levels, error) { return tt.ask(time.Since(begin)) }
				r := New(Config{Settle: tt.settle}, state.New(), proposals, ask)
				r.most = newer.Max
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := r.Run(ctx); err != nil {
					t.Error(err)
				}
				if raised := len(proposals.levels) > 0; raised != tt.raised {
					t.Errorf("proposed %d, want that it is raised: %v", proposals.levels, tt.raised)
				}
			})
		})
	}
}
