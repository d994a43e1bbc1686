package cli

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func serverMembersCommand() command {
	return command{
		words: "server members", summary: "List the servers of all regions and say which ones lead",
		help: "  With -region those of one. States: alive, leaving (it said so, or is told to), left, failed (it does not answer). Those that are gone are\n" +
			"  shown for a day or three.",
		example: "  nomadish server members\n  nomadish server members -detailed",
		reads:   true,
		run:     runServerMembers,
	}
}

func runServerMembers(ctx context.Context, c *call) error {
	c.readFlags()
	detailed := c.flags.Bool("detailed", false, "show what each server says of itself")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	members, err := client.Agent().Members(ctx)
	if err != nil {
		return err
	}
	if region := c.remote.region; region != "" {
		members.Members = slices.DeleteFunc(members.Members, func(m *nomadish.Member) bool { return m.Tags["region"] != region })
	}
	slices.SortFunc(members.Members, func(a, b *nomadish.Member) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tags["id"], b.Tags["id"]))
	})
	regions := regionsOf(ctx, client, members.Members)
	return c.show(members, func(p *page) {
		rows := make([][]string, 0, len(members.Members))
		head := []string{"Name", "Address", "Status", "Leader", "Build", "Datacenter", "Region"}
		if *detailed {
			head = append(head, "Tags")
		}
		for _, m := range members.Members {
			row := []string{m.Name, memberAddress(m), m.Status, yesNo(leads(m, regions)), m.Tags["build"], m.Tags["dc"], m.Tags["region"]}
			if *detailed {
				row = append(row, tags(m))
			}
			rows = append(rows, row)
		}
		p.table(head, rows)
		for _, r := range regions {
			if r.Leader == "" {
				p.line("\nNo server is known to lead region %q: %s", r.Region, r.Error)
			}
		}
	})
}

// tags shows what a server says of itself in one line.
func tags(m *nomadish.Member) string {
	pairs := make([]string, 0, len(m.Tags))
	for _, name := range slices.Sorted(maps.Keys(m.Tags)) {
		pairs = append(pairs, name+"="+m.Tags[name])
	}
	return strings.Join(pairs, ",")
}

func serverJoinCommand() command {
	return command{
		words: "server join", args: "ADDRESS...", summary: "Have a server join others, of its region or another one",
		help: "  ADDRESS is where another server is asked by gossip: host, or host:port; the port is 4648 by default. One is\n" +
			"  enough: through it the server finds all the others.",
		example: "  nomadish server join 10.0.0.2",
		run:     runServerJoin,
	}
}

func runServerJoin(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 64)
	if err != nil {
		return err
	}
	defer client.Close()
	n, err := client.Agent().Join(ctx, c.args...)
	if err != nil {
		return err
	}
	return c.print("Joined %d servers successfully.\n", n)
}

func serverForceLeaveCommand() command {
	return command{
		words: "server force-leave", args: "SERVER", summary: "Have the others go on without a server that is gone",
		help: "  SERVER is its name, its name with its region as \"server members\" shows it, or its ID. One that is still there\n" +
			"  stays, and is gone when it does not answer any more.",
		example: "  nomadish server force-leave s3.global",
		run:     runServerForceLeave,
	}
}

func runServerForceLeave(ctx context.Context, c *call) error {
	c.remoteFlags()
	prune := c.flags.Bool("prune", false, "forget it at once: members does not show it any more")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Agent().ForceLeave(ctx, c.args[0], *prune)
}
