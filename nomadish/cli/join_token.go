package cli

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func joinTokenCreateCommand() command {
	return command{
		words: "join-token create", summary: "Make a token with which a machine joins the cluster",
		help: `  It is shown now, and never again: pass it on to "nomadish join". Who has one for a server gets
  the keys that servers share, so let nobody else see it.`,
		example: `  nomadish join-token create
  nomadish join-token create -server -ttl 10m`,
		reads: true, run: runJoinTokenCreate,
	}
}

func runJoinTokenCreate(ctx context.Context, c *call) error {
	c.readFlags()
	server := c.flags.Bool("server", false, "for a server; default: for a client node")
	asClient := c.flags.Bool("client", false, "for a client node")
	req := &nomadish.JoinTokenRequest{Role: "client"}
	c.flags.DurationVar(&req.TTL, "ttl", nomadish.JoinTokenTTL, "how long the token is good")
	c.flags.IntVar(&req.Uses, "uses", 1, "how many machines may join with it")
	c.flags.StringVar(&req.NodePool, "node-pool", "", "pool that the node is to be of; default: as it likes")
	if err := c.parse(0, 0); err != nil {
		return err
	}
	if *server && *asClient {
		return c.misused("-server and -client exclude each other")
	}
	if *server {
		req.Role = "server"
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.Authorities().CreateJoinToken(ctx, req)
	if err != nil {
		return err
	}
	return c.show(resp, func(p *page) { p.line("%s", resp.Text.Reveal()) })
}

func joinTokenListCommand() command {
	return command{words: "join-token list", summary: "List the join tokens that can still be used", example: "  nomadish join-token list", reads: true, run: runJoinTokenList}
}

func runJoinTokenList(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	tokens, _, err := client.Authorities().JoinTokens(ctx, nil)
	if err != nil {
		return err
	}
	return c.show(tokens, func(p *page) {
		rows := make([][]string, len(tokens))
		for i, t := range tokens {
			rows[i] = []string{t.ID, t.Role, t.NodePool, plural(t.Uses, "use"), time.Unix(0, t.ExpirationTime).Format(time.RFC3339)}
		}
		if len(rows) == 0 {
			p.line("There is no join token that could be used.")
			return
		}
		p.table([]string{"ID", "Role", "Node Pool", "Left", "Until"}, rows)
	})
}

func joinTokenDeleteCommand() command {
	return command{words: "join-token delete", args: "ID", summary: "Take a join token back", example: "  nomadish join-token delete 3f5a0e8e-1111-4222-8333-444455556666", run: runJoinTokenDelete}
}

func runJoinTokenDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Authorities().DeleteJoinToken(ctx, c.args[0])
}
