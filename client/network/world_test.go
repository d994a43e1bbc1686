//go:build linux

package network

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// Addresses of the machines that tests are made of.
const (
	hostIP    = "198.51.100.1"
	outsideIP = "198.51.100.2"
	hostIP6   = "2001:db8:1::1"
	outside6  = "2001:db8:1::2"
)

// world is a host in a network namespace of its own, and a machine next to it. No packet of
// a test leaves these.
type world struct {
	t       testing.TB
	host    *os.File
	outside *os.File
	dir     string
	cfg     Config
}

func newWorld(t testing.TB) *world {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	w := &world{t: t, dir: t.TempDir()}
	w.host, w.outside = w.namespace("host"), w.namespace("outside")
	in, out := handle(t, w.host), handle(t, w.outside)
	for _, ns := range []*os.File{w.host, w.outside} {
		check(t, inside(ns, func() error { return apply([]setting{{"ipv6/conf/default/accept_dad", "0"}}) }))
	}
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsFd(int(w.outside.Fd()))}
	veth.Name = "eth0"
	check(t, in.LinkAdd(veth))
	for h, addrs := range map[*netlink.Handle][]string{in: {hostIP + "/24", hostIP6 + "/64"}, out: {outsideIP + "/24", outside6 + "/64"}} {
		link, err := h.LinkByName("eth0")
		check(t, err)
		for _, a := range addrs {
			addr, err := netlink.ParseAddr(a)
			check(t, err)
			if addr.IP.To4() == nil {
				addr.Flags = unix.IFA_F_NODAD
			}
			check(t, h.AddrAdd(link, addr))
		}
		check(t, h.LinkSetUp(link))
		check(t, up(h, "lo"))
	}
	for _, h := range []*netlink.Handle{in, out} {
		eventually(t, "the links speak IPv6", func() error { return speaksIPv6(h) })
	}
	w.cfg = Config{
		DataDir: filepath.Join(w.dir, "data"), RunDir: filepath.Join(w.dir, "run"), Host: w.host.Name(),
		Subnet6: netip.MustParsePrefix("fd00:aaaa::/64"), Interval: time.Hour,
	}
	return w
}

// speaksIPv6 says whether eth0 has its link-local address, which a new link takes a while for.
func speaksIPv6(h *netlink.Handle) error {
	link, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	addrs, err := h.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 {
			return nil
		}
	}
	return errors.New("no link-local address")
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func handle(t testing.TB, ns *os.File) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(netns.NsHandle(ns.Fd()))
	check(t, err)
	t.Cleanup(h.Close)
	return h
}

// namespace makes one that goes with the test.
func (w *world) namespace(name string) *os.File {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	_, err := makeNamespace(path)
	check(w.t, err)
	f, err := os.Open(path)
	check(w.t, err)
	w.t.Cleanup(func() {
		if err := errors.Join(f.Close(), removeNamespace(path)); err != nil {
			w.t.Error(err)
		}
	})
	return f
}

// manager is an agent's, which is killed when the test ends or before: what it made stays.
func (w *world) manager() (m *Manager, kill func()) {
	w.t.Helper()
	m, err := New(w.cfg)
	check(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
	w.t.Cleanup(func() {
		kill()
		for id := range m.leases {
			if err := removeNamespace(m.path(id)); err != nil {
				w.t.Error(err)
			}
		}
	})
	return m, kill
}

// bridge sets up a network with ports and returns its status.
func (w *world) bridge(m *Manager, id string, ports ...drivers.Port) *Status {
	w.t.Helper()
	st, err := m.Setup(w.t.Context(), Request{ID: id, Mode: ModeBridge, Ports: ports})
	check(w.t, err)
	return st
}

// open opens a network's namespace.
func (w *world) open(st *Status) *os.File {
	w.t.Helper()
	f, err := os.Open(st.Network.Namespace)
	check(w.t, err)
	w.t.Cleanup(func() { _ = f.Close() })
	return f
}

// serve answers in a namespace with a name and the caller's address.
func (w *world) serve(ns *os.File, network, addr, name string) {
	w.t.Helper()
	if network == "udp" {
		var c net.PacketConn
		check(w.t, inside(ns, func() (err error) { c, err = net.ListenPacket("udp", addr); return err }))
		w.t.Cleanup(func() { _ = c.Close() })
		go func() {
			buf := make([]byte, 64)
			for {
				_, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteTo([]byte(name+" "+from.String()+"\n"), from)
			}
		}()
		return
	}
	var l net.Listener
	check(w.t, inside(ns, func() (err error) { l, err = net.Listen("tcp", addr); return err }))
	w.t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, name+" "+c.RemoteAddr().String()+"\n")
			_ = c.Close()
		}
	}()
}

// ask calls an address from a namespace. It returns who answered, and as whom it saw us.
func ask(ns *os.File, network, addr string) (name string, from netip.Addr, err error) {
	var c net.Conn
	err = inside(ns, func() (err error) {
		c, err = net.DialTimeout(network, addr, time.Second)
		return err
	})
	if err != nil {
		return "", netip.Addr{}, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return "", netip.Addr{}, err
	}
	if network == "udp" {
		if _, err := io.WriteString(c, "?"); err != nil {
			return "", netip.Addr{}, err
		}
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "", netip.Addr{}, err
	}
	name, caller, _ := strings.Cut(strings.TrimSpace(line), " ")
	ap, err := netip.ParseAddrPort(caller)
	return name, ap.Addr(), err
}

// answers says who must answer a call, and whom it must see.
func (w *world) answers(what string, ns *os.File, network, addr, name, from string) {
	w.t.Helper()
	got, caller, err := ask(ns, network, addr)
	for try := 0; err != nil && try < 4; try++ { // a new link may take a second until it speaks IPv6
		got, caller, err = ask(ns, network, addr)
	}
	if err != nil || got != name || from != "" && caller.String() != from {
		w.t.Errorf("%s: %s %s: answered by %q, which saw %s, error %v; want %q, seeing %s", what, network, addr, got, caller, err, name, from)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func port(label string, host, to int, ip string) drivers.Port {
	return drivers.Port{Label: label, Host: host, To: to, HostIP: ip}
}

func addr(ip string, port int) string { return net.JoinHostPort(ip, fmt.Sprint(port)) }

type portOf = drivers.Port

func netipPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func loopbackNet() *net.IPNet {
	return &net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: net.CIDRMask(8, 32)}
}
