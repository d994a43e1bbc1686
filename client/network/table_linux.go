package network

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	mdl "github.com/mdlayher/netlink"
)

const (
	socketBuffer = 64 << 20 // the default is too small for a hundred ports
	maxElements  = 512      // in one message, whose size is bounded by 64 KiB
)

// table is our table in the kernel: all rules of the host. Its methods may be called
// concurrently.
type table struct {
	hostNS *os.File
	name   string
	chains []chain

	mu      sync.Mutex
	conn    *nftables.Conn // nil: to be opened
	applied ruleset        // what the kernel has, as far as we know; nil: not known
}

func newTable(hostNS *os.File, name, prefix string) *table {
	return &table{hostNS: hostNS, name: name, chains: layout(prefix)}
}

func (t *table) table() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: t.name}
}

// dial opens a connection to the kernel's tables.
func dial(ns *os.File) (*nftables.Conn, error) {
	return nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(ns.Fd())), nftables.WithSockOptions(func(c *mdl.Conn) error {
		return errors.Join(c.SetWriteBuffer(socketBuffer), c.SetReadBuffer(socketBuffer))
	}))
}

// with calls f with the open connection. After an error the connection is closed: answers
// that nobody read would be taken for those of the next question.
func (t *table) with(f func(c *nftables.Conn) error) error {
	if t.conn == nil {
		c, err := dial(t.hostNS)
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		t.conn = c
	}
	err := f(t.conn)
	if err != nil {
		err = errors.Join(fmt.Errorf("nftables: %w", err), t.conn.CloseLasting())
		t.conn, t.applied = nil, nil
	}
	return err
}

func (t *table) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conn == nil {
		return nil
	}
	err := t.conn.CloseLasting()
	t.conn = nil
	return err
}

// update makes the table hold what is wanted, by what has changed since the last time. When
// the kernel does not have what it had then, the whole table is made anew. What is wanted
// is asked for when it is our turn, so that nobody undoes what others did meanwhile.
func (t *table) update(wanted func() ruleset) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	want := wanted()
	if t.applied != nil {
		changes := diff(t.applied, want)
		if t.with(func(c *nftables.Conn) error { return t.commit(c, changes) }) == nil {
			t.applied = want
			return nil
		}
	}
	return t.rebuild(want)
}

// check compares the table with what is wanted and repairs what differs. It says what did.
// Where nothing is wanted there is no table afterwards.
func (t *table) check(wanted func() ruleset) (drift string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	want := wanted()
	if len(want) == 0 {
		return t.checkNone()
	}
	var have ruleset
	err = t.with(func(c *nftables.Conn) (err error) {
		if drift, err = t.structure(c); err == nil && drift == "" {
			have, err = t.read(c)
		}
		return err
	})
	if err != nil || drift != "" {
		return drift, t.rebuild(want) // an error may be that the table went while it was read
	}
	changes := diff(have, want)
	if len(changes) == 0 {
		t.applied = want
		return "", nil
	}
	drift = "elements of " + changes[0].set
	if err := t.with(func(c *nftables.Conn) error { return t.commit(c, changes) }); err != nil {
		return drift, errors.Join(err, t.rebuild(want))
	}
	t.applied = want
	return drift, nil
}

// structure says what of the table, its chains and rules is missing or changed.
func (t *table) structure(c *nftables.Conn) (drift string, err error) {
	all, err := c.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return "", err
	}
	for _, want := range t.chains {
		i := slices.IndexFunc(all, func(have *nftables.Chain) bool {
			return have.Table.Name == t.name && have.Name == want.name
		})
		if i < 0 {
			return "chain " + want.name, nil
		}
		if h := all[i].Hooknum; h == nil || *h != *want.hook {
			return "hook of chain " + want.name, nil
		}
		rules, err := c.GetRules(t.table(), all[i])
		if err != nil {
			return "", err
		}
		if len(rules) != len(want.rules) {
			return "rules of chain " + want.name, nil
		}
		for i := range rules {
			comment, err := mark(want, i)
			if err != nil {
				return "", err
			}
			if !bytes.Equal(rules[i].UserData, userdata.AppendString(nil, userdata.TypeComment, comment)) {
				return "rules of chain " + want.name, nil
			}
		}
	}
	return "", nil
}

// read returns the contents of the sets.
func (t *table) read(c *nftables.Conn) (ruleset, error) {
	out := ruleset{}
	for name, set := range t.sets() {
		elements, err := c.GetSetElements(set)
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", name, err)
		}
		if len(elements) == 0 {
			continue
		}
		out[name] = make(map[string]string, len(elements))
		for _, e := range elements {
			out[name][string(e.Key)] = string(e.Val)
		}
	}
	return out, nil
}

func (t *table) sets() map[string]*nftables.Set {
	sets := setTypes()
	for _, s := range sets {
		s.Table = t.table()
	}
	return sets
}

// commit carries out changes of the sets in one transaction.
func (t *table) commit(c *nftables.Conn, changes []change) error {
	sets := t.sets()
	for _, ch := range changes {
		set := sets[ch.set]
		for part := range slices.Chunk(keys(ch.remove), maxElements) {
			if err := c.SetDeleteElements(set, part); err != nil {
				return err
			}
		}
		for part := range slices.Chunk(elements(ch.add), maxElements) {
			if err := c.SetAddElements(set, part); err != nil {
				return err
			}
		}
	}
	return c.Flush()
}

func elements(list [][2]string) []nftables.SetElement {
	out := make([]nftables.SetElement, len(list))
	for i, e := range list {
		out[i].Key = []byte(e[0])
		if e[1] != "" {
			out[i].Val = []byte(e[1])
		}
	}
	return out
}

// keys returns elements without their values: to remove one is to name it.
func keys(list [][2]string) []nftables.SetElement {
	out := make([]nftables.SetElement, len(list))
	for i, e := range list {
		out[i].Key = []byte(e[0])
	}
	return out
}

// rebuild puts the whole table in place of what is there, in one transaction: no packet sees
// a half of it.
func (t *table) rebuild(want ruleset) error {
	err := t.with(func(c *nftables.Conn) error {
		c.AddTable(t.table()) // so that there is one to delete
		c.DelTable(t.table())
		tab := c.AddTable(t.table())
		sets := t.sets()
		for _, name := range slices.Sorted(maps.Keys(sets)) {
			if err := c.AddSet(sets[name], nil); err != nil {
				return fmt.Errorf("set %s: %w", name, err)
			}
		}
		for _, ch := range t.chains {
			if err := addChain(c, tab, ch); err != nil {
				return err
			}
		}
		for _, ch := range diff(nil, want) {
			for part := range slices.Chunk(elements(ch.add), maxElements) {
				if err := c.SetAddElements(sets[ch.set], part); err != nil {
					return fmt.Errorf("set %s: %w", ch.set, err)
				}
			}
		}
		return c.Flush()
	})
	if err == nil {
		t.applied = want
	}
	return err
}

func addChain(c *nftables.Conn, tab *nftables.Table, ch chain) error {
	policy := nftables.ChainPolicyAccept
	added := c.AddChain(&nftables.Chain{
		Name: ch.name, Table: tab, Type: ch.kind, Hooknum: ch.hook, Priority: ch.priority, Policy: &policy,
	})
	for i, rule := range ch.rules {
		comment, err := mark(ch, i)
		if err != nil {
			return err
		}
		c.AddRule(&nftables.Rule{
			Table: tab, Chain: added, Exprs: rule, UserData: userdata.AppendString(nil, userdata.TypeComment, comment),
		})
	}
	return nil
}

// checkNone removes the table when there is one; that is drift if we did not know of it.
func (t *table) checkNone() (drift string, err error) {
	known := t.applied != nil
	var there bool
	err = t.with(func(c *nftables.Conn) error {
		all, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
		there = slices.ContainsFunc(all, func(have *nftables.Table) bool { return have.Name == t.name })
		return err
	})
	if err != nil || !there {
		return "", err
	}
	if !known {
		drift = "a table without a network"
	}
	return drift, t.remove()
}

// remove deletes the table.
func (t *table) remove() error {
	t.applied = nil
	return t.with(func(c *nftables.Conn) error {
		c.AddTable(t.table()) // so that there is one to delete
		c.DelTable(t.table())
		return c.Flush()
	})
}
