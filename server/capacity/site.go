package capacity

import (
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

// DefaultHostNetwork is the host network of ports that name none.
const DefaultHostNetwork = "default"

// Site is what placing needs to know of a node, worked out once per version of its row.
// It is immutable.
type Site struct {
	Node     *nomadish.Node
	Total    Amount // what allocations may have in all
	Hash     uint64 // of the node's id, to order equals
	MHz      int64  // of one core
	MaxAlloc int    // 0: no limit

	cores    coreSet
	minPort  int
	maxPort  int
	networks []hostNetwork
	spaces   []portSet // reserved ports, by port space
}

// hostNetwork is a named network of a node. Networks that share an address share a port space.
type hostNetwork struct {
	alias string
	ips   []string
	space int
}

func newSite(n *nomadish.Node) *Site {
	s := &Site{Node: n, Hash: hashID(n.ID), MaxAlloc: n.NodeMaxAllocs, minPort: DefaultMinDynamicPort, maxPort: DefaultMaxDynamicPort}
	r := n.NodeResources
	if r == nil {
		r = &nomadish.NodeResources{}
	}
	s.Total = Amount{CPU: r.Cpu.CpuShares, Memory: r.Memory.MemoryMB, Disk: r.Disk.DiskMB}
	if r.Cpu.TotalCpuCores > 0 {
		s.MHz = r.Cpu.CpuShares / int64(r.Cpu.TotalCpuCores)
	}
	for _, id := range r.Cpu.ReservableCpuCores {
		s.cores.put(id, true)
	}
	if r.MinDynamicPort > 0 && r.MinDynamicPort <= r.MaxDynamicPort && r.MaxDynamicPort <= maxPort {
		s.minPort, s.maxPort = r.MinDynamicPort, r.MaxDynamicPort
	}
	s.addNetworks(r)
	s.reserve(n.ReservedResources)
	return s
}

// reserve takes out what the node keeps from allocations.
func (s *Site) reserve(r *nomadish.NodeReservedResources) {
	if r == nil {
		return
	}
	shares := int64(r.Cpu.CpuShares)
	for _, id := range r.Cpu.ReservedCpuCores {
		s.cores.put(id, false)
	}
	if shares == 0 {
		shares = int64(len(r.Cpu.ReservedCpuCores)) * s.MHz
	}
	s.Total.CPU -= shares
	s.Total.Memory -= int64(r.Memory.MemoryMB)
	s.Total.Disk -= int64(r.Disk.DiskMB)
	for i := range s.spaces {
		parsePorts(r.Networks.ReservedHostPorts, &s.spaces[i])
	}
}

// addNetworks collects the host networks with their addresses and reserved ports.
func (s *Site) addNetworks(r *nomadish.NodeResources) {
	for _, nn := range r.NodeNetworks {
		if nn == nil {
			continue
		}
		for _, a := range nn.Addresses {
			s.addAddress(a.Alias, a.Address, a.ReservedPorts)
		}
	}
	if len(s.networks) > 0 {
		return
	}
	for _, nw := range r.Networks {
		if nw != nil && nw.IP != "" {
			s.addAddress(DefaultHostNetwork, nw.IP, "")
		}
	}
}

func (s *Site) addAddress(alias, ip, reserved string) {
	if ip == "" {
		return
	}
	if alias == "" {
		alias = DefaultHostNetwork
	}
	at := slices.IndexFunc(s.networks, func(n hostNetwork) bool { return n.alias == alias })
	if at < 0 {
		at = len(s.networks)
		s.networks = append(s.networks, hostNetwork{alias: alias, space: s.spaceFor(ip)})
	}
	nw := &s.networks[at]
	nw.ips = append(nw.ips, ip)
	parsePorts(reserved, &s.spaces[nw.space])
}

// spaceFor returns the space of another network with the same address, or a new one.
func (s *Site) spaceFor(ip string) int {
	for _, n := range s.networks {
		if slices.Contains(n.ips, ip) {
			return n.space
		}
	}
	s.spaces = append(s.spaces, portSet{})
	return len(s.spaces) - 1
}

// space returns the port space in which a port is asked for or granted.
func (s *Site) space(p *PortDemand) (int, bool) {
	if p.HostIP != "" {
		for _, n := range s.networks {
			if slices.Contains(n.ips, p.HostIP) {
				return n.space, true
			}
		}
	}
	n := s.network(p.Network)
	if n == nil {
		return 0, false
	}
	return n.space, true
}

func (s *Site) network(alias string) *hostNetwork {
	if alias == "" {
		alias = DefaultHostNetwork
	}
	for i := range s.networks {
		if s.networks[i].alias == alias {
			return &s.networks[i]
		}
	}
	return nil
}

// HasNetwork says that the node has a host network of this name.
func (s *Site) HasNetwork(alias string) bool { return s.network(alias) != nil }

// address returns the address on which ports of a host network are granted: its first IPv4
// address, else its first.
func (n *hostNetwork) address() string {
	for _, ip := range n.ips {
		if a, err := netip.ParseAddr(ip); err == nil && a.Is4() {
			return ip
		}
	}
	return n.ips[0]
}

// device returns the name of the interface that has an address.
func (s *Site) device(ip string) string {
	if s.Node.NodeResources == nil {
		return ""
	}
	for _, nn := range s.Node.NodeResources.NodeNetworks {
		if nn == nil {
			continue
		}
		for _, a := range nn.Addresses {
			if a.Address == ip {
				return nn.Device
			}
		}
	}
	for _, nw := range s.Node.NodeResources.Networks {
		if nw != nil && nw.IP == ip {
			return nw.Device
		}
	}
	return ""
}

func (s *Site) dynamic(port int) bool { return port >= s.minPort && port <= s.maxPort }

// sameShape says that what allocations hold on one version of a node means the same on the other.
func (s *Site) sameShape(o *Site) bool {
	return slices.EqualFunc(s.networks, o.networks, func(a, b hostNetwork) bool {
		return a.alias == b.alias && a.space == b.space && slices.Equal(a.ips, b.ips)
	})
}

// hashID makes a number of an id that is spread evenly over all 64 bits.
func hashID(id string) uint64 {
	if b, err := nomadish.ParseID(id); err == nil {
		return binary.LittleEndian.Uint64(b[:8]) ^ binary.BigEndian.Uint64(b[8:])
	}
	h := fnv.New64a()
	h.Write([]byte(id)) // never fails
	return h.Sum64()
}
