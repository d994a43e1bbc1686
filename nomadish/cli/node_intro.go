package cli

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func nodeIntroCreateCommand() command {
	return command{
		words: "node intro create", summary: "Make a token that introduces a new client node",
		help: `  The node's agent shows it when it registers for the first time: client.intro_token in its
  configuration. Servers with client_introduction { enforcement = "strict" } take no other new nodes.`,
		example: "  nomadish node intro create -node-pool gpu -ttl 10m",
		reads:   true,
		run:     runNodeIntroCreate,
	}
}

func runNodeIntroCreate(ctx context.Context, c *call) error {
	req := &nomadish.ClientIntroductionRequest{}
	c.readFlags()
	c.flags.StringVar(&req.NodeName, "node-name", "", "`NAME` that the node must have; default: any")
	c.flags.StringVar(&req.NodePool, "node-pool", "", "`POOL` that the node must be of; default: default")
	c.flags.DurationVar(&req.TTL, "ttl", time.Duration(0), "how long the token is good; default: what the servers say")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.ACL().IntroduceClient(ctx, req)
	if err != nil {
		return err
	}
	return c.show(resp, func(p *page) { p.line("%s", resp.JWT.Reveal()) })
}
