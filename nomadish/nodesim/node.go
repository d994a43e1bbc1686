package nodesim

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
)

// node is a simulated node. Between requests it is a connection, a watch that waits and a timer.
type node struct {
	fleet   *Fleet
	self    *nomadish.Node
	servers api.NodeAgent
	way     *transport.Choice
	known   atomic.Bool // the servers have taken it once

	lost chan struct{} // poked when a request found the connection gone

	mu     sync.Mutex
	online chan struct{} // closed while the servers can be asked
	ledger *ledger
	busy   bool // somebody reports
	again  bool // and is to look once more
}

func newNode(f *Fleet, self *nomadish.Node) *node {
	return &node{fleet: f, self: self, lost: make(chan struct{}, 1), online: make(chan struct{}), ledger: newLedger(f.cfg)}
}

// run is the node's life.
func (n *node) run(ctx context.Context) {
	if err := n.live(ctx); err != nil {
		n.fleet.meter.fail(err)
		n.fleet.cfg.Logger.Error("a simulated node ended", "node", n.self.ID, "err", err)
	}
}

func (n *node) live(ctx context.Context) error {
	cfg := n.fleet.cfg
	hub, err := transport.NewHub(transport.HubConfig{
		Self: transport.Hello{
			Kind: nomadish.CallerNode.String(), ID: n.self.ID, Secret: n.self.SecretID.Reveal(), Region: cfg.Region, Build: "simulated",
		},
		TLS: n.fleet.tls, Logger: cfg.Logger,
	}, http.HandlerFunc(refuse))
	if err != nil {
		return err
	}
	n.way = hub.Choose(transport.ChoiceConfig{Servers: cfg.Servers, Logger: cfg.Logger})
	client, err := api.New(api.Config{
		Transport: n.way, Region: cfg.Region,
		NodeID: n.self.ID, NodeSecret: n.self.SecretID, Token: cfg.IntroToken,
	})
	if err != nil {
		return err
	}
	n.servers = client.NodeAgent()
	return lifecycle.Run(ctx, hub.Run, n.way.Run, n.keepLease, n.watch)
}

// refuse answers what servers ask of the node: it has nothing to show.
func refuse(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "the node is simulated", http.StatusNotImplemented)
}

// backoff is the pause after an error, twice as long each time.
type backoff time.Duration

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
)

func (b *backoff) wait(ctx context.Context) error {
	d := max(time.Duration(*b), firstPause)
	*b = backoff(min(2*d, maxPause))
	return lifecycle.Sleep(ctx, d/2+rand.N(d)) // so that thousands don't come back at once
}

// keepLease registers the node and renews its lease. It alone connects.
func (n *node) keepLease(ctx context.Context) error {
	defer n.setOffline()
	pause, renew := backoff(0), n.register
	for ctx.Err() == nil {
		lease, err := n.connect(ctx, renew)
		if err != nil && nomadish.KindOf(err) == nomadish.KindNotFound {
			renew = n.register
			continue
		}
		if err != nil {
			if pause.wait(ctx) != nil {
				break
			}
			continue
		}
		n.way.Leased(lease, n.fleet.cfg.Servers)
		pause, renew = 0, n.beat
		n.setOnline()
		n.wait(ctx, lease.HeartbeatTTL)
	}
	return nil
}

// connect renews the lease when it is the node's turn: until it has, it counts as a stranger.
func (n *node) connect(ctx context.Context, renew func(context.Context) (*nomadish.NodeLease, error)) (*nomadish.NodeLease, error) {
	select {
	case n.fleet.gate <- struct{}{}:
		defer func() { <-n.fleet.gate }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	lease, err := renew(ctx)
	if err != nil && ctx.Err() == nil {
		n.setOffline()
		n.fleet.meter.fail(err)
	}
	return lease, err
}

func (n *node) register(ctx context.Context) (*nomadish.NodeLease, error) {
	begin := time.Now()
	lease, err := n.servers.Register(ctx, n.self)
	if err == nil {
		n.known.Store(true)
		n.fleet.meter.register.add(time.Since(begin))
	}
	return lease, err
}

func (n *node) beat(ctx context.Context) (*nomadish.NodeLease, error) {
	begin := time.Now()
	lease, err := n.servers.Heartbeat(ctx, n.self.ID, nomadish.NodeStatusReady)
	if err == nil {
		n.fleet.meter.heartbeat.add(time.Since(begin))
	}
	return lease, err
}

// wait returns when the lease is to be renewed, or the connection is lost.
func (n *node) wait(ctx context.Context, ttl time.Duration) {
	ttl = max(ttl, 100*time.Millisecond)
	timer := time.NewTimer(ttl/2 + rand.N(ttl/4))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-n.lost:
		n.fleet.meter.reconnects.Add(1)
		n.setOffline()
	}
}

func (n *node) setOnline() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.online:
	default:
		close(n.online)
		n.fleet.meter.online.Add(1)
	}
}

func (n *node) setOffline() {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.online:
		n.online = make(chan struct{})
		n.fleet.meter.online.Add(-1)
	default:
	}
}

// awaitOnline returns when the servers can be asked.
func (n *node) awaitOnline(ctx context.Context) error {
	n.mu.Lock()
	online := n.online
	n.mu.Unlock()
	select {
	case <-online:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// failed notes an error of a request. One that is no answer says that the connection is gone.
func (n *node) failed(err error) {
	n.fleet.meter.fail(err)
	var answer *api.Error
	if !errors.As(err, &answer) {
		n.setOffline()
		select {
		case n.lost <- struct{}{}:
		default:
		}
	}
}

// watch follows what the servers want of the node.
func (n *node) watch(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	known, pause := &nomadish.NodeAllocations{}, backoff(0)
	for n.awaitOnline(ctx) == nil {
		answer, err := n.servers.Allocations(ctx, n.self.ID, known.Index, known.Count)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			n.failed(err)
			if pause.wait(ctx) != nil {
				break
			}
			continue
		}
		pause = 0
		n.fleet.meter.answers.Add(1)
		known = &nomadish.NodeAllocations{Index: answer.Index, Count: answer.Count}
		n.mu.Lock()
		fresh := n.ledger.take(answer, time.Now())
		report := len(n.ledger.allocs) > 0 && !n.busy
		n.again = n.busy
		n.busy = n.busy || report
		n.mu.Unlock()
		n.fleet.meter.arrived.Add(uint64(len(fresh)))
		for _, a := range fresh {
			n.fleet.meter.arrive.add(time.Since(time.Unix(0, a.CreateTime)))
		}
		if report {
			wg.Go(func() { n.report(ctx) })
		}
	}
	return nil
}
