package consensus

import (
	"math/bits"
	"sync"
	"time"
)

// paceWindow is the time, in seconds, over which a disk is judged.
const paceWindow = 10

// pace measures how long appends to the log take.
type pace struct {
	bound time.Duration // from which on one is slow
	start time.Time     // what seconds are counted from

	mu      sync.Mutex
	began   time.Time // of the append under way, zero without one
	seconds [paceWindow]paceSecond
}

// paceSecond is what ended within one second.
type paceSecond struct {
	second int64
	slow   time.Duration // that slow appends took
	took   [25]uint32    // appends by the power of two of their microseconds
}

// Disk is how the disk of a server's log does.
type Disk struct {
	Full bool
	P99  time.Duration // of the time of an append, within the last ten seconds; rounded up to a power of two of microseconds
	Slow time.Duration // of the last ten seconds, how long slow appends took
}

func newPace(bound time.Duration) *pace { return &pace{bound: bound, start: time.Now()} }

// second counts from 1.
func (p *pace) second(now time.Time) int64 { return int64(now.Sub(p.start)/time.Second) + 1 }

// begin notes that an append is under way.
func (p *pace) begin(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.began = now
}

// end notes that it is over.
func (p *pace) end(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := now.Sub(p.began)
	p.began = time.Time{}
	second := p.second(now)
	s := &p.seconds[second%paceWindow]
	if s.second != second {
		*s = paceSecond{second: second}
	}
	s.took[min(bits.Len64(uint64(took.Microseconds())), len(s.took)-1)]++
	if took >= p.bound {
		s.slow += took
	}
}

// disk sums up.
func (p *pace) disk(now time.Time) Disk {
	p.mu.Lock()
	defer p.mu.Unlock()
	var d Disk
	var took [len(paceSecond{}.took)]uint32
	var all uint32
	for i := range p.seconds {
		s := &p.seconds[i]
		if s.second == 0 || s.second <= p.second(now)-paceWindow {
			continue
		}
		d.Slow += s.slow
		for j, n := range s.took {
			took[j] += n
			all += n
		}
	}
	if !p.began.IsZero() {
		if waits := now.Sub(p.began); waits >= p.bound {
			d.Slow += waits
			took[min(bits.Len64(uint64(waits.Microseconds())), len(took)-1)]++
			all++
		}
	}
	d.Slow = min(d.Slow, paceWindow*time.Second)
	for j, beyond := len(took)-1, uint32(0); j >= 0 && all > 0; j-- {
		if beyond += took[j]; beyond > all/100 {
			d.P99 = time.Microsecond << j
			break
		}
	}
	return d
}
