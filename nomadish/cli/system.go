package cli

import (
	"context"
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
)

func systemGCCommand() command {
	return command{
		words: "system gc", summary: "Remove what has ended from the servers' state now",
		help:    "  Servers do that by themselves after a while: jobs, evaluations and allocations that have\n  ended, and nodes that are long gone.",
		example: "  nomadish system gc",
		run:     runSystemGC,
	}
}

func runSystemGC(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Operator().CollectGarbage(ctx); err != nil {
		return err
	}
	return c.print("What had ended is removed.\n")
}

func systemReconcileSummariesCommand() command {
	return command{
		words: "system reconcile summaries", summary: "Count the allocations of all jobs anew",
		help:    "  The counts are kept together with the allocations and can't differ from them, so that there is\n  nothing to do. The command is for scripts that call it.",
		example: "  nomadish system reconcile summaries",
		run:     runSystemReconcileSummaries,
	}
}

func runSystemReconcileSummaries(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Operator().ReconcileSummaries(ctx); err != nil {
		return err
	}
	return c.print("The counts are right.\n")
}

func agentInfoCommand() command {
	return command{
		words: "agent-info", summary: "Show what the agent that is asked says of itself",
		example: "  nomadish agent-info",
		reads:   true,
		run:     runAgentInfo,
	}
}

func runAgentInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	self, err := client.Agent().Self(ctx)
	if err != nil {
		return err
	}
	return c.show(self, func(p *page) {
		for _, section := range slices.Sorted(maps.Keys(self.Stats)) {
			p.title("%s", section)
			rows := [][2]string{}
			for _, name := range slices.Sorted(maps.Keys(self.Stats[section])) {
				rows = append(rows, [2]string{"  " + name, self.Stats[section][name]})
			}
			p.fields(rows...)
		}
	})
}

func nodeEligibilityCommand() command {
	return command{
		words: "node eligibility", args: "NODE", summary: "Say whether new work may be placed on a node",
		help:    "  NODE is the node's name, or its ID or the beginning of one. What runs there goes on.",
		example: "  nomadish node eligibility -disable web-1",
		run:     runNodeEligibility,
	}
}

func runNodeEligibility(ctx context.Context, c *call) error {
	enable, disable, self := false, false, false
	c.remoteFlags()
	c.flags.BoolVar(&enable, "enable", false, "new work may be placed on the node")
	c.flags.BoolVar(&disable, "disable", false, "nothing new is placed on the node")
	c.flags.BoolVar(&self, "self", false, "the node of the agent that is asked")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if enable == disable || self == (len(c.args) == 1) {
		return c.misused("want one of -enable and -disable, and either NODE or -self")
	}
	var node *nomadish.Node
	if self {
		agent, err := client.Agent().Self(ctx)
		if err != nil {
			return err
		}
		c.args = []string{agent.Stats["client"]["node_id"]}
	}
	if node, err = c.findNode(ctx, client, c.args[0]); err != nil {
		return err
	}
	if _, err := client.Nodes().SetEligibility(ctx, node.ID, enable); err != nil {
		return err
	}
	state := nomadish.NodeIneligible
	if enable {
		state = nomadish.NodeEligible
	}
	return c.print("Node %s (%s) is %s.\n", node.Name, c.id(node.ID), state)
}
