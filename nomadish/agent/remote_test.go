package agent_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/nomadish/nomadish/client"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/function"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/server"
)

// A client node in an agent of its own runs what a server gives it, and passes its users'
// requests on to the server with their own rights, not with the node's.
func TestNodeWithoutAServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc := free.Addr().String()
	free.Close()
	decider := agent.Config{Name: "server", DataDir: t.TempDir(), Server: &server.Config{}, RPC: rpc}
	doer := agent.Config{
		Name: "node", DataDir: t.TempDir(), Client: &client.Config{}, Servers: []string{rpc},
		Drivers: map[string]drivers.Driver{"function": function.New(func(context.Context, *drivers.TaskSpec) int { return 0 })},
	}
	err = agent.With(ctx, decider, func(ctx context.Context, atServer *api.Client) error {
		if err := awaitLeader(ctx, atServer); err != nil {
			return err
		}
		return agent.With(ctx, doer, func(ctx context.Context, atNode *api.Client) error {
			return errors.Join(atServer.Jobs().Finish(ctx, job("from-server")), atNode.Jobs().Finish(ctx, job("from-node")))
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}
