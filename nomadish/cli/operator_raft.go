package cli

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func raftListPeersCommand() command {
	return command{
		words: "operator raft list-peers", summary: "List the servers between which the state is replicated",
		example: "  nomadish operator raft list-peers",
		reads:   true,
		run:     runRaftListPeers,
	}
}

func runRaftListPeers(ctx context.Context, c *call) error {
	c.readFlags()
	stale := c.flags.Bool("stale", false, "as any server knows it: it works without a leader, too")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	conf, err := client.Operator().RaftConfiguration(ctx, &api.Query{Stale: *stale})
	if err != nil {
		return err
	}
	return c.show(conf, func(p *page) {
		rows := make([][]string, len(conf.Servers))
		for i, s := range conf.Servers {
			state := "follower"
			if s.Leader {
				state = "leader"
			}
			rows[i] = []string{s.Node, s.ID, s.Address, state, yesNo(s.Voter), s.RaftProtocol}
		}
		p.table([]string{"Node", "ID", "Address", "State", "Voter", "RaftProtocol"}, rows)
	})
}

func raftRemovePeerCommand() command {
	return command{
		words: "operator raft remove-peer", summary: "Remove a server that is gone for good from the cluster",
		help:    "  A majority of the servers that are left has to work.",
		example: "  nomadish operator raft remove-peer -peer-id 6d7c7e1f-2b9d-4c2e-8f4b-0a4b5cf7f7b1",
		run:     runRaftRemovePeer,
	}
}

func runRaftRemovePeer(ctx context.Context, c *call) error {
	c.remoteFlags()
	id := c.flags.String("peer-id", "", "`ID` of the server, as list-peers has it")
	revoke := c.flags.Bool("revoke", false, "also refuse its certificates, which it could come back with (\"operator ca revoke\")")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if *id == "" {
		return c.misused("-peer-id is required")
	}
	if *revoke {
		if _, err := client.Authorities().Revoke(ctx, &nomadish.RevokeRequest{Role: "server", AgentID: *id, Reason: "removed"}); err != nil {
			return err
		}
	}
	if err := client.Operator().RemoveRaftPeer(ctx, *id); err != nil {
		return err
	}
	if !*revoke {
		return c.print("Server %s is removed. If it could come back against your will, \"nomadish operator ca revoke server/%s\".\n", *id, *id)
	}
	return c.print("Server %s is removed, and its certificates are refused.\n", *id)
}

func raftTransferLeadershipCommand() command {
	return command{
		words: "operator raft transfer-leadership", summary: "Make another server the leader",
		help:    "  Without a flag it is the server that knows most.",
		example: "  nomadish operator raft transfer-leadership",
		run:     runRaftTransferLeadership,
	}
}

func runRaftTransferLeadership(ctx context.Context, c *call) error {
	c.remoteFlags()
	id := c.flags.String("peer-id", "", "`ID` of the server, as list-peers has it")
	address := c.flags.String("peer-address", "", "`address` of the server, as list-peers has it")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if *id != "" && *address != "" {
		return c.misused("-peer-id and -peer-address exclude each other")
	}
	out, err := client.Operator().TransferLeadership(ctx, *id, *address)
	switch {
	case err != nil:
		return err
	case out.Noop:
		return c.print("Server %s leads already.\n", out.To.ID)
	case out.To.ID == "":
		return c.print("Server %s has handed over the lead.\n", out.From.ID)
	}
	return c.print("Server %s has handed over the lead to %s.\n", out.From.ID, out.To.ID)
}
