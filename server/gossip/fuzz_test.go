package gossip

import (
	"bytes"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// whole is metadata that has everything.
func whole() *meta {
	return &meta{Member: Member{
		ID: "8d87a371-0000-4000-8000-000000000001", Name: "s1", Region: "global", Datacenter: "dc1", Build: "1.2.3",
		RPC: "10.0.0.1:4647", HTTP: "10.0.0.1:4646", Expect: 3, Nonvoter: true, HasState: true,
		Cluster: "0f2c1ad9-4ab5-4a4e-9d13-3f1f5a4cbb01/1049000",
	}, boot: 1795000000, leaving: true}
}

// What a member tells of itself is read as it was written, and of what can't be read nothing is taken.
func FuzzMeta(f *testing.F) {
	b, err := whole().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{metaVersion})
	f.Add([]byte{metaVersion, fieldID, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			if m != nil {
				t.Errorf("%+v beside %v", m, err)
			}
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatalf("%+v was read and can't be written: %v", m, err)
		}
		read, err := decodeMeta(again)
		if err != nil || !m.same(read) || read.boot != m.boot || read.leaving != m.leaving {
			t.Errorf("%+v became %+v, %v", m, read, err)
		}
	})
}

// Whatever packets bring, the pool neither panics nor grows beyond its bounds.
func FuzzPackets(f *testing.F) {
	b, err := whole().encode()
	if err != nil {
		f.Fatal(err)
	}
	gone := &member{meta: *whole(), since: time.Now()}
	set := keySet{Version: 3, Keys: [][]byte{bytes.Repeat([]byte{1}, 32)}}
	state := fields{metaVersion}
	state.bytes(fieldAbsent, gone.absent(time.Now()))
	state.bytes(fieldKeys, set.encode())
	f.Add([]byte(state))
	f.Add(expelled{id: "x", boot: 7, prune: true}.encode())
	f.Add(message{kind: kindKeysSet, query: 1, from: "x", keys: &set}.encode())
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := bare(4)
		d := (*delegate)(p)
		n := &memberlist.Node{Name: "x", Addr: []byte{127, 0, 0, 1}, Port: 1, Meta: b}
		if d.NotifyAlive(n) == nil {
			d.NotifyJoin(n)
		}
		for i := range 3 {
			d.NotifyMsg(b)
			d.MergeRemoteState(b, i == 0)
		}
		d.NotifyLeave(n)
		if len(p.members) > p.cfg.MaxMembers || len(p.pruned) > p.cfg.MaxMembers || len(p.inbox) > cap(p.inbox) || len(p.refused) > maxRefused {
			t.Errorf("%d members, %d pruned", len(p.members), len(p.pruned))
		}
		if m := p.members["self"]; m == nil || m.Status != StatusAlive {
			t.Errorf("this server is %+v to itself", m)
		}
	})
}

// bare is a pool without sockets.
func bare(limit int) *Pool {
	p := &Pool{
		cfg:     Config{Self: Member{ID: "self", Name: "self", Region: "global"}, MaxMembers: limit}.withDefaults(),
		inbox:   make(chan message, 2),
		members: map[string]*member{}, pruned: map[string]pruned{}, refused: map[string]bool{},
		changed: make(chan struct{}), asks: map[uint64]chan<- keyAnswer{},
	}
	p.logger = &gate{logger: p.cfg.Logger}
	p.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: 4, NumNodes: p.size}
	p.self = meta{Member: p.cfg.Self}
	p.self.Status = StatusAlive
	p.members["self"] = &member{meta: p.self, since: time.Now()}
	return p
}

// A key set is read as it was written.
func FuzzKeySet(f *testing.F) {
	f.Add(keySet{Version: 3, Keys: [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 16)}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeKeySet(b)
		if err != nil {
			return
		}
		if again, err := decodeKeySet(s.encode()); err != nil || !again.equal(s) || again.newer(s) {
			t.Errorf("%v became %v, %v", s, again, err)
		}
	})
}
