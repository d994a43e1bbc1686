package cli

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func regionsCommand() command {
	return command{
		words: "regions", summary: "List the regions, how many of their servers answer, and who leads them",
		help:    "  One that can't be asked is listed with the reason.",
		example: "  nomadish regions",
		reads:   true,
		run:     runRegions,
	}
}

// regionState is what is known of a region.
type regionState struct {
	Region  string
	Servers int    // that are known
	Alive   int    // of these
	Leader  string // its address
	Error   string `json:",omitempty"` // why no leader is known
}

func runRegions(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	members, err := client.Agent().Members(ctx)
	if err != nil {
		return err
	}
	regions := regionsOf(ctx, client, members.Members)
	return c.show(regions, func(p *page) {
		rows := make([][]string, len(regions))
		for i, r := range regions {
			rows[i] = []string{r.Region, strconv.Itoa(r.Alive) + "/" + strconv.Itoa(r.Servers), cmp.Or(r.Leader, r.Error)}
		}
		p.table([]string{"Region", "Servers", "Leader"}, rows)
	})
}

// regionsOf counts the servers of each region, and asks all of which one answers at once who leads.
func regionsOf(ctx context.Context, client *api.Client, members []*nomadish.Member) []*regionState {
	var regions []*regionState
	for _, m := range members {
		i, known := slices.BinarySearchFunc(regions, m.Tags["region"], func(r *regionState, name string) int { return strings.Compare(r.Region, name) })
		if !known {
			regions = slices.Insert(regions, i, &regionState{Region: m.Tags["region"]})
		}
		regions[i].Servers++
		if m.Status == "alive" {
			regions[i].Alive++
		}
	}
	var asked sync.WaitGroup
	for _, r := range regions {
		if r.Alive == 0 {
			r.Error = "none of its servers answers"
			continue
		}
		asked.Go(func() {
			var err error
			if r.Leader, err = client.Status().LeaderOf(ctx, r.Region); err != nil {
				r.Error = err.Error()
			}
		})
	}
	asked.Wait()
	return regions
}

// leads says whether a server leads its region.
func leads(m *nomadish.Member, regions []*regionState) bool {
	return slices.ContainsFunc(regions, func(r *regionState) bool {
		return r.Region == m.Tags["region"] && r.Leader != "" && (r.Leader == memberAddress(m) || r.Leader == m.Tags["id"])
	})
}

// memberAddress is where a server listens for other agents.
func memberAddress(m *nomadish.Member) string {
	return net.JoinHostPort(cmp.Or(m.Tags["rpc_addr"], m.Addr), cmp.Or(m.Tags["port"], strconv.Itoa(int(m.Port))))
}

func replicationStatusCommand() command {
	return command{
		words: "operator replication status", summary: "Show how a region gets what all regions share",
		help: "  Namespaces, node pools, quotas, policies, roles, auth methods, binding rules and global tokens are\n" +
			"  changed in the authoritative region. The others replicate them from there.",
		example: "  nomadish operator replication status -region eu",
		reads:   true,
		run:     runReplicationStatus,
	}
}

func runReplicationStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := client.Operator().Replication(ctx)
	if err != nil {
		return err
	}
	return c.show(r, func(p *page) {
		if len(r.Kinds) == 0 {
			p.line("Region %q replicates nothing from another one.", r.Region)
			return
		}
		p.line("Region %q replicates from region %q.", r.Region, r.Authoritative)
		p.line("")
		rows := make([][]string, len(r.Kinds))
		for i, k := range r.Kinds {
			rows[i] = []string{k.Kind, number(int64(k.Rows)), number(k.Index), cmp.Or(c.whenTime(k.LastSuccess), "never"), cmp.Or(k.LastError, "ok")}
		}
		p.table([]string{"Kind", "Rows", "Index", "Last Success", "State"}, rows)
		for _, k := range r.Kinds {
			for _, kept := range k.Kept {
				p.line("\n%s: gone there and still in use here: %s", k.Kind, kept)
			}
		}
	})
}
