//go:build linux

package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Names of links.
const (
	bridgeName  = "lab"
	machineLink = "eth0" // in the machine
)

// The lab's network. The bridge has the first address: users of the cluster call from there.
var network = netip.MustParsePrefix("10.77.0.0/24")

// address returns the lab's n-th address.
func address(n int) netip.Addr {
	a := network.Addr().As4()
	a[3] = byte(n)
	return netip.AddrFrom4(a)
}

func withPrefix(a netip.Addr) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(network.Bits(), a.BitLen())}}
}

// newBridge makes the bridge that all machines are linked to.
func newBridge(ns namespace) error {
	h, err := netlink.NewHandleAt(ns.handle)
	if err != nil {
		return err
	}
	defer h.Close()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("bridge: %w", err)
	}
	return errors.Join(h.AddrAdd(bridge, withPrefix(address(1))), h.LinkSetUp(bridge), loopbackUp(h))
}

func loopbackUp(h *netlink.Handle) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	return h.LinkSetUp(lo)
}

// plug links a machine's namespace to the bridge.
func (l *Lab) plug(m *Machine) error {
	outer, err := netlink.NewHandleAt(l.ns.handle)
	if err != nil {
		return err
	}
	defer outer.Close()
	bridge, err := outer.LinkByName(bridgeName)
	if err != nil {
		return err
	}
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: m.cfg.Name, MasterIndex: bridge.Attrs().Index},
		PeerName:  machineLink, PeerNamespace: netlink.NsFd(m.ns.handle),
	}
	if err := outer.LinkAdd(pair); err != nil {
		return fmt.Errorf("link of %s: %w", m.cfg.Name, err)
	}
	inner, err := netlink.NewHandleAt(m.ns.handle)
	if err != nil {
		return err
	}
	defer inner.Close()
	end, err := inner.LinkByName(machineLink)
	if err != nil {
		return err
	}
	return errors.Join(
		inner.AddrAdd(end, withPrefix(m.addr)), inner.LinkSetUp(end), loopbackUp(inner), outer.LinkSetUp(pair),
	)
}

// Unplug pulls the machine's cable out: nobody hears of it any more, and nobody is told.
func (m *Machine) Unplug() error { return m.setLink((*netlink.Handle).LinkSetDown) }

// Plug puts it in again.
func (m *Machine) Plug() error { return m.setLink((*netlink.Handle).LinkSetUp) }

// setLink changes the end of the machine's link that is on the bridge, so that the machine keeps
// its address.
func (m *Machine) setLink(set func(*netlink.Handle, netlink.Link) error) error {
	h, err := netlink.NewHandleAt(m.lab.ns.handle)
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(m.cfg.Name)
	if err != nil {
		return err
	}
	return set(h, link)
}

// loss is what a machine's network drops of what comes from an address.
type loss struct {
	from    netip.Addr
	percent uint32
}

// verdicts return what becomes of the packets that a loss is about.
func (l loss) verdicts() []expr.Any {
	if l.percent == 100 {
		return []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	}
	return []expr.Any{
		&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: 4, Size: 4},
		&expr.Cmp{Register: 1, Op: expr.CmpOpLt, Data: binaryutil.BigEndian.PutUint32(l.percent)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}
}

// from matches the packets that come from an address.
func from(a netip.Addr) []expr.Any {
	const sourceAddress, addressSize = 12, 4 // in the header of a packet
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: sourceAddress, Len: addressSize},
		&expr.Cmp{Register: 1, Op: expr.CmpOpEq, Data: a.AsSlice()},
	}
}

// Deafen has the machine hear nothing of others, who still hear it.
func (m *Machine) Deafen(to ...*Machine) error {
	for _, other := range to {
		m.losses = append(m.losses, loss{from: other.addr, percent: 100})
	}
	return m.filter()
}

// Lose has the machine lose so many percent of what comes from others at random.
func (m *Machine) Lose(percent int, from ...*Machine) error {
	for _, other := range from {
		m.losses = append(m.losses, loss{from: other.addr, percent: uint32(percent)})
	}
	return m.filter()
}

// toQueue puts a packet into the delay line's queue. The way of iptables is there on kernels without nftables' own.
func toQueue() expr.Any {
	number := xt.Unknown(binary.NativeEndian.AppendUint16(nil, delayQueue))
	return &expr.Target{Name: "NFQUEUE", Info: &number}
}

// Delay has all that the machine hears of others take so long, and up to jitter longer: packets overtake each
// other.
func (m *Machine) Delay(by, jitter time.Duration, others ...*Machine) error {
	if err := m.Hear(); err != nil {
		return err
	}
	line, err := newDelayLine(m.ns, by, jitter)
	if err != nil {
		return err
	}
	m.line = line
	for _, other := range others {
		m.late = append(m.late, other.addr)
	}
	return m.filter()
}

// Hear ends what Deafen, Lose and Delay began.
func (m *Machine) Hear() error {
	m.losses, m.late = nil, nil
	err := m.filter()
	if m.line != nil {
		err = errors.Join(err, m.line.close())
		m.line = nil
	}
	return err
}

// Part has the machines of each side not hear those of the other.
func (l *Lab) Part(one, other []*Machine) error {
	var errs []error
	for _, m := range one {
		errs = append(errs, m.Deafen(other...))
	}
	for _, m := range other {
		errs = append(errs, m.Deafen(one...))
	}
	return errors.Join(errs...)
}

// Heal has all machines hear each other, and plugs them in.
func (l *Lab) Heal() error {
	var errs []error
	for _, m := range l.machines {
		errs = append(errs, m.Hear(), m.Plug())
	}
	return errors.Join(errs...)
}

// filter replaces the machine's rules by those for what it loses and what it hears late.
func (m *Machine) filter() error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(m.ns.handle)))
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: "lab", Family: nftables.TableFamilyIPv4})
	conn.DelTable(table) // the old one, or that of the line above
	table = conn.AddTable(table)
	chain := conn.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	for _, l := range m.losses {
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(from(l.from), l.verdicts()...)})
	}
	for _, late := range m.late { // what was not lost
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(from(late), toQueue())})
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("filter of %s: %w", m.cfg.Name, err)
	}
	return nil
}
