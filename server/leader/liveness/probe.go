package liveness

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Dial connects to an address and hangs up. Its error tells how it was answered.
type Dial func(ctx context.Context, addr string) error

func dialTCP(ctx context.Context, addr string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// answered says whether a machine answered, and how: who refuses or hangs up is there as well.
func answered(err error) (bool, string) {
	switch {
	case err == nil:
		return true, "connected"
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, "refused"
	case errors.Is(err, syscall.ECONNRESET):
		return true, "reset"
	}
	return false, err.Error()
}

// prober sees whether machines answer, and remembers which ever did: silence says nothing of those
// that no probe ever reached.
type prober struct {
	dial Dial

	mu      sync.Mutex
	nodes   map[string]*target
	unheard map[string]*target // those of nodes that have yet to answer
}

// target is where a node's machine is probed.
type target struct {
	addr  string
	heard bool      // it has answered there
	tried time.Time // when the survey last did
}

func newProber(dial Dial) *prober {
	return &prober{dial: dial, nodes: map[string]*target{}, unheard: map[string]*target{}}
}

// Answers says whether a machine answers at an address, be it with a refusal.
func Answers(ctx context.Context, addr string) bool {
	ok, _ := newProber(dialTCP).ask(ctx, addr)
	return ok
}

// Probe sees whether the machines of nodes answer this server, or a neighbour of theirs.
func (l *Leases) Probe(ctx context.Context, ids []string) []nomadish.ProbeResult {
	results, addrs := l.prober.targets(ids[:min(len(ids), maxProbes)])
	vouched := make([]bool, len(results))
	var wg sync.WaitGroup
	if l.cfg.Peers != nil {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, vouchTimeout)
			defer cancel()
			vouched = l.cfg.Peers.Neighbours(ctx, ids, addrs)
		})
	}
	l.prober.probe(ctx, results, addrs)
	wg.Wait()
	for i := range results {
		results[i].Vouched = !results[i].Answered && i < len(vouched) && vouched[i]
	}
	return results
}

// targets says where nodes are probed, and which have answered there.
func (p *prober) targets(ids []string) (results []nomadish.ProbeResult, addrs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	results, addrs = make([]nomadish.ProbeResult, len(ids)), make([]string, len(ids))
	for i, id := range ids {
		results[i] = nomadish.ProbeResult{NodeID: id, How: "it says no address"}
		if t := p.nodes[id]; t != nil {
			results[i].Before, addrs[i] = t.heard, t.addr
		}
	}
	return results, addrs
}

// probe asks all machines at once, and fills in how they answered.
func (p *prober) probe(ctx context.Context, results []nomadish.ProbeResult, addrs []string) {
	var wg sync.WaitGroup
	for i, addr := range addrs {
		if addr == "" {
			continue
		}
		wg.Go(func() {
			results[i].Answered, results[i].How = p.ask(ctx, addr)
			if results[i].Answered {
				p.heard(results[i].NodeID, addr)
			}
		})
	}
	wg.Wait()
}

// heard notes that a node's machine has answered at an address.
func (p *prober) heard(id, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.nodes[id]; t != nil && t.addr == addr {
		t.heard = true
	}
}

// ask connects, and once more a little later: packets get lost.
func (p *prober) ask(ctx context.Context, addr string) (bool, string) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	tries := make(chan error)
	for i := range probeTries {
		go func() {
			err := lifecycle.Sleep(ctx, time.Duration(i)*probeTimeout/(probeTries+1))
			if err == nil {
				err = p.dial(ctx, addr)
			}
			tries <- err
		}()
	}
	ok, how := false, ""
	for range probeTries {
		err := <-tries
		if yes, by := answered(err); yes || !ok {
			ok, how = yes || ok, by
		}
		if ok {
			cancel() // the others end with it
		}
	}
	return ok, how
}

// surveys probes nodes that never answered here, so that their silence will tell something later.
func (l *Leases) surveys(ctx context.Context) error {
	var index uint64
	for {
		if nodes, now := l.cfg.Nodes(index); now != index {
			index = now
			l.prober.know(nodes)
			l.mu.Lock()
			l.known = len(nodes)
			l.mu.Unlock()
		}
		if ids := l.prober.due(time.Now()); len(ids) > 0 {
			results, addrs := l.prober.targets(ids)
			l.prober.probe(ctx, results, addrs)
		}
		if lifecycle.Sleep(ctx, surveyEvery) != nil {
			return nil
		}
	}
}

// know takes over which nodes there are, and where.
func (p *prober) know(nodes []Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	there := make(map[string]*target, len(nodes))
	clear(p.unheard)
	for _, n := range nodes {
		t := p.nodes[n.ID]
		if t == nil || t.addr != n.Addr {
			t = &target{addr: n.Addr}
		}
		there[n.ID] = t
		if !t.heard && t.addr != "" {
			p.unheard[n.ID] = t
		}
	}
	p.nodes = there
}

// due returns nodes that are to be probed as they never answered.
func (p *prober) due(now time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for id, t := range p.unheard {
		switch {
		case t.heard:
			delete(p.unheard, id)
		case now.Sub(t.tried) >= surveyAgain && len(ids) < maxProbes:
			t.tried = now
			ids = append(ids, id)
		}
	}
	return ids
}
