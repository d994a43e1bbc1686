package network

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// probe finds out whether this kernel can make what we need, in a namespace of its own that
// is gone afterwards.
func probe() error {
	return onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("network namespaces: %w", err)
		}
		ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
		if err != nil {
			return err
		}
		defer ns.Close()
		veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "probe1"}
		veth.Name = "probe0"
		if err := netlink.LinkAdd(veth); err != nil {
			return fmt.Errorf("veth links: %w", err)
		}
		t := newTable(ns, "probe", linkMark)
		return errors.Join(t.rebuild(ruleset{}), t.close())
	})
}

// uniqueLocal is a network of unique local addresses made of the agent's data directory, so
// that two nodes hardly ever have the same.
func uniqueLocal(dataDir string) netip.Prefix {
	sum := sha256.Sum256([]byte("ula " + filepath.Clean(dataDir)))
	addr := [16]byte{0: 0xfd}
	copy(addr[1:8], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(addr), 64)
}

const (
	forward4 = "/proc/sys/net/ipv4/ip_forward"
	forward6 = "/proc/sys/net/ipv6/conf/all/forwarding"
)

// forwards6 says that the host forwards IPv6 already.
func (m *Manager) forwards6() bool {
	on := false
	err := inside(m.host, func() error {
		value, err := os.ReadFile(forward6)
		on = err == nil && strings.TrimSpace(string(value)) == "1"
		return nil
	})
	return err == nil && on
}

// forwarding makes the host forward packets, without which no namespace is reached from
// outside. IPv6 is only forwarded when the configuration names a network for it.
func (m *Manager) forwarding() error {
	return inside(m.host, func() error {
		if err := m.switchOn(forward4); err != nil {
			return err
		}
		if !m.cfg.Subnet6.IsValid() {
			return nil
		}
		if err := keepAdvertisements(); err != nil {
			return err
		}
		return m.switchOn(forward6)
	})
}

func (m *Manager) switchOn(path string) error {
	value, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(value)) != "0" {
		return nil
	}
	m.log.Info("switch on forwarding of packets, which networks of tasks need", "setting", path)
	return os.WriteFile(path, []byte("1"), 0)
}

// keepAdvertisements lets interfaces that have their routes from router advertisements keep
// on listening to these once the host forwards itself.
func keepAdvertisements() error {
	if value, err := os.ReadFile(forward6); err != nil || strings.TrimSpace(string(value)) != "0" {
		return err
	}
	interfaces, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, path := range interfaces {
		value, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just gone
		}
		if err == nil && strings.TrimSpace(string(value)) == "1" {
			err = os.WriteFile(path, []byte("2"), 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetFlows asks for the UDP flows to a lease's ports to be forgotten: the kernel would go
// on sending them where they went before the rules changed. Looking through all flows takes
// a while, so Run does it, for all leases that changed.
func (m *Manager) forgetFlows(l *lease) {
	if !l.Address.IsValid() || len(l.Request.Ports) == 0 {
		return
	}
	m.mu.Lock()
	for _, p := range l.Request.Ports {
		m.flows[uint16(p.Host)] = true
	}
	m.mu.Unlock()
	poke(m.sweep)
}

// sweepFlows makes the kernel forget what forgetFlows asked for.
func (m *Manager) sweepFlows() {
	m.mu.Lock()
	ports := m.flows
	m.flows = portFlows{}
	m.mu.Unlock()
	if len(ports) == 0 {
		return
	}
	for _, f := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		_, err := m.links.host.ConntrackDeleteFilters(netlink.ConntrackTable, f, ports)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.log.Warn("forget flows to ports of networks that changed", "err", err)
		}
	}
}

// portFlows are the UDP flows to some of the host's ports.
type portFlows map[uint16]bool

// MatchConntrackFlow says whether a flow is one of these.
func (p portFlows) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	return flow.Forward.Protocol == unix.IPPROTO_UDP && p[flow.Forward.DstPort]
}
