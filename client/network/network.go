// Package network gives allocations, and tasks of their own, network namespaces: routed
// veth pairs with addresses of the node's pool, ports mapped from the host, and the files
// that tell a task its name and its name servers.
//
//	m, err := network.New(network.Config{DataDir: dir})
//	go m.Run(ctx) // keeps the host's rules right
//	status, err := m.Setup(ctx, network.Request{ID: allocID, Mode: network.ModeBridge, Ports: ports})
//	err = m.Release(ctx, allocID)
//
// There is no bridge device and no plugin: each namespace hangs on a veth pair of its own,
// with one route on the host. All of the host's rules are in one nftables table, which is a
// function of the leases on disk. So whatever is lost (rules that somebody flushed, a
// link that somebody deleted, an agent that was killed) is made again from these, by
// comparing what is there with what should be; nothing that is not ours is touched.
//
// What a namespace may reach is what Nomad's bridge lets it reach: the other namespaces of
// the node, the node, and through it the network, link-local addresses of a cloud's
// metadata service included. From outside it is reached on its mapped ports alone.
package network

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// Modes of networks. A mode that begins with ModeCNI names a network of the node's CNI
// configuration.
const (
	ModeBridge = "bridge"
	ModeNone   = "none"
	ModeHost   = "host"
	ModeCNI    = "cni/"
)

// ErrUnsupported says that this node can't make the network that was asked for.
var ErrUnsupported = errors.New("not supported on this node")

// DefaultSubnet is the pool of addresses of a node that sets none.
var DefaultSubnet = netip.MustParsePrefix("172.26.64.0/20")

// The sizes that a pool may have.
const (
	minPoolBits = 2
	maxPoolBits = 20
)

// Config is what a Manager works with.
type Config struct {
	DataDir string // the agent's; leases are below client/network in it; required
	RunDir  string // namespaces are mounted here; default /run/nomadish/<made of DataDir>-netns

	Subnet  netip.Prefix // pool of addresses; default 172.26.64.0/20
	Subnet6 netip.Prefix // pool of IPv6 addresses; default: one made of DataDir where the host forwards IPv6

	CNIPath      []string // directories of CNI plugins; default /opt/cni/bin
	CNIConfigDir string   // networks of mode cni/NAME; default /opt/cni/config

	// Host is the path of the network namespace in which the host's side lives; default this
	// process's own. It lets a test have a host of its own.
	Host string

	Changed  func()        // called when Obstacles has changed; default nothing
	Interval time.Duration // time between looks whether all is right; default 10s
	Logger   *slog.Logger  // default discard
}

func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		return c, errors.New("data_dir: must be set")
	}
	if c.RunDir == "" {
		c.RunDir = filepath.Join("/run/nomadish", instance(c.DataDir)+"-netns")
	}
	if !c.Subnet.IsValid() {
		c.Subnet = DefaultSubnet
	}
	if len(c.CNIPath) == 0 {
		c.CNIPath = []string{"/opt/cni/bin"}
	}
	c.CNIConfigDir = cmp.Or(c.CNIConfigDir, "/opt/cni/config")
	c.Interval = cmp.Or(c.Interval, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Changed == nil {
		c.Changed = func() {}
	}
	c.Subnet, c.Subnet6 = c.Subnet.Masked(), c.Subnet6.Masked()
	return c, c.validate()
}

func (c Config) validate() error {
	var errs []error
	if !c.Subnet.Addr().Is4() || c.Subnet.Addr().IsLinkLocalUnicast() || c.Subnet.Addr().IsLoopback() {
		errs = append(errs, fmt.Errorf("bridge_network_subnet: %s is no IPv4 network that can be routed", c.Subnet))
	} else if size := 32 - c.Subnet.Bits(); size < minPoolBits || size > maxPoolBits {
		errs = append(errs, fmt.Errorf("bridge_network_subnet: %s: want /%d to /%d", c.Subnet, 32-maxPoolBits, 32-minPoolBits))
	}
	if s := c.Subnet6; s.IsValid() {
		if !s.Addr().Is6() || s.Addr().Is4In6() || s.Addr().IsLinkLocalUnicast() || s.Addr().IsLoopback() {
			errs = append(errs, fmt.Errorf("bridge_network_subnet_ipv6: %s is no IPv6 network that can be routed", s))
		} else if s.Bits() > 128-minPoolBits {
			errs = append(errs, fmt.Errorf("bridge_network_subnet_ipv6: %s: want /%d or larger", s, 128-minPoolBits))
		}
	}
	if c.Interval < 0 {
		errs = append(errs, fmt.Errorf("interval: %s is negative", c.Interval))
	}
	return errors.Join(errs...)
}

// Request is a network that an allocation or a task wants.
type Request struct {
	ID         string // of the allocation, or ALLOCATION/TASK: the same network for the same ID
	Mode       string // bridge, none, or cni/NAME
	Ports      []drivers.Port
	Hostname   string              // default: the beginning of ID
	DNS        *nomadish.DNSConfig // what it leaves empty is the host's
	ExtraHosts []string            // lines of /etc/hosts
	Args       map[string]string   // for CNI plugins
}

func (r *Request) validate() error {
	switch {
	case r.ID == "" || len(r.ID) > 1024:
		return fmt.Errorf("network: id %q: want 1 to 1024 characters", r.ID)
	case r.Mode == ModeBridge, r.Mode == ModeNone, strings.HasPrefix(r.Mode, ModeCNI) && len(r.Mode) > len(ModeCNI):
	default:
		return fmt.Errorf("network: mode %q: %w", r.Mode, ErrUnsupported)
	}
	for _, p := range r.Ports {
		if p.Host < 1 || p.Host > 65535 || p.To > 65535 {
			return fmt.Errorf("network: port %q: %d to %d: want 1 to 65535", p.Label, p.Host, p.To)
		}
		if p.HostIP != "" {
			if _, err := netip.ParseAddr(p.HostIP); err != nil {
				return fmt.Errorf("network: port %q: %w", p.Label, err)
			}
		}
	}
	return nil
}

// Status is a network that is there.
type Status struct {
	Network   drivers.Network // for the tasks
	Interface string          // in the namespace; empty with mode none
	Address   string          // empty with mode none
	Address6  string
	DNS       *nomadish.DNSConfig // what resolv.conf says

	// Renewed says that the namespace of an earlier agent was lost, with all that used it:
	// tasks that still run are in a network that leads nowhere, and must be started again.
	Renewed bool
	Notices []string // what users should know: rules of others that may be in the way
}

// Offer is what a node with a manager can do.
type Offer struct {
	Modes      []string          // of networks, beside host and none
	Attributes map[string]string // of the node
}

// Inside returns the port inside the namespace that a port of the host leads to.
func Inside(p drivers.Port) int {
	if p.To > 0 {
		return p.To
	}
	return p.Host
}

// instance tells the agents of one machine apart.
func instance(dataDir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(dataDir)))
	return hex.EncodeToString(sum[:3])
}

// linkMark begins the names of all our links, whichever agent's.
const linkMark = "nm"

// linkPrefix begins the names of an agent's links on the host.
func linkPrefix(dataDir string) string { return linkMark + instance(dataDir) }

// linkName is the host's end of a namespace's veth pair: 13 of at most 15 characters.
func linkName(prefix string, index int) string { return fmt.Sprintf("%s%05x", prefix, index) }

// IsLink says whether a network interface of the host has the name of one that a Manager made.
func IsLink(name string) bool {
	rest, ok := strings.CutPrefix(name, linkMark)
	return ok && len(rest) == 11 && strings.Trim(rest, "0123456789abcdef") == ""
}
