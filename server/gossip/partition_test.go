package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// cut is a network between pools that can be cut in two.
type cut struct {
	mu   sync.Mutex
	side map[int]bool // by port of gossip; nil: the network is whole
}

func (c *cut) set(side map[int]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.side = side
}

// apart says whether nothing gets from one port to another.
func (c *cut) apart(from int, to string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, text, err := net.SplitHostPort(to)
	port, convErr := strconv.Atoi(text)
	return c.side != nil && (err != nil || convErr != nil || c.side[from] != c.side[port])
}

// cutPackets drops what does not get through.
type cutPackets struct {
	net.PacketConn
	cut  *cut
	from int
}

func (p cutPackets) WriteTo(b []byte, to net.Addr) (int, error) {
	if p.cut.apart(p.from, to.String()) {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}

var errCut = errors.New("the network is cut")

func (c *cut) join(p *Pool) {
	port := p.sockets.advertise.Port
	p.sockets.udp = cutPackets{p.sockets.udp, c, port}
	dial := p.sockets.dial
	p.sockets.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if c.apart(port, addr) {
			return nil, errCut
		}
		return dial(ctx, network, addr)
	}
}

// Two halves of a pool that did not see each other for a while find together again, though nobody tells them.
func TestHalvesFindTogether(t *testing.T) {
	network := &cut{}
	pools := map[string]*Pool{}
	side := map[int]bool{}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i, id := range []string{"a", "b", "c", "d"} {
		p, err := New(Config{
			Self: Member{ID: id, Name: id, Region: "global"}, Bind: "127.0.0.1:0",
			ProbeInterval: 100 * time.Millisecond, RejoinEvery: 200 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		network.join(p)
		pools[id], side[p.sockets.advertise.Port] = p, i < 2
		running.Go(func() {
			if err := p.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for _, id := range []string{"b", "c", "d"} {
		if _, err := pools[id].Join(ctx, []string{pools["a"].Addr().String()}); err != nil {
			t.Fatal(err)
		}
	}
	whole := map[string]string{"a": StatusAlive, "b": StatusAlive, "c": StatusAlive, "d": StatusAlive}
	await(t, pools, func(string) map[string]string { return whole })
	network.set(side)
	await(t, pools, func(id string) map[string]string {
		ours, theirs := StatusAlive, StatusFailed
		if id == "c" || id == "d" {
			ours, theirs = theirs, ours
		}
		return map[string]string{"a": ours, "b": ours, "c": theirs, "d": theirs}
	})
	network.set(nil)
	await(t, pools, func(string) map[string]string { return whole })
}

// await waits until each pool sees what it should.
func await(t *testing.T, pools map[string]*Pool, want func(id string) map[string]string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for id, p := range pools {
		for {
			changed := p.Changed()
			got := map[string]string{}
			for _, m := range p.Members() {
				got[m.ID] = m.Status
			}
			if fmt.Sprint(got) == fmt.Sprint(want(id)) {
				break
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatalf("%s sees %v, want %v", id, got, want(id))
			}
		}
	}
}
