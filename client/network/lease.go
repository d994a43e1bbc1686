package network

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// lease is what is known of a network: what was asked for and what was given. It is
// immutable, and on disk before anything of the network is made.
type lease struct {
	Request  Request
	Index    int        // of the address in the pool, and of the link
	Address  netip.Addr // none with modes none and cni
	Address6 netip.Addr
	Gateway  netip.Addr // the host's address on the link
	Gateway6 netip.Addr
	CNI      *cniResult
}

// cniResult is what CNI plugins made.
type cniResult struct {
	Interface string
	Address   string
	Address6  string
	DNS       nomadish.DNSConfig
}

// leased is an address of a lease, and the host's on the same link.
type leased struct{ address, gateway netip.Addr }

func (l *lease) families() []leased {
	var out []leased
	for _, a := range []leased{{l.Address, l.Gateway}, {l.Address6, l.Gateway6}} {
		if a.address.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// firstIndex is the first address for namespaces: 0 is the network's own, 1 the host's.
const firstIndex = 2

// pool hands out addresses. It takes those that were free the longest, so that nobody who
// still knows an earlier owner of an address reaches the new one.
type pool struct {
	subnet, subnet6 netip.Prefix
	next            int
}

// newPool starts at a place of its own for each agent: those of one machine have the same
// network if their configuration does not say otherwise.
func newPool(subnet, subnet6 netip.Prefix, dataDir string) pool {
	p := pool{subnet: subnet, subnet6: subnet6}
	sum := sha256.Sum256([]byte("pool " + filepath.Clean(dataDir)))
	p.next = firstIndex + int(binary.BigEndian.Uint32(sum[:])%uint32(max(1, p.size()-firstIndex)))
	return p
}

func (p *pool) size() int {
	n := 1<<(32-p.subnet.Bits()) - 1 // the last one is the network's broadcast address
	if p.subnet6.IsValid() && 128-p.subnet6.Bits() < maxPoolBits {
		n = min(n, 1<<(128-p.subnet6.Bits()))
	}
	return n
}

// take fills in the addresses of a lease that collides with none of the others. used holds
// their indexes and addresses.
func (p *pool) take(l *lease, usedIndex map[int]bool, usedAddr map[netip.Addr]bool) error {
	size := p.size()
	for range size {
		i := max(p.next, firstIndex)
		p.next = i + 1
		if p.next >= size {
			p.next = firstIndex
		}
		addr := at(p.subnet, i)
		if usedIndex[i] || usedAddr[addr] || i >= size {
			continue
		}
		l.Index, l.Address, l.Gateway = i, addr, at(p.subnet, 1)
		if p.subnet6.IsValid() {
			l.Address6, l.Gateway6 = at(p.subnet6, i), at(p.subnet6, 1)
		}
		return nil
	}
	return drivers.Recoverable(fmt.Errorf("bridge_network_subnet: all %d addresses of %s are taken", size-firstIndex, p.subnet))
}

// at returns an address of a network.
func at(p netip.Prefix, i int) netip.Addr {
	bytes := p.Addr().AsSlice()
	n := new(big.Int).SetBytes(bytes)
	n.Add(n, big.NewInt(int64(i))).FillBytes(bytes)
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
}

// The files of a lease's directory.
const (
	leaseFile  = "lease.json"
	hostsFile  = "hosts"
	resolvFile = "resolv.conf"
)

// store keeps leases on disk, each in a directory of its own. It does not wait for the disk:
// what a power cut takes, it takes together with the namespaces.
type store struct{ dir string }

func (s store) path(id string) string { return filepath.Join(s.dir, drivers.Key(id)) }

func (s store) put(l *lease) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.path(l.Request.ID), 0o755); err != nil {
		return err
	}
	return writeFile(filepath.Join(s.path(l.Request.ID), leaseFile), data, 0o600)
}

func (s store) delete(id string) error { return os.RemoveAll(s.path(id)) }

// all reads the leases. One that can't be read is in the error; the others are returned.
func (s store) all() (map[string]*lease, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]*lease{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := make(map[string]*lease, len(entries))
	var errs []error
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(s.dir, e.Name(), leaseFile))
		if errors.Is(err, fs.ErrNotExist) {
			continue // an agent was killed before it made anything
		}
		l := &lease{}
		if err == nil {
			err = json.Unmarshal(data, l)
		}
		if err == nil {
			err = l.Request.validate()
		}
		if err == nil && drivers.Key(l.Request.ID) != e.Name() {
			err = fmt.Errorf("it is that of %q", l.Request.ID)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("lease %s: %w", e.Name(), err))
			continue
		}
		out[l.Request.ID] = l
	}
	return out, errors.Join(errs...)
}

// writeFile puts a whole file in place of another, or leaves the other one.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
		return nil
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
