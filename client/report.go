package client

import (
	"context"
	"maps"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	urgentDelay    = 5 * time.Millisecond // in which changes of status gather
	maxReportBatch = 256                  // allocations in one report
)

// reportAllocs tells the servers what became of the allocations. Changes of a status go at
// once, mere events of tasks wait for company.
func (c *Client) reportAllocs(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-c.registered:
	}
	pause := backoff{first: c.cfg.RetryInterval}
	for {
		batch, urgent := c.changes()
		switch {
		case len(batch) == 0:
			select {
			case <-ctx.Done():
				return nil
			case <-c.report:
			}
			continue
		case urgent:
			if lifecycle.Sleep(ctx, urgentDelay) != nil {
				return nil
			}
			batch, _ = c.changes()
		case !c.gather(ctx):
			return nil
		default:
			batch, _ = c.changes()
		}
		recalls := c.recalls(batch)
		if err := c.server.UpdateAllocations(ctx, c.id, batch); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			c.log.Warn("report allocations", "err", err)
			if pause.wait(ctx, c.cfg.Jitter()) != nil {
				return nil
			}
			continue
		}
		pause.reset()
		c.acknowledge(batch, recalls)
	}
}

// gather waits for the update interval, or until something urgent has come.
func (c *Client) gather(ctx context.Context) bool {
	timer := time.NewTimer(c.cfg.UpdateInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-c.report:
			if _, urgent := c.changes(); urgent {
				return true
			}
		}
	}
}

// changes returns the reports that the servers don't have yet, and whether one of them
// changes an allocation's status or health.
func (c *Client) changes() (batch []*nomadish.Allocation, urgent bool) {
	for _, e := range c.entries() {
		report := e.runner.Report()
		c.mu.Lock()
		acked := e.acked
		c.mu.Unlock()
		if acked != nil && sameReport(acked, report) || len(batch) == maxReportBatch {
			continue
		}
		batch = append(batch, report)
		if acked == nil {
			urgent = urgent || report.ClientStatus != nomadish.AllocClientPending
			continue
		}
		urgent = urgent || acked.ClientStatus != report.ClientStatus || acked.DeploymentStatus != report.DeploymentStatus
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.refused {
		if len(batch) == maxReportBatch {
			break
		}
		batch = append(batch, r)
		urgent = true
	}
	return batch, urgent
}

// sameReport compares what is shared and never changed in place, so pointers tell.
func sameReport(a, b *nomadish.Allocation) bool {
	return a.ClientStatus == b.ClientStatus && a.ClientDescription == b.ClientDescription &&
		a.DeploymentStatus == b.DeploymentStatus && maps.Equal(a.TaskStates, b.TaskStates)
}

// recalls says how often the servers have forgotten what they knew of each allocation.
func (c *Client) recalls(batch []*nomadish.Allocation) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]int, len(batch))
	for i, report := range batch {
		if e := c.allocs[report.ID]; e != nil {
			out[i] = e.recalls
		}
	}
	return out
}

// acknowledge notes that the servers took reports, but for those that they have forgotten since they
// were sent.
func (c *Client) acknowledge(batch []*nomadish.Allocation, recalls []int) {
	ended := false
	c.mu.Lock()
	for i, report := range batch {
		if e := c.allocs[report.ID]; e != nil && e.recalls == recalls[i] {
			e.acked = report
			ended = ended || report.ClientTerminal()
		}
		delete(c.refused, report.ID)
	}
	c.mu.Unlock()
	if ended {
		notify(c.garbage)
	}
}
