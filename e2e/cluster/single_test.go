//go:build linux

package cluster

import "testing"

// A server that is killed has every write that it acknowledged, and no read misses one.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	lab := newLab(t, Config{Server: true}, Config{Client: true}, Config{Client: true})
	ctx := testContext(t)
	running, end := load(t, lab, "single")
	server := lab.Servers()[0]
	for range 3 {
		must(t, acked(ctx, running, 50))
		must(t, server.Kill())
		must(t, server.Start())
	}
	must(t, acked(ctx, running, 50))
	h := end()
	must(t, lab.Ready(ctx))
	must(t, lab.Check(ctx, "single", h, 200))
	t.Logf("%d acknowledged, %d unknown, %d refused, %d reads", len(h.Acked), len(h.Unknown), len(h.Refused), h.Reads)
}
