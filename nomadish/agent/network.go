package agent

import (
	"net/netip"
	"path/filepath"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/client/network"
	"github.com/nomadish/nomadish/nomadish"
)

// networks says which networks the client offers to jobs. Hairpin mode is always on: a
// namespace reaches its own ports by the host's address whatever the file says.
func (c *ClientFile) networks(r *reading, out *client.Config) {
	out.BridgeName = nomadish.Val(c.BridgeNetworkName)
	out.Network = &network.Config{
		Subnet:       r.prefix("client.bridge_network_subnet", c.BridgeNetworkSubnet),
		Subnet6:      r.prefix("client.bridge_network_subnet_ipv6", c.BridgeNetworkSubnet6),
		CNIConfigDir: nomadish.Val(c.CNIConfigDir),
	}
	if path := nomadish.Val(c.CNIPath); path != "" {
		out.Network.CNIPath = filepath.SplitList(path)
	}
	for _, n := range c.HostNetworks {
		info := &nomadish.HostNetworkInfo{
			Name: n.Name, CIDR: nomadish.Val(n.CIDR), Interface: nomadish.Val(n.Interface), ReservedPorts: nomadish.Val(n.ReservedPorts),
		}
		if info.CIDR != "" {
			r.prefix("client.host_network."+n.Name+".cidr", n.CIDR)
		}
		if info.CIDR == "" && info.Interface == "" {
			r.fail("client.host_network %q: cidr or interface: one of them must be set", n.Name)
		}
		if out.Fingerprint.HostNetworks == nil {
			out.Fingerprint.HostNetworks = map[string]*nomadish.HostNetworkInfo{}
		}
		out.Fingerprint.HostNetworks[n.Name] = info
	}
}

// prefix reads a network in the form ADDRESS/BITS.
func (r *reading) prefix(key string, text *string) netip.Prefix {
	if nomadish.Val(text) == "" {
		return netip.Prefix{}
	}
	p, err := netip.ParsePrefix(*text)
	if err != nil {
		r.fail("%s: %q is no network such as \"172.26.64.0/20\"", key, *text)
	}
	return p
}
