package network

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// look notes the rules of others that may keep packets from our networks.
func (m *Manager) look() error {
	c, err := nftables.New(nftables.WithNetNSFd(int(m.host.Fd())))
	if err != nil {
		return err
	}
	found, err := obstacles(c, m.prefix)
	if err != nil {
		return err
	}
	m.mu.Lock()
	changed := !slices.Equal(found, m.others)
	m.others = found
	m.mu.Unlock()
	if !changed {
		return nil
	}
	if len(found) > 0 {
		m.log.Warn("rules of others may keep packets from the networks of tasks", "rules", strings.Join(found, "; "))
	}
	m.cfg.Changed()
	return nil
}

// Obstacles returns the rules of others that may keep packets from our networks, in words
// for an operator.
func (m *Manager) Obstacles() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.others)
}

// hooked names the packets that a chain can keep from us.
var hooked = map[nftables.ChainHook]string{*nftables.ChainHookForward: "forward", *nftables.ChainHookInput: "input"}

// obstacles finds chains that drop what they have no rule for, of forwarded packets and of
// those for the host, and that no rule of theirs keeps from dropping ours.
func obstacles(c *nftables.Conn, prefix string) ([]string, error) {
	all, err := c.ListChains()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, ch := range all {
		if ch.Hooknum == nil || ch.Policy == nil || *ch.Policy != nftables.ChainPolicyDrop {
			continue
		}
		hook, known := hooked[*ch.Hooknum]
		if !known {
			continue
		}
		reach := map[string]*nftables.Chain{}
		for _, other := range all {
			if other.Table.Name == ch.Table.Name && other.Table.Family == ch.Table.Family {
				reach[other.Name] = other
			}
		}
		// Rules that can't be read may be in the way as well.
		if passes, err := accepts(c, reach, ch, prefix, map[string]bool{}); err != nil || !passes {
			out = append(out, describe(ch, hook, prefix))
		}
	}
	slices.Sort(out)
	return out, nil
}

// accepts says that a chain, or one that it jumps to, has a rule that names our links and
// accepts.
func accepts(c *nftables.Conn, all map[string]*nftables.Chain, ch *nftables.Chain, prefix string, seen map[string]bool) (bool, error) {
	if seen[ch.Name] {
		return false, nil
	}
	seen[ch.Name] = true
	rules, err := c.GetRules(ch.Table, ch)
	if err != nil {
		return false, err
	}
	for _, r := range rules {
		named := false
		for _, e := range r.Exprs {
			switch e := e.(type) {
			case *expr.Cmp:
				name := strings.TrimRight(string(e.Data), "\x00")
				named = named || e.Op == expr.CmpOpEq && len(name) >= len(linkMark) && strings.HasPrefix(prefix, name)
			case *expr.Verdict:
				if e.Kind == expr.VerdictAccept && named {
					return true, nil
				}
				if next := all[e.Chain]; next != nil {
					if ours, err := accepts(c, all, next, prefix, seen); err != nil || ours {
						return ours, err
					}
				}
			}
		}
	}
	return false, nil
}

// describe names a chain, and the rule that would let our packets pass.
func describe(ch *nftables.Chain, hook, prefix string) string {
	family := map[nftables.TableFamily]string{
		nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
	}[ch.Table.Family]
	way := []string{"iifname", "oifname"}
	if hook == "input" {
		way = way[:1]
	}
	var fix []string
	for _, w := range way {
		fix = append(fix, fmt.Sprintf("nft insert rule %s %s %s %s \"%s*\" accept", family, ch.Table.Name, ch.Name, w, prefix))
	}
	return fmt.Sprintf("chain %s of table %s %s drops %s packets; to let those of tasks pass: %s",
		ch.Name, family, ch.Table.Name, hook, strings.Join(fix, "; "))
}
