package broker

import (
	"context"
	"time"
)

// Run lets delays and deliveries run out until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.timer:
		case <-alarm.C:
		}
		if wait, any := b.expire(time.Now()); any {
			alarm.Reset(wait)
		}
	}
}

// expire handles what is due and says how long it is until the next.
func (b *Broker) expire(now time.Time) (wait time.Duration, any bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.timers.len() > 0 {
		e := b.timers.first()
		if left := e.due.Sub(now); left > 0 {
			return left, true
		}
		b.timers.pop()
		switch j := b.jobs[e.key()]; {
		case e.token != "":
			b.nack(e)
		case j != nil && j.active == e:
			b.push(e)
		default:
			b.offer(e)
		}
	}
	return 0, false
}

// deadline lets something happen to an entry after a while; see expire.
func (b *Broker) deadline(e *entry, wait time.Duration) {
	e.due = time.Now().Add(wait)
	b.timers.push(e)
	if b.timers.first() == e {
		select {
		case b.timer <- struct{}{}:
		default: // Run is about to look anyway
		}
	}
}
