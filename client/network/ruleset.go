package network

import (
	"cmp"
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// The sets of the table that follow the leases, each once per family (4 and 6 are added).
const (
	setPorts = "ports" // address . protocol . port of the host → address . port inside
	setAny   = "any"   // protocol . port on any of the host's addresses → address . port inside
	setOwn   = "own"   // addresses of namespaces
	setSelf  = "self"  // pairs of such an address with itself
	setFrom  = "from"  // link . address: who may send from where
)

// ruleset is the contents of all sets: from a set's name to its elements, from key to value.
// Keys and values are the bytes that the kernel knows.
type ruleset map[string]map[string]string

// The protocols that ports are mapped for.
var protocols = []byte{6, 17} // tcp, udp

// wanted returns the contents of the sets that leases ask for. Of leases that map the same
// port of the host the one with the smallest ID has it.
func wanted(leases map[string]*lease, prefix string) ruleset {
	out := ruleset{}
	for _, id := range slices.Sorted(maps.Keys(leases)) {
		l := leases[id]
		for _, addr := range []netip.Addr{l.Address, l.Address6} {
			if !addr.IsValid() {
				continue
			}
			b := string(addr.AsSlice())
			out.put(setOwn, addr, b, "")
			out.put(setSelf, addr, b+b, "")
			out.put(setFrom, addr, interfaceKey(linkName(prefix, l.Index))+b, "")
			for _, p := range l.Request.Ports {
				for _, proto := range protocols {
					out.mapPort(addr, proto, p.Host, Inside(p), p.HostIP)
				}
			}
		}
	}
	return out
}

// mapPort leads a port of the host to an address of the same family. A port without an
// address of the host, or with 0.0.0.0 or ::, is one of all of the host's addresses; so is a
// port on 0.0.0.0 in the other family. Ports on ::1 are left out: the kernel routes nothing
// from there to a link.
func (r ruleset) mapPort(addr netip.Addr, proto byte, host, to int, hostIP string) {
	value := string(addr.AsSlice()) + portKey(to)
	on, err := netip.ParseAddr(hostIP)
	if hostIP == "" || err == nil && on.IsUnspecified() {
		r.put(setAny, addr, protocolKey(proto)+portKey(host), value)
		return
	}
	if err == nil && on.Is4() == addr.Is4() && on != netip.IPv6Loopback() {
		r.put(setPorts, addr, string(on.AsSlice())+protocolKey(proto)+portKey(host), value)
	}
}

func (r ruleset) put(set string, family netip.Addr, key, value string) {
	name := set + familyOf(family)
	if r[name] == nil {
		r[name] = map[string]string{}
	}
	if _, taken := r[name][key]; !taken {
		r[name][key] = value
	}
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "4"
	}
	return "6"
}

// Parts of keys are padded to words of four bytes.
func portKey(port int) string {
	return string(binary.BigEndian.AppendUint16(nil, uint16(port))) + "\x00\x00"
}

func protocolKey(proto byte) string { return string([]byte{proto, 0, 0, 0}) }

// interfaceKey is a name in the 16 bytes that the kernel has for it.
func interfaceKey(name string) string { return name + strings.Repeat("\x00", max(0, 16-len(name))) }

// change is what makes one set of another.
type change struct {
	set         string
	add, remove [][2]string // key and value, sorted
}

// diff returns what makes the rules in have those in want. An element whose value differs is
// removed and added.
func diff(have, want ruleset) []change {
	names := map[string]bool{}
	for name := range have {
		names[name] = true
	}
	for name := range want {
		names[name] = true
	}
	var out []change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c := change{set: name, remove: missing(have[name], want[name]), add: missing(want[name], have[name])}
		if len(c.add)+len(c.remove) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// missing returns the elements of one set that another does not have in the same way.
func missing(of, in map[string]string) [][2]string {
	var out [][2]string
	for key, value := range of {
		if other, ok := in[key]; !ok || other != value {
			out = append(out, [2]string{key, value})
		}
	}
	slices.SortFunc(out, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	return out
}
