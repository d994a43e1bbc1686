package nodesim

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// report tells the servers what becomes of the node's allocations, until there is nothing more
// to tell before they want something else.
func (n *node) report(ctx context.Context) {
	select {
	case <-n.fleet.released:
	case <-ctx.Done():
		return
	}
	for pause := backoff(0); ; {
		reports, next, done := n.due()
		if done {
			return
		}
		if len(reports) == 0 {
			if !n.pause(ctx, next) {
				return
			}
			continue
		}
		if n.awaitOnline(ctx) != nil {
			return
		}
		begin := time.Now()
		if err := n.servers.UpdateAllocations(ctx, n.self.ID, reports); err != nil {
			if ctx.Err() != nil {
				return
			}
			n.failed(err)
			if pause.wait(ctx) != nil {
				return
			}
			continue
		}
		pause = 0
		n.fleet.meter.report.add(time.Since(begin))
		n.told(reports)
	}
}

// due returns what there is to report now, or when there will be; done: the reporter may go.
func (n *node) due() (reports []*nomadish.Allocation, next time.Time, done bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.again = false
	reports, next = n.ledger.due(time.Now())
	if len(reports) == 0 && next.IsZero() {
		n.busy = false
		return nil, next, true
	}
	return reports, next, false
}

// looks is how often a reporter that waits looks whether the servers want something else.
const looks = 100 * time.Millisecond

// pause waits until a time, or until the watch has brought something.
func (n *node) pause(ctx context.Context, until time.Time) bool {
	for {
		n.mu.Lock()
		again := n.again
		n.mu.Unlock()
		left := time.Until(until)
		if again || left <= 0 {
			return ctx.Err() == nil
		}
		if lifecycle.Sleep(ctx, min(left, looks)) != nil {
			return false
		}
	}
}

// told notes what the servers have taken.
func (n *node) told(reports []*nomadish.Allocation) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range reports {
		n.fleet.count(n.ledger.allocs[r.ID], r)
	}
	n.ledger.told(reports)
}

// count counts an allocation that the servers have been told of.
func (f *Fleet) count(before *allocation, r *nomadish.Allocation) {
	ran := before != nil && before.acked == nomadish.AllocClientRunning
	switch {
	case r.ClientTerminal():
		f.meter.ended.Add(1)
		if ran {
			f.meter.running.Add(-1)
		}
	case !ran:
		f.meter.running.Add(1)
	}
}
