//go:build linux

package network

import (
	"fmt"
	"testing"
	"time"
)

// One network after another on a node that has one already.
func BenchmarkSetupRelease(b *testing.B) {
	w := newWorld(b)
	m, _ := w.manager()
	w.bridge(m, "stays", port("p", 8001, 80, hostIP))
	b.ReportAllocs()
	var setup time.Duration
	for b.Loop() {
		begin := time.Now()
		w.bridge(m, "a", port("p", 8002, 80, hostIP), port("q", 8003, 80, hostIP))
		setup += time.Since(begin)
		check(b, m.Release(b.Context(), "a"))
	}
	b.ReportMetric(float64(setup)/float64(b.N), "setup-ns/op")
}

// The rules of a thousand ports: made anew, compared, and changed by one port.
func BenchmarkTable(b *testing.B) {
	const ports = 1000
	leases := map[string]*lease{}
	p := pool{subnet: DefaultSubnet, subnet6: netipPrefix("fd00:aaaa::/64")}
	add := func(i int) {
		l := &lease{Request: Request{ID: fmt.Sprint("a", i), Mode: ModeBridge, Ports: []portOf{port("p", 8000+i, 80, hostIP)}}}
		check(b, p.take(l, nil, nil))
		leases[l.Request.ID] = l
	}
	for i := range ports {
		add(i)
	}
	w := newWorld(b)
	t := newTable(w.host, "bench", linkPrefix("bench"))
	defer func() { check(b, t.close()) }()
	all := func() ruleset { return wanted(leases, linkPrefix("bench")) }
	check(b, t.rebuild(all()))
	b.Run("rebuild", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, t.rebuild(all()))
		}
	})
	b.Run("compare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			drift, err := t.check(all)
			if drift != "" || err != nil {
				b.Fatal(drift, err)
			}
		}
	})
	b.Run("one port", func(b *testing.B) {
		b.ReportAllocs()
		last := leases[fmt.Sprint("a", ports-1)]
		for i := 0; b.Loop(); i++ {
			changed := *last
			changed.Request.Ports = []portOf{port("p", 20000+i%2, 80, hostIP)}
			leases[last.Request.ID] = &changed
			check(b, t.update(all))
		}
	})
}
