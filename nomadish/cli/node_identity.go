package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/nomadish/nomadish/nomadish/api"
)

func nodeIdentityGetCommand() command {
	return command{
		words: "node identity get", args: "[NODE]", summary: "Show what the identity of a node says",
		help:    "  NODE is the node's name, or its ID or the beginning of one; without it, it is the node of the\n  agent that is asked.",
		example: "  nomadish node identity get web-1",
		reads:   true,
		run:     runNodeIdentityGet,
	}
}

func runNodeIdentityGet(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := c.nodeOrNone(ctx, client)
	if err != nil {
		return err
	}
	identity, err := client.Nodes().Identity(ctx, id)
	if err != nil {
		return err
	}
	return c.show(identity, func(p *page) {
		rows := make([][2]string, 0, len(identity.Claims))
		for _, name := range slices.Sorted(maps.Keys(identity.Claims)) {
			value := fmt.Sprint(identity.Claims[name])
			if seconds, ok := identity.Claims[name].(float64); ok { // the times are
				value = fmt.Sprintf("%.0f", seconds)
			}
			rows = append(rows, [2]string{name, value})
		}
		p.fields(rows...)
	})
}

func nodeIdentityRenewCommand() command {
	return command{
		words: "node identity renew", args: "[NODE]", summary: "Have a node ask the servers for a new identity",
		help:    "  NODE is the node's name, or its ID or the beginning of one; without it, it is the node of the\n  agent that is asked.",
		example: "  nomadish node identity renew web-1",
		run:     runNodeIdentityRenew,
	}
}

func runNodeIdentityRenew(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	id, err := c.nodeOrNone(ctx, client)
	if err != nil {
		return err
	}
	if err := client.Nodes().RenewIdentity(ctx, id); err != nil {
		return err
	}
	return c.print("The node asks for a new identity.\n")
}

// nodeOrNone returns the ID of the node that the command names, empty where it names none.
func (c *call) nodeOrNone(ctx context.Context, client *api.Client) (string, error) {
	if len(c.args) == 0 {
		return "", nil
	}
	node, err := c.findNode(ctx, client, c.args[0])
	if err != nil {
		return "", err
	}
	return node.ID, nil
}
