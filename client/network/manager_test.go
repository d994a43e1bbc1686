//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/nomadish/nomadish/nomadish"
)

// A network that is asked for again is the same; ports may change meanwhile. After its
// release nothing of it is there, and releasing again is no error.
func TestSetupIsIdempotent(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	before := w.census(m)
	first := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	ns := w.open(first)
	w.serve(ns, "tcp", ":80", "a")
	again := w.bridge(m, "a", port("p", 8002, 80, hostIP))
	again.Network.Ports = first.Network.Ports
	if d := cmp.Diff(first, again); d != "" {
		t.Errorf("the second time it differs: %s", d)
	}
	w.answers("the new port", w.outside, "tcp", addr(hostIP, 8002), "a", outsideIP)
	if name, _, err := ask(w.outside, "tcp", addr(hostIP, 8001)); err == nil {
		t.Errorf("the old port is answered by %q", name)
	}
	for range 2 {
		check(t, m.Release(t.Context(), "a"))
	}
	after := w.census(m)
	before["files"], after["files"] = 0, 0 // the test has opened some
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("what is left: %s", d)
	}
}

// census counts what networks leave on the host and in the process.
func (w *world) census(m *Manager) map[string]int {
	w.t.Helper()
	m.heal(w.t.Context()) // removes an empty table
	h, err := netlink.NewHandleAt(netns.NsHandle(w.host.Fd()))
	check(w.t, err)
	defer h.Close()
	links, err := h.LinkList()
	check(w.t, err)
	routes, err := h.RouteList(nil, netlink.FAMILY_ALL)
	check(w.t, err)
	addrs, err := h.AddrList(nil, netlink.FAMILY_ALL)
	check(w.t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(w.t, err)
	c, err := nftables.New(nftables.WithNetNSFd(int(w.host.Fd())))
	check(w.t, err)
	tables, err := c.ListTables()
	check(w.t, err)
	return map[string]int{
		"links": len(links), "routes": len(routes), "addresses": len(addrs), "tables": len(tables),
		"mounts": strings.Count(string(mounts), w.cfg.RunDir), "namespaces": entries(w.cfg.RunDir),
		"leases": entries(filepath.Join(w.cfg.DataDir, "client", "network")), "files": entries("/proc/self/fd"),
	}
}

func entries(dir string) int {
	list, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return len(list)
}

// After any number of networks there are as many links, routes, rules, mounts, namespaces
// and open files as before. make soak does it a thousand times.
func TestCyclesLeaveNothing(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	w.bridge(m, "stays", port("p", 7999, 80, hostIP))
	check(t, m.Release(t.Context(), "stays"))
	before := w.census(m)
	cycles := 200
	if os.Getenv("NOMADISH_SOAK") != "" {
		cycles = 1000
	}
	for i := range cycles {
		id := fmt.Sprintf("a%d", i)
		w.bridge(m, id, port("p", 8000+i%100, 80, hostIP), port("q", 9000+i%100, 80, "0.0.0.0"))
		check(t, m.Release(t.Context(), id))
	}
	if d := cmp.Diff(before, w.census(m)); d != "" {
		t.Errorf("after %d networks (-before +after): %s", cycles, d)
	}
}

// Fifty networks that are made at once all work, and have addresses of their own.
func TestConcurrentSetups(t *testing.T) {
	const count = 50
	w := newWorld(t)
	m, _ := w.manager()
	stats := make([]*Status, count)
	errs := make([]error, count)
	var wg sync.WaitGroup
	for i := range count {
		wg.Go(func() {
			p := port("p", 8000+i, 80, hostIP)
			stats[i], errs[i] = m.Setup(t.Context(), Request{ID: fmt.Sprintf("a%d", i), Mode: ModeBridge, Ports: append([]portOf(nil), p)})
		})
	}
	wg.Wait()
	check(t, errors.Join(errs...))
	seen := map[string]bool{}
	for i, st := range stats {
		if seen[st.Address] || seen[st.Address6] {
			t.Errorf("%s, %s: had by two networks", st.Address, st.Address6)
		}
		seen[st.Address], seen[st.Address6] = true, true
		name := fmt.Sprint("n", i)
		w.serve(w.open(st), "tcp", ":80", name)
		w.answers("one of many", w.outside, "tcp", addr(hostIP, 8000+i), name, outsideIP)
	}
}

// With mode none there is the loopback interface, and nothing leads in or out.
func TestNone(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	st, err := m.Setup(t.Context(), Request{ID: "n", Mode: ModeNone, Ports: []portOf{port("p", 8001, 80, hostIP)}})
	check(t, err)
	ns := w.open(st)
	w.serve(ns, "tcp", "127.0.0.1:80", "self")
	w.answers("itself", ns, "tcp", "127.0.0.1:80", "self", "127.0.0.1")
	if _, _, err := ask(ns, "tcp", addr(hostIP, 22)); err == nil || !strings.Contains(err.Error(), "unreachable") {
		t.Errorf("outwards: got %v, want that the network is unreachable", err)
	}
	links, err := handle(t, ns).LinkList()
	check(t, err)
	for _, l := range links {
		if l.Attrs().Flags&1 != 0 && l.Attrs().Name != "lo" {
			t.Errorf("link %s is up", l.Attrs().Name)
		}
	}
	if st.Interface != "" || st.Address != "" || st.Network.Gateway != "" {
		t.Errorf("got interface %q, address %q, gateway %q", st.Interface, st.Address, st.Network.Gateway)
	}
}

// From outside nothing but mapped ports is reached, and nobody in a namespace can reach what
// listens on the host's loopback addresses, or send in another's name.
func TestIsolation(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	a := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	ns := w.open(a)
	w.serve(ns, "tcp", ":80", "a")
	w.serve(ns, "tcp", ":81", "a")
	w.serve(w.host, "udp", "127.0.0.1:9000", "secret")
	route := func(ns *os.File, to, by string) {
		h := handle(t, ns)
		dst, err := netlink.ParseIPNet(to)
		check(t, err)
		gw, err := netlink.ParseAddr(by + "/32")
		check(t, err)
		check(t, h.RouteReplace(&netlink.Route{Dst: dst, Gw: gw.IP}))
	}
	route(w.outside, "172.26.64.0/20", hostIP)
	for _, port := range []int{80, 81} {
		if name, _, err := ask(w.outside, "tcp", addr(a.Address, port)); err == nil {
			t.Errorf("port %d of a namespace, which is not mapped, is answered by %q", port, name)
		}
	}
	w.answers("mapped", w.outside, "tcp", addr(hostIP, 8001), "a", outsideIP)

	h := handle(t, ns)
	lo, err := h.LinkByName("lo")
	check(t, err)
	check(t, h.AddrDel(lo, &netlink.Addr{IPNet: loopbackNet()}))
	route(ns, "127.0.0.0/8", a.Network.Gateway)
	check(t, inside(ns, func() error { return apply([]setting{{"ipv4/conf/all/route_localnet", "1"}}) }))
	if name, _, err := ask(ns, "udp", "127.0.0.1:9000"); err == nil {
		t.Errorf("the host's loopback address is answered by %q", name)
	}
}

// The files tell the namespace's own name and addresses; what the dns block leaves out is
// the host's, without the servers that only the host itself reaches.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	stub, upstream := filepath.Join(dir, "stub"), filepath.Join(dir, "upstream")
	check(t, os.WriteFile(stub, []byte("# systemd\nnameserver 127.0.0.53\nsearch corp.example\noptions edns0 trust-ad\n"), 0o600))
	check(t, os.WriteFile(upstream, []byte("nameserver 192.0.2.53\nnameserver ::1\nsearch other.example\n"), 0o600))
	for _, tt := range []struct {
		name  string
		want  *nomadish.DNSConfig
		given nomadish.DNSConfig
		files []string
		text  string
	}{
		{
			name: "the servers behind a local resolver", files: []string{stub, upstream},
			text: "nameserver 192.0.2.53\nsearch corp.example\noptions edns0 trust-ad\n",
		},
		{
			name: "the job's servers", want: &nomadish.DNSConfig{Servers: []string{"1.1.1.1", "8.8.8.8"}}, files: []string{stub, upstream},
			text: "nameserver 1.1.1.1\nnameserver 8.8.8.8\nsearch corp.example\noptions edns0 trust-ad\n",
		},
		{
			name: "all of the job's", want: &nomadish.DNSConfig{Servers: []string{"1.1.1.1"}, Searches: []string{"x"}, Options: []string{"ndots:2"}},
			files: []string{stub, upstream}, text: "nameserver 1.1.1.1\nsearch x\noptions ndots:2\n",
		},
		{
			name: "a plugin's before the host's", given: nomadish.DNSConfig{Servers: []string{"10.0.0.53"}}, files: []string{upstream},
			text: "nameserver 10.0.0.53\nsearch other.example\n",
		},
		{name: "no file", files: []string{filepath.Join(dir, "none")}, text: ""},
	} {
		dns, err := dnsOf(tt.want, tt.given, tt.files)
		check(t, err)
		if d := cmp.Diff(tt.text, resolvText(dns)); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}

	w := newWorld(t)
	m, _ := w.manager()
	st, err := m.Setup(t.Context(), Request{
		ID: "11111111-2222-4333-8444-555555555555", Mode: ModeBridge, Hostname: "shop", ExtraHosts: []string{"10.1.1.1\tdb"},
		DNS: &nomadish.DNSConfig{Servers: []string{"1.1.1.1"}, Searches: []string{"x"}, Options: []string{"ndots:2"}},
	})
	check(t, err)
	hosts, err := os.ReadFile(st.Network.Hosts)
	check(t, err)
	want := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" + st.Address + "\tshop\n" + st.Address6 + "\tshop\n10.1.1.1\tdb\n"
	if d := cmp.Diff(want, string(hosts)); d != "" {
		t.Errorf("hosts: %s", d)
	}
	resolv, err := os.ReadFile(st.Network.Resolv)
	check(t, err)
	if d := cmp.Diff("nameserver 1.1.1.1\nsearch x\noptions ndots:2\n", string(resolv)); d != "" {
		t.Errorf("resolv.conf: %s", d)
	}
}

// What asks for more than there is, or for what makes no sense, is refused with a text that
// names it.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	w.cfg.Subnet = netipPrefix("10.9.8.0/29")
	m, _ := w.manager()
	for i := range 5 {
		w.bridge(m, fmt.Sprint("a", i))
	}
	for _, tt := range []struct {
		req  Request
		want string
	}{
		{Request{ID: "b", Mode: ModeBridge}, "all 5 addresses of 10.9.8.0/29 are taken"},
		{Request{ID: "b", Mode: "overlay"}, `mode "overlay"`},
		{Request{ID: "", Mode: ModeBridge}, "want 1 to 1024 characters"},
		{Request{ID: "b", Mode: ModeBridge, Ports: []portOf{port("http", 0, 80, "")}}, `port "http"`},
		{Request{ID: "b", Mode: ModeBridge, Ports: []portOf{port("http", 80, 80, "host")}}, `port "http"`},
		{Request{ID: "b", Mode: "cni/mine"}, `cni network "mine"`},
	} {
		if _, err := m.Setup(t.Context(), tt.req); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v, want %s", tt.req, err, tt.want)
		}
	}
	check(t, m.Release(t.Context(), "a3"))
	w.bridge(m, "b")

	for _, cfg := range []Config{
		{},
		{DataDir: "x", Subnet: netipPrefix("127.0.0.0/8")},
		{DataDir: "x", Subnet: netipPrefix("10.0.0.0/31")},
		{DataDir: "x", Subnet6: netipPrefix("fe80::/64")},
		{DataDir: "x", Subnet6: netipPrefix("10.0.0.0/8")},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// What nobody keeps is freed, and so is what an agent left that was killed before it could
// write down more.
func TestReap(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	before := w.census(m)
	keep := w.bridge(m, "keep", port("p", 8001, 80, hostIP))
	w.bridge(m, "drop", port("p", 8002, 80, hostIP))
	_, err := makeNamespace(filepath.Join(w.cfg.RunDir, "nmd-stray"))
	check(t, err)
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "x0"}
	veth.Name = linkName(m.prefix, 4711)
	check(t, handle(t, w.host).LinkAdd(veth))
	check(t, m.Reap(t.Context(), func(id string) bool { return id == "keep" }))
	w.serve(w.open(keep), "tcp", ":80", "keep")
	w.answers("kept", w.outside, "tcp", addr(hostIP, 8001), "keep", outsideIP)
	check(t, m.Reap(context.Background(), func(string) bool { return false }))
	after := w.census(m)
	before["files"], after["files"] = 0, 0 // the test's own servers
	before["links"]++                      // the other end of the stray link, which had no namespace
	if after["links"] == before["links"]-1 {
		before["links"]--
	}
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("what is left: %s", d)
	}
}
