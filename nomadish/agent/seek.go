package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish/discovery"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// SeekConfig says how the agent of a client node looks for servers whose addresses it is not told: those of
// Config.Servers, and those that it knew before, are asked in any case.
type SeekConfig struct {
	Questions []string      // as package discovery has them
	Max       int           // attempts without a server after which the agent ends, if it never had one; 0: without end
	Interval  time.Duration // between attempts, which begin faster; default 30s
}

// checkQuestions says what is wrong with the questions in place of servers.
func (c Config) checkQuestions() error {
	questions := slices.Clone(c.Seek.Questions)
	if c.Pool != nil {
		questions = append(questions, slices.DeleteFunc(slices.Clone(c.Pool.RetryJoin), func(s string) bool { return !discovery.Is(s) })...)
	}
	var errs []error
	for _, q := range questions {
		if err := c.Discovery.Check(q); err != nil {
			errs = append(errs, fmt.Errorf("server_join.retry_join: %w", err))
		}
	}
	return errors.Join(errs...)
}

// patience is the time between attempts: they begin every second, and get rarer.
type patience struct{ next, most time.Duration }

func newPatience(most time.Duration) *patience {
	most = cmp.Or(most, 30*time.Second)
	return &patience{min(time.Second, most), most}
}

// wait waits until the next attempt; false: ctx has ended.
func (p *patience) wait(ctx context.Context) bool {
	now := p.next
	p.next = min(2*now, p.most)
	return lifecycle.Sleep(ctx, now) == nil
}

// seekServers looks for servers whenever this agent, which is none, has a session with none.
func (a *Agent) seekServers(ctx context.Context) error {
	s := a.cfg.Seek
	var last error
	had, pause := false, newPatience(s.Interval)
	for attempt := 1; ; attempt++ {
		if a.servers.Connected() {
			had, attempt, pause = true, 0, newPatience(s.Interval)
		} else if !had && s.Max > 0 && attempt > s.Max {
			return fmt.Errorf("client.server_join.retry_join: %d attempts were in vain: %w", s.Max, cmp.Or(last, errors.New("no server can be reached")))
		} else if last = a.seek(ctx); last != nil && ctx.Err() == nil {
			a.cfg.Logger.Warn("servers could not be looked up", "attempt", attempt, "again", pause.next, "err", last)
		}
		if !pause.wait(ctx) {
			return nil
		}
	}
}

// seek looks the servers up once.
func (a *Agent) seek(ctx context.Context) error {
	found, err := a.cfg.Discovery.Resolve(ctx, a.cfg.Seek.Questions)
	if len(found) > 0 {
		for i, addr := range found {
			found[i] = withPort(addr, DefaultRPCPort)
		}
		a.cfg.Logger.Debug("looked up servers", "addrs", found)
		a.servers.Set(slices.Concat(a.client.Servers(), a.cfg.Servers, found))
	}
	return err
}
