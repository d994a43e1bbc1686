package gossip

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nomadish/nomadish/nomadish"
)

// member is what is known of a member.
type member struct {
	meta
	since    time.Time // it has its status
	expelled bool      // once it does not answer, it has left
}

// pruned says that a member was taken out, as it was at one of its starts.
type pruned struct {
	boot  uint64
	since time.Time
}

// same says whether two members tell the same of themselves.
func (m *meta) same(other *meta) bool {
	a, err := m.encode()
	b, otherErr := other.encode()
	return err == nil && otherErr == nil && string(a) == string(b) && m.Addr == other.Addr && m.Port == other.Port
}

// Members lists the servers of all regions by name, those that failed or left lately too.
func (p *Pool) Members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Member, 0, len(p.members))
	for _, m := range p.members {
		list = append(list, m.withTags())
	}
	slices.SortFunc(list, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.FullName(), b.FullName()), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Member returns the server with that ID.
func (p *Pool) Member(id string) (Member, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.members[id]
	if !ok {
		return Member{}, false
	}
	return m.withTags(), true
}

// Since says for how long a member has had its status.
func (p *Pool) Since(id string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m, ok := p.members[id]; ok {
		return time.Since(m.since)
	}
	return 0
}

// Changed returns a channel that is closed when Members has changed.
func (p *Pool) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// tell wakes who waits for Changed, for who has locked mu.
func (p *Pool) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// size is the number of members that are present, this one too.
func (p *Pool) size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, m := range p.members {
		if m.present() {
			n++
		}
	}
	return n
}

// ForceLeave has the pool take a member that failed for one that left, and with prune forget it at once.
// The member is named by name and region, by its name in this server's region, or by its ID. One that is
// alive is said to be leaving, or is forgotten for a moment, and goes on until it really is gone.
func (p *Pool) ForceLeave(ctx context.Context, name string, prune bool) error {
	if err := p.ready(ctx); err != nil {
		return err
	}
	for _, m := range p.named(name) {
		notice := expelled{id: m.ID, boot: m.boot, prune: prune}
		if p.expel(notice) {
			p.queue.QueueBroadcast(broadcast(notice.encode()))
		}
	}
	return nil
}

// Known says whether a name as ForceLeave takes it is of a member.
func (p *Pool) Known(name string) bool { return len(p.named(name)) > 0 }

func (p *Pool) named(name string) []meta {
	p.mu.Lock()
	defer p.mu.Unlock()
	var found []meta
	for _, m := range p.members {
		if name == m.ID || name == m.FullName() || name == m.Name && m.Region == p.self.Region {
			found = append(found, m.meta)
		}
	}
	return found
}

// expel applies such a notice, and says whether it was news.
func (p *Pool) expel(e expelled) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.prune {
		if p.pruned[e.id].boot >= e.boot {
			return false
		}
		if len(p.pruned) < p.cfg.MaxMembers {
			p.pruned[e.id] = pruned{boot: e.boot, since: time.Now()}
		}
	}
	m, ok := p.members[e.id]
	switch {
	case !ok || m.boot > e.boot || e.id == p.self.ID:
		return false // it has been started since, or was never here
	case e.prune:
		delete(p.members, e.id)
	case m.Status == StatusLeft || m.expelled:
		return false
	case m.present():
		m.Status, m.expelled = StatusLeaving, true
	default:
		m.Status, m.since = StatusLeft, time.Now()
	}
	p.tell()
	return true
}

// prunedLately says whether a member was taken out so lately that it may not have been missed yet.
func (p *Pool) prunedLately(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.pruned[id]
	return ok && time.Since(was.since) < 2*p.cfg.RejoinEvery
}

// forget drops members that are gone for long.
func (p *Pool) forget(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, m := range p.members {
		if !m.present() && now.Sub(m.since) > p.keepFor(m.Status) {
			delete(p.members, id)
			p.tell()
		}
	}
	for id, was := range p.pruned {
		if now.Sub(was.since) > p.cfg.ForgetFailed {
			delete(p.pruned, id)
		}
	}
}

func (p *Pool) keepFor(status string) time.Duration {
	if status == StatusLeft {
		return p.cfg.ForgetLeft
	}
	return p.cfg.ForgetFailed
}

// heard takes what memberlist says of a member that is there.
func (p *Pool) heard(n *memberlist.Node) {
	next, err := readNode(n)
	if err != nil {
		p.refuse(n, err) // NotifyAlive has refused it before
		return
	}
	next.Status = StatusAlive
	if next.leaving {
		next.Status = StatusLeaving
	}
	if next.ID == p.cfg.Self.ID {
		return // what this server is, it knows best
	}
	if p.note(next) {
		p.logger.log(slog.LevelInfo, "a server is in the pool", "server", next.FullName(), "id", next.ID, "addr", next.RPC)
	}
}

// note takes what a member says of itself, and returns whether it was not there before.
func (p *Pool) note(next *meta) (appeared bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.pruned, next.ID)
	delete(p.refused, next.ID)
	last, known := p.members[next.ID]
	expelled := known && last.expelled && last.boot == next.boot
	if expelled {
		next.Status = StatusLeaving
	}
	if known && last.Status == next.Status && last.meta.same(next) {
		return false
	}
	entry := &member{meta: *next, since: time.Now(), expelled: expelled}
	if known && last.Status == next.Status {
		entry.since = last.since
	}
	p.members[next.ID] = entry
	p.tell()
	return !known || !last.present()
}

// lost takes that a member is not there any more.
func (p *Pool) lost(id string) {
	if m, ok := p.miss(id); ok {
		p.logger.log(slog.LevelInfo, "a server is gone from the pool", "server", m.FullName(), "id", m.ID, "status", m.Status)
	}
}

func (p *Pool) miss(id string) (Member, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m, ok := p.members[id]
	if !ok || !m.present() || id == p.self.ID {
		return Member{}, false
	}
	m.Status, m.since = StatusFailed, time.Now()
	if m.leaving || m.expelled {
		m.Status = StatusLeft
	}
	p.tell()
	return m.Member, true
}

// learn takes what another member says of one that is not there. That may be news only where this server
// does not see it itself.
func (p *Pool) learn(a absent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.ID == p.self.ID || a.age > p.keepFor(a.Status) || p.pruned[a.ID].boot >= max(a.boot, 1) {
		return
	}
	m, ok := p.members[a.ID]
	switch {
	case !ok && len(p.members) >= p.cfg.MaxMembers:
		return
	case !ok:
		p.members[a.ID] = &member{meta: a.meta, since: time.Now().Add(-a.age)}
	case m.present() || a.boot < m.boot || a.Status != StatusLeft || m.Status == StatusLeft:
		return
	default:
		m.Status, m.since = StatusLeft, time.Now().Add(-a.age)
	}
	p.tell()
}

// readNode reads what a node of memberlist's says of itself.
func readNode(n *memberlist.Node) (*meta, error) {
	m, err := decodeMeta(n.Meta)
	if err != nil {
		return nil, err
	}
	if m.ID != n.Name {
		return nil, fmt.Errorf("metadata of another server: %s", m.ID)
	}
	if len(n.Addr) != 4 && len(n.Addr) != 16 || n.Port == 0 {
		return nil, fmt.Errorf("no address of gossip")
	}
	m.Addr, m.Port = n.Addr.String(), n.Port
	return m, nil
}

// refuse notes that a server can't be let in, and says so once.
func (p *Pool) refuse(n *memberlist.Node, reason error) {
	p.mu.Lock()
	known := p.refused[n.Name] || len(p.refused) >= maxRefused
	if !known {
		p.refused[n.Name] = true
	}
	p.mu.Unlock()
	if known {
		return
	}
	p.logger.log(slog.LevelWarn, "a server is not let into the pool", "name", shown(n.Name), "addr", n.Address(), "err", reason)
}

// maxRefused bounds the strangers that are remembered, so that each is logged once.
const maxRefused = 64

// shown is a stranger's text as it may be logged.
func shown(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return fmt.Sprintf("%q", s)
}

// errFull is why another member is not let in.
func errFull(limit int) error {
	return nomadish.Errorf(nomadish.KindLimited, "the pool has %d servers, which is its limit", limit)
}
