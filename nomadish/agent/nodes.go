package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server/gossip"
	"github.com/nomadish/nomadish/server/leader/liveness"
)

// serverAddrs lists where the region's servers are reached by nodes.
func (a *Agent) serverAddrs() []string {
	var addrs []string
	if a.pool != nil {
		for _, m := range a.pool.Members() {
			if m.Region == a.cfg.Region && m.Status == gossip.StatusAlive && m.RPC != "" {
				addrs = append(addrs, m.RPC)
			}
		}
	}
	if own := a.rpcAddress(); len(addrs) == 0 && own != "" {
		addrs = append(addrs, own)
	}
	return addrs
}

// newChoice makes the way to the servers of an agent that is none: those that its configuration names,
// and those that an earlier one was told of.
func (a *Agent) newChoice() error {
	if a.cfg.Server == nil {
		a.servers = a.hub.Choose(transport.ChoiceConfig{Servers: append(a.client.Servers(), a.cfg.Servers...), Logger: a.cfg.Logger})
	}
	return nil
}

// leased is told of the leases that the client is given.
func (a *Agent) leased(lease *nomadish.NodeLease) {
	if a.servers != nil {
		a.servers.Leased(lease, a.cfg.Servers)
	}
}

// sessionEnded is told of other agents that have no session with this one any more.
func (a *Agent) sessionEnded(p transport.Peer, cause error) {
	if a.server == nil || p.Kind != nomadish.CallerNode {
		return
	}
	how := nomadish.SessionClosed
	for _, silence := range []error{
		syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
		yamux.ErrKeepAliveTimeout, yamux.ErrConnectionWriteTimeout, yamux.ErrTimeout,
	} {
		if errors.Is(cause, silence) {
			how = nomadish.SessionTimedOut
		}
	}
	a.server.SessionEnded(p.ID, how)
}

// witnesses is what this server knows and asks of nodes and other servers.
type witnesses Agent

// Pulses tells of the sessions that nodes have with this server. Its own node is as alive as it is.
func (w *witnesses) Pulses() []nomadish.NodePulse {
	pulses := w.hub.Pulses()
	if w.client != nil {
		pulses = append(pulses, nomadish.NodePulse{NodeID: w.client.NodeID()})
	}
	return pulses
}

// Address returns where nodes reach a server.
func (w *witnesses) Address(server string) (string, error) { return (*Agent)(w).resolve(server) }

// Tell gives the leader, which is another server, a report.
func (w *witnesses) Tell(ctx context.Context, r *nomadish.WitnessReport) (*nomadish.WitnessAnswer, error) {
	way, err := (*router)(w).Leader(ctx)
	if err != nil {
		return nil, err
	}
	if way == nil { // it leads since a moment ago
		return w.server.Witness(ctx, r)
	}
	return askWay(w, way, func(n api.NodeAgent) (*nomadish.WitnessAnswer, error) { return n.Witness(ctx, r) })
}

// Probe has another server probe nodes.
func (w *witnesses) Probe(ctx context.Context, server string, ids []string) ([]nomadish.ProbeResult, error) {
	way, err := w.hub.Server(server)
	if err != nil {
		return nil, err
	}
	return askWay(w, way, func(n api.NodeAgent) ([]nomadish.ProbeResult, error) { return n.Probe(ctx, ids) })
}

// Whom to ask whether they hear of another node.
const (
	maxAsked = 2           // so many nodes
	heardOf  = time.Second // from which something came that lately
)

// Neighbours has nodes that have sessions with this server see whether machines at addresses answer
// them. One such answer will do.
func (w *witnesses) Neighbours(ctx context.Context, ids, addrs []string) []bool {
	vouched := make([]bool, len(addrs))
	var others []string
	for _, p := range w.hub.Pulses() {
		if p.Silent < heardOf && !slices.Contains(ids, p.NodeID) {
			others = append(others, p.NodeID)
		}
	}
	rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
	answers := make([][]bool, min(len(others), maxAsked))
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			way, err := w.hub.Node(others[i])
			if err != nil {
				return
			}
			// What can't be asked vouches for nobody.
			answers[i], _ = askWay(w, way, func(n api.NodeAgent) ([]bool, error) { return n.Neighbours(ctx, addrs) })
		})
	}
	wg.Wait()
	for _, answer := range answers {
		for i := range min(len(answer), len(vouched)) {
			vouched[i] = vouched[i] || answer[i]
		}
	}
	return vouched
}

// neighbours sees from this node whether other machines are there.
type neighbours struct{}

// Answer says of each address whether a machine answers there.
func (neighbours) Answer(ctx context.Context, addrs []string) []bool {
	answers := make([]bool, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		if addr != "" {
			wg.Go(func() { answers[i] = liveness.Answers(ctx, addr) })
		}
	}
	wg.Wait()
	return answers
}

// holder is the way to the server that has a session with a node.
func (w *witnesses) holder(ctx context.Context, nodeID string) (http.RoundTripper, error) {
	way, err := (*router)(w).Leader(ctx)
	if err != nil {
		return nil, err
	}
	var server string
	if way == nil {
		server, err = w.server.NodeHolder(ctx, nodeID)
	} else {
		server, err = askWay(w, way, func(n api.NodeAgent) (string, error) { return n.Holder(ctx, nodeID) })
	}
	if err != nil || server == w.id {
		return nil, nomadish.Errorf(nomadish.KindInternal, "No path to node")
	}
	return w.hub.Server(server)
}

func askWay[T any](w *witnesses, way http.RoundTripper, question func(api.NodeAgent) (T, error)) (none T, err error) {
	c, err := api.New(api.Config{Region: w.cfg.Region, Transport: way})
	if err != nil {
		return none, err
	}
	return question(c.NodeAgent())
}
