package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// chain is a chain of our table with its rules, which depend on nothing but the links' names.
type chain struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
	rules    [][]expr.Any
}

// layout returns the chains of the table.
func layout(prefix string) []chain {
	guard := [][]expr.Any{
		// What comes from a namespace may not be meant for the host's loopback addresses,
		// which our links would route (route_localnet).
		join(v4, from(prefix), load(family4.daddr, 1), equal(1, []byte{127}), drop),
		join(v4, from(prefix), fromName(family4), lookupNot(setFrom+"4"), drop),
		join(v6, from(prefix), neighbours, accept),
		join(v6, from(prefix), unspecified, accept),
		join(v6, from(prefix), fromName(family6), lookupNot(setFrom+"6"), drop),
	}
	var nat, masquerade [][]expr.Any
	for _, f := range []family{family4, family6} {
		nat = append(nat,
			join(f.is, hostPort(f, true), toInside(f, setPorts)),
			join(f.is, f.notLoopback, local, hostPort(f, false), toInside(f, setAny)),
		)
		masquerade = append(masquerade,
			// A namespace that calls itself by a port of the host.
			join(f.is, pair(f), lookup(setSelf+f.name), masq),
			// Out of the node.
			join(f.is, load(f.saddr, f.size), lookup(setOwn+f.name), to(prefix, expr.CmpOpNeq), masq),
		)
	}
	// The host by a port on its loopback addresses.
	masquerade = append(masquerade, join(v4, load(family4.saddr, 1), equal(1, []byte{127}), to(prefix, expr.CmpOpEq), masq))
	forward := [][]expr.Any{
		// From outside a namespace is reached on its mapped ports, and otherwise answered.
		join(to(prefix, expr.CmpOpEq), notFrom(prefix), none(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED),
			none(expr.CtKeySTATUS, ctStatusDNAT), drop),
	}
	return []chain{
		{"guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, guard},
		{"prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, nat},
		{"output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, nat},
		{"postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, masquerade},
		{"forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, forward},
	}
}

// ctStatusDNAT is the kernel's IPS_DST_NAT: the connection's destination was changed.
const ctStatusDNAT = 1 << 5

// family is what differs between IPv4 and IPv6.
type family struct {
	name         string
	is           []expr.Any
	nat          uint32
	saddr, daddr uint32 // offsets in the header
	size         uint32
	notLoopback  []expr.Any // the kernel lets nothing from ::1 out: better refused than unanswered
}

var (
	v4 = []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal1(1, []byte{unix.NFPROTO_IPV4})}
	v6 = []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal1(1, []byte{unix.NFPROTO_IPV6})}

	family4 = family{name: "4", is: v4, nat: unix.NFPROTO_IPV4, saddr: 12, daddr: 16, size: 4}
	family6 = family{
		name: "6", is: v6, nat: unix.NFPROTO_IPV6, saddr: 8, daddr: 24, size: 16,
		notLoopback: join(load(24, 16), []expr.Any{&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: append(make([]byte, 15), 1)}}),
	}

	// neighbours are link-local addresses, by which hosts on a link find each other.
	neighbours = []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 2},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 2, Mask: []byte{0xff, 0xc0}, Xor: []byte{0, 0}},
		equal1(1, []byte{0xfe, 0x80}),
	}
	unspecified = join(load(8, 16), equal(1, make([]byte, 16)))

	// local says that the packet is for the host.
	local = []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		equal1(1, binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)),
	}
	accept = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop   = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	masq   = []expr.Any{&expr.Masq{}}
)

func join(parts ...[]expr.Any) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func equal1(register uint32, data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func equal(register uint32, data []byte) []expr.Any { return []expr.Any{equal1(register, data)} }

// load puts a part of the network header into register 1.
func load(offset, size uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size}}
}

// from and to match our links by the beginning of their names.
func from(prefix string) []expr.Any { return byName(expr.MetaKeyIIFNAME, prefix, expr.CmpOpEq) }

func notFrom(prefix string) []expr.Any { return byName(expr.MetaKeyIIFNAME, prefix, expr.CmpOpNeq) }

func to(prefix string, op expr.CmpOp) []expr.Any { return byName(expr.MetaKeyOIFNAME, prefix, op) }

func byName(key expr.MetaKey, prefix string, op expr.CmpOp) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(prefix)}}
}

// none says that none of the bits of a connection's property is set.
func none(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1, DestRegister: 1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4),
		},
		equal1(1, make([]byte, 4)),
	}
}

// register is the n-th of the registers of four bytes, of which register 1 is the first four.
func register(n uint32) uint32 { return unix.NFT_REG32_00 + n }

// fromName loads link . source address.
func fromName(f family) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Payload{DestRegister: register(4), Base: expr.PayloadBaseNetworkHeader, Offset: f.saddr, Len: f.size},
	}
}

// pair loads source . destination.
func pair(f family) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: register(0), Base: expr.PayloadBaseNetworkHeader, Offset: f.saddr, Len: f.size},
		&expr.Payload{DestRegister: register(f.size / 4), Base: expr.PayloadBaseNetworkHeader, Offset: f.daddr, Len: f.size},
	}
}

// hostPort loads [destination .] protocol . port.
func hostPort(f family, withAddress bool) []expr.Any {
	var out []expr.Any
	next := uint32(0)
	if withAddress {
		out = append(out, &expr.Payload{DestRegister: register(0), Base: expr.PayloadBaseNetworkHeader, Offset: f.daddr, Len: f.size})
		next = f.size / 4
	}
	return append(out,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register(next)},
		&expr.Payload{DestRegister: register(next + 1), Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
	)
}

// toInside leads the connection to where a map says.
func toInside(f family, set string) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: register(0), SetName: set + f.name, DestRegister: 1, IsDestRegSet: true},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: f.nat, RegAddrMin: 1, RegProtoMin: register(f.size / 4), Specified: true},
	}
}

func lookup(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: register(0), SetName: set}}
}

func lookupNot(set string) []expr.Any {
	return []expr.Any{&expr.Lookup{SourceRegister: register(0), SetName: set, Invert: true}}
}

// mark is the comment by which a rule is known again: what it does, and its place.
func mark(c chain, i int) (string, error) {
	data, err := json.Marshal(c.rules[i])
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return fmt.Sprintf("nomadish %s/%d %s", c.name, i, hex.EncodeToString(sum[:6])), nil
}

// setTypes returns the type of each set's keys, and of its values where it is a map.
func setTypes() map[string]*nftables.Set {
	out := map[string]*nftables.Set{}
	for name, addr := range map[string]nftables.SetDatatype{"4": nftables.TypeIPAddr, "6": nftables.TypeIP6Addr} {
		target := nftables.MustConcatSetType(addr, nftables.TypeInetService)
		out[setPorts+name] = &nftables.Set{
			IsMap: true, Concatenation: true, DataType: target,
			KeyType: nftables.MustConcatSetType(addr, nftables.TypeInetProto, nftables.TypeInetService),
		}
		out[setAny+name] = &nftables.Set{
			IsMap: true, Concatenation: true, DataType: target,
			KeyType: nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService),
		}
		out[setOwn+name] = &nftables.Set{KeyType: addr}
		out[setSelf+name] = &nftables.Set{Concatenation: true, KeyType: nftables.MustConcatSetType(addr, addr)}
		out[setFrom+name] = &nftables.Set{Concatenation: true, KeyType: nftables.MustConcatSetType(nftables.TypeIFName, addr)}
	}
	for name, s := range out {
		s.Name = name
	}
	return out
}
