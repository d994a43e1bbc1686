package cli

import (
	"context"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func nodeMetaApplyCommand() command {
	return command{
		words: "node meta apply", args: "[KEY=VALUE ...]", summary: "Change the metadata of a node while it runs",
		help:    "  It holds over restarts of the node's agent. Without -node-id it is the node of the agent that is asked.",
		example: "  nomadish node meta apply -node-id web-1 -unset old stage=test",
		run:     runNodeMetaApply,
	}
}

func runNodeMetaApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	nodeID := c.flags.String("node-id", "", "the `node`, by its name, or its ID or the beginning of one")
	unset := c.flags.String("unset", "", "`keys` to unset, with commas between them")
	client, err := c.dial(0, nomadish.MaxMetaKeys)
	if err != nil {
		return err
	}
	defer client.Close()
	req := &nomadish.NodeMetaApplyRequest{Meta: map[string]*string{}}
	for _, pair := range c.args {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return c.misused("%q is not KEY=VALUE", pair)
		}
		req.Meta[key] = &value
	}
	if *unset != "" {
		for key := range strings.SplitSeq(*unset, ",") {
			req.Meta[key] = nil
		}
	}
	if len(req.Meta) == 0 {
		return c.misused("want KEY=VALUE, or -unset")
	}
	if *nodeID != "" {
		node, err := c.findNode(ctx, client, *nodeID)
		if err != nil {
			return err
		}
		req.NodeID = node.ID
	}
	if _, err := client.Nodes().ApplyMetadata(ctx, req); err != nil {
		return err
	}
	return c.print("The metadata is changed.\n")
}

func nodeMetaReadCommand() command {
	return command{
		words: "node meta read", summary: "Show the metadata of a node, and where it comes from",
		help:    "  Without -node-id it is the node of the agent that is asked.",
		example: "  nomadish node meta read -node-id web-1",
		reads:   true,
		run:     runNodeMetaRead,
	}
}

func runNodeMetaRead(ctx context.Context, c *call) error {
	c.readFlags()
	nodeID := c.flags.String("node-id", "", "the `node`, by its name, or its ID or the beginning of one")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	id := ""
	if *nodeID != "" {
		node, err := c.findNode(ctx, client, *nodeID)
		if err != nil {
			return err
		}
		id = node.ID
	}
	meta, err := client.Nodes().Metadata(ctx, id)
	if err != nil {
		return err
	}
	return c.show(meta, func(p *page) {
		nodeAttributes(p, "All Meta", meta.Meta)
		dynamic := map[string]string{}
		for key, value := range meta.Dynamic {
			dynamic[key] = "<unset>"
			if value != nil {
				dynamic[key] = *value
			}
		}
		nodeAttributes(p, "Dynamic Meta", dynamic)
		nodeAttributes(p, "Static Meta", meta.Static)
	})
}
