package network

import (
	"fmt"
	"maps"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/drivers"
)

// drawLeases makes leases with ports that often collide.
func drawLeases(t *rapid.T) map[string]*lease {
	p := pool{subnet: DefaultSubnet, subnet6: rapid.SampledFrom([]netip.Prefix{{}, netip.MustParsePrefix("fd00::/64")}).Draw(t, "ipv6")}
	out := map[string]*lease{}
	for i := range rapid.IntRange(0, 8).Draw(t, "leases") {
		l := &lease{Request: Request{ID: fmt.Sprint("a", i), Mode: rapid.SampledFrom([]string{ModeBridge, ModeNone}).Draw(t, "mode")}}
		for range rapid.IntRange(0, 4).Draw(t, "ports") {
			l.Request.Ports = append(l.Request.Ports, drivers.Port{
				Host: rapid.IntRange(1, 5).Draw(t, "host"), To: rapid.IntRange(-1, 3).Draw(t, "to"),
				HostIP: rapid.SampledFrom([]string{"", "0.0.0.0", "::", "10.0.0.1", "10.0.0.2", "2001:db8::1"}).Draw(t, "ip"),
			})
		}
		if l.Request.Mode == ModeBridge {
			if err := p.take(l, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		out[l.Request.ID] = l
	}
	return out
}

// carryOut does to a ruleset what the kernel does with changes, and like it refuses to add
// what is there and to remove what is not.
func carryOut(t *rapid.T, have ruleset, changes []change) ruleset {
	out := ruleset{}
	for name, set := range have {
		out[name] = maps.Clone(set)
	}
	for _, c := range changes {
		for _, e := range c.remove {
			if _, there := out[c.set][e[0]]; !there {
				t.Fatalf("%s: removes %x, which is not there", c.set, e[0])
			}
			delete(out[c.set], e[0])
		}
		if out[c.set] == nil {
			out[c.set] = map[string]string{}
		}
		for _, e := range c.add {
			if _, there := out[c.set][e[0]]; there {
				t.Fatalf("%s: adds %x, which is there", c.set, e[0])
			}
			out[c.set][e[0]] = e[1]
		}
		if len(out[c.set]) == 0 {
			delete(out, c.set)
		}
	}
	return out
}

// The rules are a function of the leases alone, and going from any rules to others step by
// step gives what making them anew gives.
func TestRulesFollowLeases(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first, second := drawLeases(t), drawLeases(t)
		want := wanted(second, "nm123456")
		if d := cmp.Diff(want, wanted(maps.Clone(second), "nm123456")); d != "" {
			t.Fatalf("the same leases gave other rules: %s", d)
		}
		have := wanted(first, "nm123456")
		if d := cmp.Diff(want, carryOut(t, have, diff(have, want))); d != "" {
			t.Fatalf("step by step (-anew +step): %s", d)
		}
		if again := diff(want, want); len(again) > 0 {
			t.Fatalf("a second time there are changes: %+v", again)
		}
		checkTargets(t, second, want)
	})
}

// checkTargets checks that every port on all addresses leads to a lease that asks for it,
// and that no other port leads anywhere.
func checkTargets(t *rapid.T, leases map[string]*lease, rules ruleset) {
	allowed := map[string]map[string]bool{}
	for _, l := range leases {
		for _, a := range l.families() {
			for _, p := range l.Request.Ports {
				if p.HostIP != "" && p.HostIP != "0.0.0.0" && p.HostIP != "::" {
					continue
				}
				for _, proto := range protocols {
					key := familyOf(a.address) + protocolKey(proto) + portKey(p.Host)
					if allowed[key] == nil {
						allowed[key] = map[string]bool{}
					}
					allowed[key][string(a.address.AsSlice())+portKey(Inside(p))] = true
				}
			}
		}
	}
	found := 0
	for _, family := range []string{"4", "6"} {
		for key, value := range rules[setAny+family] {
			found++
			if !allowed[family+key][value] {
				t.Fatalf("%x leads to %x, which nobody asks for", key, value)
			}
		}
	}
	if found != len(allowed) {
		t.Fatalf("%d ports lead somewhere, want %d", found, len(allowed))
	}
}

// Addresses of a pool are not given again before all others were, and never ones that the
// network keeps for itself.
func TestPool(t *testing.T) {
	p := pool{subnet: netip.MustParsePrefix("10.0.0.0/28"), subnet6: netip.MustParsePrefix("fd00::/64")}
	var got []string
	for range 14 {
		l := &lease{}
		if err := p.take(l, map[int]bool{5: true}, nil); err != nil {
			t.Fatal(err)
		}
		got = append(got, l.Address.String())
		if l.Gateway != netip.MustParsePrefix("10.0.0.1/32").Addr() || l.Address6 != at(p.subnet6, l.Index) {
			t.Errorf("got gateway %s, IPv6 %s for %s", l.Gateway, l.Address6, l.Address)
		}
	}
	var want []string
	for _, i := range []int{2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 2, 3} {
		want = append(want, fmt.Sprint("10.0.0.", i))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// The names of links are ours, short enough, and never those of others.
func TestLinkNames(t *testing.T) {
	prefix := linkPrefix("/var/lib/nomadish")
	for _, i := range []int{firstIndex, 1<<maxPoolBits - 1} {
		if name := linkName(prefix, i); len(name) > 15 || !IsLink(name) || name[:len(prefix)] != prefix {
			t.Errorf("%s is no name for a link of ours", name)
		}
	}
	for _, other := range []string{"eth0", "nm-bridge", "docker0", "nm", "nmABCDEF00001", "nm12345600001x", "veth12345678901"} {
		if IsLink(other) {
			t.Errorf("%s is taken for ours", other)
		}
	}
	if linkPrefix("/a") == linkPrefix("/b") {
		t.Error("two agents have the same links")
	}
}
