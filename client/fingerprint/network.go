package fingerprint

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

// network finds the interfaces. The default one gives the node its address and the
// addresses of the host network "default".
func network(_ context.Context, cfg *Config, n *nomadish.Node) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	if cfg.Skip != nil {
		all = slices.DeleteFunc(all, func(ifc net.Interface) bool { return cfg.Skip(ifc.Name) })
	}
	chosen := choose(cfg, all)
	if chosen == nil {
		return fmt.Errorf("no interface has an address (chosen: %q)", cfg.NetworkInterface)
	}
	n.NodeResources.Networks, n.NodeResources.NodeNetworks = nil, nil
	for i := range all {
		ifc := &all[i]
		addrs := addresses(ifc)
		if len(addrs) == 0 || ifc.Flags&net.FlagUp == 0 {
			continue
		}
		aliases := aliasesOf(cfg, ifc, chosen)
		node := &nomadish.NodeNetwork{
			Mode: "host", Device: ifc.Name, MacAddress: ifc.HardwareAddr.String(), Speed: speed(cfg, ifc),
			Addresses: nodeAddresses(cfg, addrs, aliases),
		}
		if len(node.Addresses) > 0 {
			n.NodeResources.NodeNetworks = append(n.NodeResources.NodeNetworks, node)
		}
		if ifc.Index == chosen.Index {
			describe(cfg, n, ifc, addrs)
		}
	}
	if len(cfg.HostNetworks) > 0 {
		n.HostNetworks = cfg.HostNetworks
	}
	return nil
}

// describe makes an interface the node's.
func describe(cfg *Config, n *nomadish.Node, ifc *net.Interface, addrs []netip.Addr) {
	n.Attributes["unique.network.ip-address"] = addrs[0].String()
	for _, addr := range addrs {
		bits := "/32"
		if addr.Is6() {
			bits = "/128"
		}
		mbits := speed(cfg, ifc)
		n.NodeResources.Networks = append(n.NodeResources.Networks, &nomadish.NetworkResource{
			Mode: "host", Device: ifc.Name, CIDR: addr.String() + bits, IP: addr.String(), MBits: &mbits,
		})
	}
}

// choose returns the interface that the configuration names, or the one of the default
// route, or the first that has an address.
func choose(cfg *Config, all []net.Interface) *net.Interface {
	name := cfg.NetworkInterface
	if name == "" && !cfg.Loopback {
		name = defaultRoute(cfg.Root)
	}
	var first, loopback *net.Interface
	for i := range all {
		ifc := &all[i]
		if ifc.Flags&net.FlagUp == 0 || len(addresses(ifc)) == 0 {
			continue
		}
		switch isLoopback := ifc.Flags&net.FlagLoopback != 0; {
		case ifc.Name == name:
			return ifc
		case isLoopback && loopback == nil:
			loopback = ifc
		case !isLoopback && first == nil:
			first = ifc
		}
	}
	if cfg.NetworkInterface != "" {
		return nil
	}
	if cfg.Loopback || first == nil {
		return loopback
	}
	return first
}

// defaultRoute returns the interface of the default route, or nothing.
func defaultRoute(root string) string {
	f, err := os.Open(filepath.Join(root, "proc/net/route"))
	if err != nil {
		return ""
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 7 && fields[1] == "00000000" && fields[7] == "00000000" {
			return fields[0]
		}
	}
	return ""
}

// addresses returns an interface's addresses, IPv4 first, without link-local ones.
func addresses(ifc *net.Interface) []netip.Addr {
	all, err := ifc.Addrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, a := range all {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, ok := netip.AddrFromSlice(ipnet.IP)
		if ok && !addr.IsLinkLocalUnicast() {
			out = append(out, addr.Unmap())
		}
	}
	slices.SortStableFunc(out, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return out
}

// aliasesOf returns the names of the host networks that an interface's addresses have.
func aliasesOf(cfg *Config, ifc, chosen *net.Interface) func(netip.Addr) []string {
	return func(addr netip.Addr) []string {
		var out []string
		if ifc.Index == chosen.Index {
			out = append(out, "default")
		}
		for name, hn := range cfg.HostNetworks {
			prefix, err := netip.ParsePrefix(hn.CIDR)
			inside := hn.CIDR == "" || err == nil && prefix.Contains(addr)
			if inside && (hn.Interface == "" || hn.Interface == ifc.Name) && (hn.CIDR != "" || hn.Interface != "") {
				out = append(out, name)
			}
		}
		slices.Sort(out)
		return out
	}
}

func nodeAddresses(cfg *Config, addrs []netip.Addr, aliases func(netip.Addr) []string) []nomadish.NodeNetworkAddress {
	var out []nomadish.NodeNetworkAddress
	for _, addr := range addrs {
		family := "ipv4"
		if addr.Is6() {
			family = "ipv6"
		}
		for _, alias := range aliases(addr) {
			a := nomadish.NodeNetworkAddress{Family: family, Alias: alias, Address: addr.String()}
			if hn := cfg.HostNetworks[alias]; hn != nil {
				a.ReservedPorts = hn.ReservedPorts
			}
			out = append(out, a)
		}
	}
	return out
}

func speed(cfg *Config, ifc *net.Interface) int {
	mbits, err := readNumber(filepath.Join(cfg.Root, "sys/class/net", ifc.Name, "speed"))
	if err != nil || mbits <= 0 || mbits > 1<<20 {
		return cfg.NetworkSpeed
	}
	return int(mbits)
}
