//go:build linux

package network

import (
	"errors"
	"syscall"
	"testing"
)

// A mapped port answers on the address that it was granted on and on no other, from the
// machine next to the host, the host, its loopback addresses, another namespace and its own;
// in both protocols and families. Whoever calls from outside is seen as who it is.
func TestPorts(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	a := w.bridge(m, "a",
		port("on-host", 8001, 80, hostIP), port("everywhere", 8002, 80, "0.0.0.0"), port("loopback", 8003, 80, "127.0.0.1"),
		port("same", 8004, -1, ""), port("six", 8006, 80, hostIP6))
	b := w.bridge(m, "b", port("b", 9001, 80, hostIP))
	nsA, nsB := w.open(a), w.open(b)
	for _, network := range []string{"tcp", "udp"} {
		w.serve(nsA, network, ":80", "a")
		w.serve(nsA, network, ":8004", "a4")
		w.serve(nsB, network, ":80", "b")
		w.serve(w.outside, network, ":7000", "outside")
	}
	gateway := a.Network.Gateway
	for _, network := range []string{"tcp", "udp"} {
		w.answers("from outside", w.outside, network, addr(hostIP, 8001), "a", outsideIP)
		w.answers("from outside, any address", w.outside, network, addr(hostIP, 8002), "a", outsideIP)
		w.answers("from outside, the same port", w.outside, network, addr(hostIP, 8004), "a4", outsideIP)
		w.answers("from outside, IPv6", w.outside, network, addr(hostIP6, 8006), "a", outside6)
		w.answers("from outside, IPv6 and any address", w.outside, network, addr(hostIP6, 8002), "a", outside6)
		w.answers("from the host", w.host, network, addr(hostIP, 8001), "a", hostIP)
		w.answers("from the host, IPv6", w.host, network, addr(hostIP6, 8006), "a", "")
		w.answers("from localhost", w.host, network, addr("127.0.0.1", 8003), "a", gateway)
		w.answers("from localhost, any address", w.host, network, addr("127.0.0.1", 8002), "a", gateway)
		w.answers("straight from the host", w.host, network, addr(a.Address, 80), "a", gateway)
		w.answers("to itself by the host", nsA, network, addr(hostIP, 8001), "a", gateway)
		w.answers("to itself by the host, IPv6", nsA, network, addr(hostIP6, 8006), "a", "")
		w.answers("to another by the host", nsB, network, addr(hostIP, 8001), "a", b.Address)
		w.answers("to another", nsB, network, addr(a.Address, 80), "a", b.Address)
		w.answers("to another, IPv6", nsB, network, addr(a.Address6, 80), "a", b.Address6)
		w.answers("the other", w.outside, network, addr(hostIP, 9001), "b", outsideIP)
		w.answers("outwards", nsA, network, addr(outsideIP, 7000), "outside", hostIP)
		w.answers("outwards, IPv6", nsA, network, addr(outside6, 7000), "outside", hostIP6)
		for what, to := range map[string]string{
			"on IPv6's loopback address": addr("::1", 8002),
			"on another address":         addr("127.0.0.1", 8001), "on no loopback address": addr(hostIP, 8003), "nobody's port": addr(hostIP, 8009),
		} {
			if name, _, err := ask(w.host, network, to); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %s %s was answered by %q, %v; want that it is refused", what, network, to, name, err)
			}
		}
	}
}

// Two agents on one machine with the same pool have addresses, links and rules of their own.
func TestTwoAgents(t *testing.T) {
	w := newWorld(t)
	first, _ := w.manager()
	a := w.bridge(first, "a", port("p", 8001, 80, hostIP))
	w.cfg.DataDir, w.cfg.RunDir = w.cfg.DataDir+"2", w.cfg.RunDir+"2"
	second, _ := w.manager()
	second.pool.next = first.leases["a"].Index // the worst that can be
	b := w.bridge(second, "a", port("p", 8002, 80, hostIP))
	if a.Address == b.Address {
		t.Fatalf("both have %s", a.Address)
	}
	w.serve(w.open(a), "tcp", ":80", "first")
	w.serve(w.open(b), "tcp", ":80", "second")
	check := func() {
		t.Helper()
		w.answers("the first agent's", w.outside, "tcp", addr(hostIP, 8001), "first", outsideIP)
		w.answers("the second agent's", w.outside, "tcp", addr(hostIP, 8002), "second", outsideIP)
		w.answers("from one to the other", w.open(a), "tcp", addr(hostIP, 8002), "second", "")
	}
	check()
	first.heal(t.Context())
	second.heal(t.Context())
	check()
}
