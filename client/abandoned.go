package client

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Times between looks at what is not to run on without servers.
const (
	abandonedLeast = 10 * time.Millisecond
	abandonedMost  = time.Second
)

// stopAbandoned stops allocations that are not to run for so long without the servers: these replace
// them then. It counts by this node's own clock, from when the newest heartbeat that they took began.
func (c *Client) stopAbandoned(ctx context.Context) error {
	for {
		wait := abandonedMost
		for id, e := range c.entries() {
			left, bounded := c.leftWithoutServers(e)
			switch {
			case !bounded:
			case left > 0:
				wait = min(wait, left)
			default:
				c.log.Warn("stop an allocation: the servers have not been reached for too long", "alloc", id)
				c.mu.Lock()
				e.abandoned = true
				c.mu.Unlock()
				e.runner.Stop()
			}
		}
		if lifecycle.Sleep(ctx, max(wait, abandonedLeast)) != nil {
			return nil
		}
	}
}

// leftWithoutServers is for how long an allocation may go on without the servers, if there is a bound.
func (c *Client) leftWithoutServers(e *entry) (left time.Duration, bounded bool) {
	a := e.runner.Alloc()
	if a.Job == nil || a.Job.TaskGroup(a.TaskGroup) == nil {
		return 0, false
	}
	after := a.Job.TaskGroup(a.TaskGroup).StopOnClientAfter()
	c.mu.Lock()
	defer c.mu.Unlock()
	if after <= 0 || e.ended || e.abandoned {
		return 0, false
	}
	return after - time.Since(c.contact.last), true
}
