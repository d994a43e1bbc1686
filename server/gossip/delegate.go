package gossip

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/memberlist"
)

// delegate is what memberlist calls. It holds locks of its own then, so nothing here calls it.
type delegate Pool

func (d *delegate) pool() *Pool { return (*Pool)(d) }

// NodeMeta implements memberlist.Delegate.
func (d *delegate) NodeMeta(int) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := d.self.encode()
	if err != nil {
		return nil // New and Update let no such thing in
	}
	return b
}

// NotifyAlive implements memberlist.AliveDelegate: what can't be read is not let in.
func (d *delegate) NotifyAlive(n *memberlist.Node) error {
	p := d.pool()
	m, err := readNode(n)
	if err == nil {
		p.mu.Lock()
		if _, known := p.members[m.ID]; !known && len(p.members) >= p.cfg.MaxMembers {
			err = errFull(p.cfg.MaxMembers)
		}
		p.mu.Unlock()
	}
	if err != nil {
		p.refuse(n, err)
	}
	return err
}

// NotifyJoin implements memberlist.EventDelegate.
func (d *delegate) NotifyJoin(n *memberlist.Node) { d.pool().heard(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.pool().heard(n) }

// NotifyLeave implements memberlist.EventDelegate.
func (d *delegate) NotifyLeave(n *memberlist.Node) { d.pool().lost(n.Name) }

// NotifyConflict implements memberlist.ConflictDelegate. The address that is known stays until nobody
// answers there: a server that moved is believed a few seconds later, and one that takes another's ID is
// not while the other is there.
func (d *delegate) NotifyConflict(known, other *memberlist.Node) {
	d.logger.log(slog.LevelDebug, "gossip: a server's ID comes from another address", "id", shown(known.Name), "known", known.Address(), "other", other.Address())
}

// NotifyMsg implements memberlist.Delegate.
func (d *delegate) NotifyMsg(b []byte) {
	m, err := decodeMessage(b)
	if err != nil {
		d.logger.log(slog.LevelDebug, "gossip: a message can't be read", "err", err)
		return
	}
	switch m.kind {
	case kindExpelled:
		if p := d.pool(); p.expel(*m.expelled) {
			p.queue.QueueBroadcast(broadcast(m.expelled.encode()))
		}
		return
	case kindKeysAre:
		d.pool().deliver(m)
		return
	}
	select {
	case d.inbox <- m:
	default:
		d.logger.log(slog.LevelWarn, "gossip: too many messages at once, one is dropped", "limit", cap(d.inbox))
	}
}

// GetBroadcasts implements memberlist.Delegate.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// broadcast is a message that all members pass on for a while.
type broadcast []byte

// Invalidates implements memberlist.Broadcast.
func (b broadcast) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(broadcast)
	return ok && string(o) == string(b)
}

// Message implements memberlist.Broadcast.
func (b broadcast) Message() []byte { return b }

// Finished implements memberlist.Broadcast.
func (b broadcast) Finished() {}

// Fields of what two members tell each other now and then, besides who is there.
const (
	fieldAbsent = iota + 1
	fieldKeys
)

// Fields of a member that is not there.
const (
	fieldMeta = iota + 1
	fieldAddr
	fieldPort
	fieldLeft
	fieldAge // in seconds
)

// maxAbsent bounds the members that one message tells of.
const maxAbsent = 256

// absent is a member that one who is there does not see.
type absent struct {
	meta
	age time.Duration
}

// LocalState implements memberlist.Delegate.
func (d *delegate) LocalState(bool) []byte {
	out := fields{metaVersion}
	d.mu.Lock()
	n := 0
	for _, m := range d.members {
		if m.present() || n >= maxAbsent {
			continue
		}
		if one := m.absent(time.Now()); one != nil {
			out.bytes(fieldAbsent, one)
			n++
		}
	}
	d.mu.Unlock()
	if d.keys != nil { // who reads this has one of the keys
		out.bytes(fieldKeys, d.keys.current().encode())
	}
	return out
}

func (m *member) absent(now time.Time) []byte {
	told, err := m.encode()
	if err != nil {
		return nil
	}
	var f fields
	f.bytes(fieldMeta, told)
	f.text(fieldAddr, m.Addr)
	f.number(fieldPort, uint64(m.Port))
	f.flag(fieldLeft, m.Status == StatusLeft)
	f.number(fieldAge, uint64(max(0, now.Sub(m.since).Seconds())))
	return f
}

// MergeRemoteState implements memberlist.Delegate.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	p := d.pool()
	gone, keys, err := decodeState(b)
	if err != nil {
		p.logger.log(slog.LevelDebug, "gossip: what another member knows can't be read", "err", err)
		return
	}
	for _, a := range gone {
		p.learn(a)
	}
	if keys != nil && p.keys != nil {
		_ = p.adopt(*keys) // it has been logged, and comes again
	}
}

func decodeState(b []byte) (gone []absent, keys *keySet, err error) {
	if len(b) == 0 || b[0] != metaVersion {
		return nil, nil, errors.New("state of another program or version")
	}
	err = eachField(b[1:], func(tag byte, value []byte) error {
		switch tag {
		case fieldAbsent:
			if len(gone) == maxAbsent {
				return fmt.Errorf("more than %d members that are gone", maxAbsent)
			}
			a, err := decodeAbsent(value)
			if err != nil {
				return err
			}
			gone = append(gone, a)
		case fieldKeys:
			set, err := decodeKeySet(value)
			if err != nil {
				return err
			}
			keys = &set
		}
		return nil
	})
	return gone, keys, err
}

// maxAge bounds what is taken for an age, so that it can be a duration.
const maxAge = 10 * 365 * 24 * 3600

func decodeAbsent(b []byte) (absent, error) {
	a := absent{}
	var m *meta
	var addr string
	var port, age uint64
	left := false
	err := eachField(b, func(tag byte, value []byte) (err error) {
		switch tag {
		case fieldMeta:
			m, err = decodeMeta(value)
		case fieldAddr:
			addr = string(value)
			err = checkText(addr)
		case fieldPort:
			port, err = readNumber(value)
		case fieldAge:
			age, err = readNumber(value)
		case fieldLeft:
			left = true
		}
		return err
	})
	switch {
	case err != nil:
		return a, err
	case m == nil || port > 65535:
		return a, errors.New("a member that is gone has no metadata or port")
	}
	a.meta, a.age = *m, time.Duration(min(age, maxAge))*time.Second
	a.Addr, a.Port, a.Status = addr, uint16(port), StatusFailed
	if left {
		a.Status = StatusLeft
	}
	return a, nil
}
