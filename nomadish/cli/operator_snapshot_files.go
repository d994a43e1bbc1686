package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/agent"
	"github.com/nomadish/nomadish/nomadish/api"
)

func snapshotStateCommand() command {
	return command{
		words: "operator snapshot state", args: "FILE", summary: "Show what a saved state holds, as JSON",
		help:    "  Needs no server. Secrets are sealed in FILE and not shown; of variables only their names are.",
		example: "  nomadish operator snapshot state /backup/state.snap",
		run:     runSnapshotState,
	}
}

func runSnapshotState(_ context.Context, c *call) error {
	if err := c.parse(1, 1); err != nil {
		return err
	}
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	state, err := agent.SnapshotState(f)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	b, err := nomadish.EncodeJSON(state)
	if err != nil {
		return err
	}
	return c.print("%s\n", b)
}

func snapshotListCommand() command {
	return command{
		words: "operator snapshot list", summary: "List the files in which a server saves the state by itself",
		help: "  A server does that whose configuration has a block server { snapshots { } }. Each keeps its own files, on its\n" +
			"  own machine; -server says whose are meant.",
		example: "  nomadish operator snapshot list\n  nomadish operator snapshot list -server leader",
		reads:   true,
		run:     runSnapshotList,
	}
}

func runSnapshotList(ctx context.Context, c *call) error {
	c.readFlags()
	server := c.flags.String("server", "", "`name` or ID of the server, or leader; default: the agent that is asked")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	q := &api.Query{}
	if *server != "" {
		q.Params = map[string]string{"server_id": *server}
	}
	saved, err := client.Operator().SavedSnapshots(ctx, q)
	if err != nil {
		return err
	}
	return c.show(saved, func(p *page) {
		if saved.Dir == "" {
			p.line("Server %s saves no snapshots by itself: its configuration has no block server { snapshots { } }.", saved.Server)
			return
		}
		status := "ok"
		if saved.LastError != "" {
			status = fmt.Sprintf("failed %d times: %s", saved.Failures, saved.LastError)
		}
		p.fields([2]string{"Server", saved.Server}, [2]string{"Directory", saved.Dir}, [2]string{"Status", status},
			[2]string{"Every", time.Duration(saved.Interval).String()}, [2]string{"Kept", strconv.Itoa(saved.Retain)})
		rows := make([][]string, len(saved.Snapshots))
		for i, f := range saved.Snapshots {
			rows[i] = []string{f.Name, strconv.FormatUint(f.Index, 10), strconv.FormatInt(f.Bytes, 10), f.Created.Format(time.RFC3339)}
		}
		p.title("Snapshots")
		p.table([]string{"Name", "Index", "Bytes", "Created"}, rows)
	})
}
