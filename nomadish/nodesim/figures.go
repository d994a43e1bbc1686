package nodesim

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Figures tell how a fleet is doing. Counts are since its start.
type Figures struct {
	Nodes      int // that there are to be
	Online     int // that the servers know, and that have a connection
	Reconnects uint64

	Registrations, Heartbeats, Answers, Reports uint64 // requests that succeeded; Answers are those of watches
	Errors                                      uint64 // requests that did not
	LastError                                   string `json:",omitempty"`

	Arrived uint64 // allocations that the nodes have learned of
	Running int64  // that the servers have been told run
	Ended   uint64 // that the servers have been told have ended

	Register, Heartbeat, Report Latency
	Arrive                      Latency // from when an allocation was placed until its node knew of it
}

// Latency is how long requests took.
type Latency struct {
	Count         uint64
	P50, P99, Max time.Duration
}

// meter counts for all nodes.
type meter struct {
	online, running                             atomic.Int64
	reconnects, answers, errors, arrived, ended atomic.Uint64
	lastError                                   atomic.Pointer[string]
	register, heartbeat, report, arrive         histogram
}

func (m *meter) fail(err error) {
	m.errors.Add(1)
	text := err.Error()
	m.lastError.Store(&text)
}

// Figures returns how the fleet is doing.
func (f *Fleet) Figures() Figures {
	m := &f.meter
	out := Figures{
		Nodes: len(f.nodes), Online: int(m.online.Load()), Reconnects: m.reconnects.Load(),
		Answers: m.answers.Load(), Errors: m.errors.Load(),
		Arrived: m.arrived.Load(), Running: m.running.Load(), Ended: m.ended.Load(),
		Register: m.register.latency(), Heartbeat: m.heartbeat.latency(), Report: m.report.latency(), Arrive: m.arrive.latency(),
	}
	out.Registrations, out.Heartbeats, out.Reports = out.Register.Count, out.Heartbeat.Count, out.Report.Count
	if text := m.lastError.Load(); text != nil {
		out.LastError = *text
	}
	return out
}

// histogram counts durations in buckets, each an eighth wider than a power of two of
// microseconds.
type histogram struct {
	buckets [44 * steps]atomic.Uint64
	max     atomic.Int64
}

const steps = 8

func (h *histogram) add(d time.Duration) {
	h.buckets[min(bucket(d), len(h.buckets)-1)].Add(1)
	for {
		most := h.max.Load()
		if int64(d) <= most || h.max.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// bucket is the number of a duration's bucket.
func bucket(d time.Duration) int {
	us := uint64(max(d.Microseconds(), 0))
	if us < steps {
		return int(us)
	}
	exp := bits.Len64(us) - 4 // us>>exp is in [8, 16)
	return (exp+1)*steps + int(us>>exp) - steps
}

// upper is the end of a bucket.
func upper(i int) time.Duration {
	if i < steps {
		return time.Duration(i+1) * time.Microsecond
	}
	exp := i/steps - 1
	return time.Duration(uint64(i%steps+steps+1)<<exp) * time.Microsecond
}

func (h *histogram) latency() Latency {
	var counts [len(h.buckets)]uint64
	l := Latency{Max: time.Duration(h.max.Load())}
	for i := range h.buckets {
		counts[i] = h.buckets[i].Load()
		l.Count += counts[i]
	}
	l.P50, l.P99 = percentile(counts[:], l.Count, 50, l.Max), percentile(counts[:], l.Count, 99, l.Max)
	return l
}

// percentile is what p of a hundred are below.
func percentile(counts []uint64, total, p uint64, most time.Duration) time.Duration {
	seen := uint64(0)
	for i, n := range counts {
		if seen += n; n > 0 && seen*100 >= total*p {
			return min(upper(i), most)
		}
	}
	return 0
}
