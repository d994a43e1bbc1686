//go:build linux

package network

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
)

// answered says that a port answers as who it should.
func (w *world) answered(port int, name string) func() error {
	return func() error {
		got, _, err := ask(w.outside, "tcp", addr(hostIP, port))
		if err == nil && got != name {
			err = fmt.Errorf("answered by %q", got)
		}
		return err
	}
}

func (w *world) nft() *nftables.Conn {
	w.t.Helper()
	c, err := nftables.New(nftables.WithNetNSFd(int(w.host.Fd())))
	check(w.t, err)
	return c
}

// What somebody removes of the host's rules is there again at once, by the kernel's news:
// the manager's own look at them is an hour away.
func TestFlushHeals(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	w.serve(w.open(w.bridge(m, "a", port("p", 8001, 80, hostIP))), "tcp", ":80", "a")
	eventually(t, "before", w.answered(8001, "a"))
	for name, flush := range map[string]func(c *nftables.Conn){
		"ruleset": func(c *nftables.Conn) { c.FlushRuleset() },
		"table":   func(c *nftables.Conn) { c.FlushTable(m.table.table()) },
		"chain":   func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: m.table.table(), Name: "prerouting"}) },
		"deleted": func(c *nftables.Conn) { c.DelTable(m.table.table()) },
	} {
		c := w.nft()
		flush(c)
		check(t, c.Flush())
		eventually(t, "after flushing the "+name, w.answered(8001, "a"))
	}
}

// The regular look repairs what the kernel's news do not tell: elements that are gone or that
// somebody added, and rules that are others. It leaves the tables of others alone.
func TestRegularLookHeals(t *testing.T) {
	w := newWorld(t)
	w.cfg.Interval = 20 * time.Millisecond
	m, _ := w.manager()
	a := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	w.serve(w.open(a), "tcp", ":80", "a")
	c := w.nft()
	other := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "other"})
	c.AddChain(&nftables.Chain{Table: other, Name: "theirs"})
	check(t, c.Flush())
	set := m.table.sets()[setPorts+"4"]
	c.FlushSet(set)
	check(t, c.Flush())
	eventually(t, "after the elements were removed", w.answered(8001, "a"))
	key := string([]byte{198, 51, 100, 1}) + protocolKey(6) + portKey(8009)
	check(t, c.SetAddElements(set, elements([][2]string{{key, string([]byte{172, 26, 64, 2}) + portKey(80)}})))
	check(t, c.Flush())
	eventually(t, "a foreign element goes", func() error {
		if w.answered(8009, "a")() == nil {
			return errors.New("port 8009 is still mapped")
		}
		return nil
	})
	c.AddRule(&nftables.Rule{
		Table: m.table.table(), Chain: &nftables.Chain{Table: m.table.table(), Name: "guard"}, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}},
	})
	check(t, c.Flush())
	eventually(t, "a foreign rule goes", w.answered(8001, "a"))
	if chains, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet); err != nil || len(chains) != len(m.table.chains)+1 {
		t.Errorf("chains: got %d, %v; want ours and that of another", len(chains), err)
	}
}

// A link that is deleted, or put down, and a mount that is lost are made again without
// another namespace: what runs in it goes on.
func TestLinkHeals(t *testing.T) {
	w := newWorld(t)
	w.cfg.Interval = 20 * time.Millisecond
	m, _ := w.manager()
	a := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	w.serve(w.open(a), "tcp", ":80", "a")
	h := handle(t, w.host)
	name := linkName(m.prefix, m.leases["a"].Index)
	for what, harm := range map[string]func() error{
		"deleted": func() error {
			link, err := h.LinkByName(name)
			return errors.Join(err, h.LinkDel(link))
		},
		"down": func() error {
			link, err := h.LinkByName(name)
			return errors.Join(err, h.LinkSetDown(link))
		},
		"without its route": func() error {
			return h.RouteDel(&netlink.Route{Dst: single(m.leases["a"].Address), Scope: netlink.SCOPE_LINK})
		},
		"unmounted": func() error { return removeNamespace(a.Network.Namespace) },
	} {
		check(t, harm())
		eventually(t, "the link "+what, func() error {
			if !isNamespace(a.Network.Namespace) {
				return errors.New("no mount")
			}
			return w.answered(8001, "a")()
		})
	}
	if again := w.bridge(m, "a", port("p", 8001, 80, hostIP)); again.Renewed || again.Address != a.Address {
		t.Errorf("got renewed %v, address %s; want the same network", again.Renewed, again.Address)
	}
}

// An agent that was killed finds its networks: with the same addresses, in the same
// namespaces, and with rules that were flushed meanwhile.
func TestKilledAgentHeals(t *testing.T) {
	w := newWorld(t)
	m, kill := w.manager()
	a := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	w.serve(w.open(a), "tcp", ":80", "a")
	eventually(t, "before", w.answered(8001, "a"))
	kill()
	eventually(t, "without an agent", w.answered(8001, "a"))
	c := w.nft()
	c.FlushRuleset()
	check(t, c.Flush())
	m, _ = w.manager()
	eventually(t, "with the next agent", w.answered(8001, "a"))
	again := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	if again.Renewed || again.Address != a.Address {
		t.Errorf("got renewed %v, address %s; want the same network", again.Renewed, again.Address)
	}
	b := w.bridge(m, "b", port("p", 8002, 80, hostIP))
	if b.Address == a.Address {
		t.Errorf("%s was given twice", b.Address)
	}
}

// After a boot (no mounts, no links, no rules) a network is made anew with its old address
// and says that it is: whatever ran in it must be started again.
func TestBootHeals(t *testing.T) {
	w := newWorld(t)
	m, kill := w.manager()
	a := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	kill()
	check(t, removeNamespace(a.Network.Namespace))
	check(t, os.RemoveAll(w.cfg.RunDir))
	c := w.nft()
	c.FlushRuleset()
	check(t, c.Flush())
	m, _ = w.manager()
	again := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	if !again.Renewed || again.Address != a.Address {
		t.Errorf("got renewed %v, address %s; want a new namespace with %s", again.Renewed, again.Address, a.Address)
	}
	if third := w.bridge(m, "a", port("p", 8001, 80, hostIP)); third.Renewed {
		t.Error("it says again that it is new")
	}
	w.serve(w.open(again), "tcp", ":80", "a")
	eventually(t, "after the boot", w.answered(8001, "a"))
}

// A chain of others that drops what it has no rule for, as Docker's and firewalld's do, is
// found and told to whoever sets up a network; one that lets our packets pass is not.
func TestObstacles(t *testing.T) {
	w := newWorld(t)
	m, _ := w.manager()
	c := w.nft()
	drop := nftables.ChainPolicyDrop
	filter := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	forward := c.AddChain(&nftables.Chain{
		Name: "FORWARD", Table: filter, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter, Policy: &drop,
	})
	user := c.AddChain(&nftables.Chain{Name: "DOCKER-USER", Table: filter})
	c.AddRule(&nftables.Rule{Table: filter, Chain: forward, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictJump, Chain: "DOCKER-USER"}}})
	check(t, c.Flush())
	check(t, m.look())
	st := w.bridge(m, "a", port("p", 8001, 80, hostIP))
	w.serve(w.open(st), "tcp", ":80", "a")
	want := fmt.Sprintf("chain FORWARD of table ip filter drops forward packets; to let those of tasks pass: "+
		"nft insert rule ip filter FORWARD iifname \"%s*\" accept", m.prefix)
	if len(st.Notices) == 0 || !strings.HasPrefix(st.Notices[0], want) {
		t.Errorf("got %q, want %s …", st.Notices, want)
	}
	if err := w.answered(8001, "a")(); err == nil {
		t.Error("the test's chain does not drop anything")
	}
	for _, meta := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
		c.AddRule(&nftables.Rule{Table: filter, Chain: user, Exprs: join(byName(meta, m.prefix, expr.CmpOpEq), accept)})
	}
	check(t, c.Flush())
	check(t, m.look())
	if left := m.Obstacles(); len(left) > 0 {
		t.Errorf("with rules for ours: got %q", left)
	}
	eventually(t, "with rules for ours", w.answered(8001, "a"))
}

// What the kernel has after any changes is what it has when the table is made anew.
func TestTableFollowsLeases(t *testing.T) {
	w := newWorld(t)
	table := newTable(w.host, "t", "nm123456")
	defer func() { check(t, table.close()) }()
	random := rand.New(rand.NewPCG(1, 2))
	leases := map[string]*lease{}
	p := pool{subnet: DefaultSubnet, subnet6: netipPrefix("fd00::/64")}
	for step := range 60 {
		id := fmt.Sprint("a", random.IntN(10))
		if leases[id] != nil && random.IntN(2) == 0 {
			delete(leases, id)
		} else {
			l := &lease{Request: Request{ID: id, Mode: ModeBridge}}
			for range random.IntN(5) {
				l.Request.Ports = append(l.Request.Ports, port("p", 1+random.IntN(9), random.IntN(3), []string{"", hostIP, hostIP6}[random.IntN(3)]))
			}
			check(t, p.take(l, nil, nil))
			leases[id] = l
		}
		want := wanted(leases, "nm123456")
		check(t, table.update(func() ruleset { return want }))
		check(t, table.with(func(c *nftables.Conn) error {
			have, err := table.read(c)
			if d := cmp.Diff(want, have); d != "" {
				t.Fatalf("after step %d (-wanted +kernel): %s", step, d)
			}
			return err
		}))
		drift, err := table.structure(table.conn)
		if err != nil || drift != "" {
			t.Fatalf("after step %d: the rules differ: %s, %v", step, drift, err)
		}
	}
}
