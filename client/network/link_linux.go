package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// links makes and checks the veth pairs of namespaces.
type links struct {
	host   *netlink.Handle
	hostNS *os.File
	prefix string
}

// connect makes the veth pair of a lease, or what of it is missing. It returns whether
// anything was.
func (k *links) connect(l *lease, ns *os.File) (changed bool, err error) {
	in, err := netlink.NewHandleAt(nsHandle(ns), unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer in.Close()
	if err := up(in, "lo"); err != nil {
		return false, err
	}
	if !l.Address.IsValid() {
		return false, nil
	}
	name := linkName(k.prefix, l.Index)
	outer, innerLink, err := k.pair(in, name)
	if err != nil {
		return false, err
	}
	if outer == nil {
		changed = true
		if outer, innerLink, err = k.makePair(in, ns, name); err != nil {
			return true, err
		}
	}
	return changed, errors.Join(k.addressOuter(l, outer), addressInner(in, l, innerLink))
}

func nsHandle(ns *os.File) netns.NsHandle { return netns.NsHandle(ns.Fd()) }

// pair returns both ends, or nothing after it has removed what is half there.
func (k *links) pair(in *netlink.Handle, name string) (outer, innerLink netlink.Link, err error) {
	if outer, err = find(k.host, name); err != nil {
		return nil, nil, err
	}
	if innerLink, err = find(in, inner); err != nil {
		return nil, nil, err
	}
	if outer != nil && innerLink != nil && outer.Attrs().ParentIndex == innerLink.Attrs().Index {
		return outer, innerLink, nil
	}
	for h, l := range map[*netlink.Handle]netlink.Link{k.host: outer, in: innerLink} {
		if l != nil {
			if err := h.LinkDel(l); err != nil && !gone(err) {
				return nil, nil, fmt.Errorf("remove %s: %w", l.Attrs().Name, err)
			}
		}
	}
	return nil, nil, nil
}

func (k *links) makePair(in *netlink.Handle, ns *os.File, name string) (outer, innerLink netlink.Link, err error) {
	veth := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: inner, PeerNamespace: netlink.NsFd(int(ns.Fd()))}
	veth.Name = name
	if err := k.host.LinkAdd(veth); err != nil {
		return nil, nil, fmt.Errorf("link %s: %w", name, err)
	}
	if err := inside(k.hostNS, func() error { return apply(linkSettings(name)) }); err != nil {
		return nil, nil, err
	}
	if outer, err = k.host.LinkByName(name); err != nil {
		return nil, nil, err
	}
	innerLink, err = in.LinkByName(inner)
	return outer, innerLink, err
}

// addressOuter gives the host's end its address and the route to the namespace. Every link
// has the same address: one of global scope, since masquerading takes no other.
func (k *links) addressOuter(l *lease, link netlink.Link) error {
	if err := k.host.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range l.families() {
		if err := k.host.AddrReplace(link, address(a.gateway)); err != nil {
			return fmt.Errorf("address %s: %w", a.gateway, err)
		}
		route := &netlink.Route{
			LinkIndex: link.Attrs().Index, Dst: single(a.address), Src: a.gateway.AsSlice(), Scope: netlink.SCOPE_LINK,
		}
		if a.address.Is6() {
			route.Scope = netlink.SCOPE_UNIVERSE
		}
		if err := k.host.RouteReplace(route); err != nil {
			return fmt.Errorf("route to %s: %w", a.address, err)
		}
	}
	return nil
}

// addressInner gives the namespace's end its address, and a way out by the host.
func addressInner(in *netlink.Handle, l *lease, link netlink.Link) error {
	if err := in.LinkSetUp(link); err != nil {
		return err
	}
	for _, a := range l.families() {
		if err := in.AddrReplace(link, address(a.address)); err != nil {
			return fmt.Errorf("address %s: %w", a.address, err)
		}
		toHost := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: single(a.gateway), Scope: netlink.SCOPE_LINK}
		if a.address.Is6() {
			toHost.Scope = netlink.SCOPE_UNIVERSE
		}
		out := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: a.gateway.AsSlice()}
		for _, route := range []*netlink.Route{toHost, out} {
			if err := in.RouteReplace(route); err != nil {
				return fmt.Errorf("route by %s: %w", a.gateway, err)
			}
		}
	}
	return nil
}

// disconnect removes the veth pair of a lease.
func (k *links) disconnect(l *lease) error {
	if !l.Address.IsValid() {
		return nil
	}
	link, err := find(k.host, linkName(k.prefix, l.Index))
	if err != nil || link == nil {
		return err
	}
	if err := k.host.LinkDel(link); err != nil && !gone(err) {
		return fmt.Errorf("remove %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// stale returns our links on the host that no lease has.
func (k *links) stale(keep map[string]bool) ([]netlink.Link, error) {
	all, err := linkList(k.host)
	if err != nil {
		return nil, err
	}
	var out []netlink.Link
	for _, link := range all {
		name := link.Attrs().Name
		if IsLink(name) && name[:len(k.prefix)] == k.prefix && !keep[name] {
			out = append(out, link)
		}
	}
	return out, nil
}

// routed adds the addresses that the host has a route to by a link that is not ours: those
// of other agents on this machine, whose pool may be the same.
func (k *links) routed(into map[netip.Addr]bool) error {
	ours := map[int]bool{}
	all, err := linkList(k.host)
	if err != nil {
		return err
	}
	for _, link := range all {
		ours[link.Attrs().Index] = strings.HasPrefix(link.Attrs().Name, k.prefix)
	}
	routes, err := routeList(k.host)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Dst == nil || ours[r.LinkIndex] {
			continue
		}
		ones, bits := r.Dst.Mask.Size()
		if addr, ok := netip.AddrFromSlice(r.Dst.IP); ok && ones == bits {
			into[addr.Unmap()] = true
		}
	}
	return nil
}

// address is one without a network around it. Duplicates can't be, so that nobody waits
// until the kernel has looked for some.
func address(a netip.Addr) *netlink.Addr {
	out := &netlink.Addr{IPNet: single(a), Scope: int(netlink.SCOPE_UNIVERSE)}
	if a.Is6() {
		out.Flags = unix.IFA_F_NODAD
	}
	return out
}

func single(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func up(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	return h.LinkSetUp(link)
}

// find returns a link, or nil when there is none of that name.
func find(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, nil
	}
	return link, err
}

// gone says that what was to be removed was not there any more.
func gone(err error) bool { return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT) }
