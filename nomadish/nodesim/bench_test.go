package nodesim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
	"github.com/nomadish/nomadish/nomadish/transport"
	"github.com/nomadish/nomadish/server"
)

// withNodes calls use with a server of this process that knows 5,000 nodes.
func withNodes(b *testing.B, use func(ctx context.Context, a *agent.Agent, nodes []*nomadish.Node) error) {
	b.Helper()
	a, err := agent.New(agent.Config{Name: "server", DataDir: b.TempDir(), Server: &server.Config{}})
	if err != nil {
		b.Fatal(err)
	}
	err = lifecycle.Run(b.Context(), a.Run, func(ctx context.Context) error {
		nodes := describe(Config{Nodes: 5000}.withDefaults())
		return errors.Join(registerAll(ctx, a, nodes), use(ctx, a, nodes))
	})
	if err != nil {
		b.Fatal(err)
	}
}

// asNode is a node's way to the server without a connection.
func asNode(a *agent.Agent, n *nomadish.Node) (api.NodeAgent, error) {
	way := transport.InProcess(a, transport.Peer{Kind: nomadish.CallerNode, ID: n.ID})
	c, err := api.New(api.Config{Transport: way, NodeID: n.ID, NodeSecret: n.SecretID})
	if err != nil {
		return api.NodeAgent{}, err
	}
	return c.NodeAgent(), nil
}

// registerAll registers nodes, many at a time.
func registerAll(ctx context.Context, a *agent.Agent, nodes []*nomadish.Node) error {
	var (
		wg    sync.WaitGroup
		slots = make(chan struct{}, 64)
		errs  = make([]error, len(nodes))
	)
	for i, n := range nodes {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = registered(ctx, a, n)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// registered registers a node, also while the server is only just starting.
func registered(ctx context.Context, a *agent.Agent, n *nomadish.Node) error {
	servers, err := asNode(a, n)
	for err == nil {
		if _, err = servers.Register(ctx, n); err == nil || nomadish.KindOf(err) != nomadish.KindNoLeader {
			break
		}
		err = lifecycle.Sleep(ctx, 10*time.Millisecond)
	}
	return err
}

// BenchmarkHeartbeat renews a lease through the route, without a connection.
func BenchmarkHeartbeat(b *testing.B) {
	withNodes(b, func(ctx context.Context, a *agent.Agent, nodes []*nomadish.Node) error {
		servers, err := asNode(a, nodes[0])
		b.ReportAllocs()
		for b.Loop() {
			_, beat := servers.Heartbeat(ctx, nodes[0].ID, nomadish.NodeStatusReady)
			err = errors.Join(err, beat)
		}
		return err
	})
}

// BenchmarkNodes lists all nodes, as JSON.
func BenchmarkNodes(b *testing.B) {
	withNodes(b, func(ctx context.Context, a *agent.Agent, _ []*nomadish.Node) error {
		way := transport.InProcess(a, transport.Peer{Addr: "in-process"})
		b.ReportAllocs()
		for b.Loop() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/v1/nodes?stale", http.NoBody)
			if err != nil {
				return err
			}
			resp, err := way.RoundTrip(req)
			if err != nil {
				return err
			}
			n, err := io.Copy(io.Discard, resp.Body)
			if err := errors.Join(err, resp.Body.Close()); err != nil {
				return err
			}
			b.SetBytes(n)
		}
		return nil
	})
}
