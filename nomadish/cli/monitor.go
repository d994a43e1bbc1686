package cli

import (
	"context"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func monitorCommand() command {
	return command{
		words: "monitor", summary: "Print an agent's log as it is written",
		help: `  It is the log of the agent that is asked, unless -node-id or -server-id name another one,
  at the level that is asked for, whatever the level of the agent's own log.`,
		example: "  nomadish monitor -log-level debug -node-id web-1",
		run:     runMonitor,
	}
}

func runMonitor(ctx context.Context, c *call) error {
	req := &nomadish.MonitorRequest{}
	node := ""
	c.remoteFlags()
	c.flags.StringVar(&req.LogLevel, "log-level", "info", "trace, debug, info, warn or error")
	c.flags.BoolVar(&req.LogJSON, "log-json", false, "print lines of JSON")
	c.flags.StringVar(&node, "node-id", "", "the agent of this `node`: its name, or its ID or the beginning of one")
	c.flags.StringVar(&req.ServerID, "server-id", "", "the agent of this `server`: its name or ID, or leader")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if node != "" {
		n, err := c.findNode(ctx, client, node)
		if err != nil {
			return err
		}
		req.NodeID = n.ID
	}
	req.LogLevel = strings.ToLower(req.LogLevel)
	out := c.content()
	for frame, err := range client.Agent().Monitor(ctx, req) {
		if err != nil {
			return err
		}
		if _, err := out.Write(frame.Data); err != nil {
			return err
		}
	}
	return nil
}
