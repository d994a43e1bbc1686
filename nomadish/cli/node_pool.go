package cli

import (
	"cmp"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/nomadish/nomadish/jobspec/hcl1"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

const nodePoolExampleHCL = `# Jobs with node_pool = "example" run on the nodes of this pool alone.
node_pool "example" {
  description = "for the example"

  meta {
    team = "shop"
  }

  # What is not said here is as in the configuration of the whole cluster.
  scheduler_config {
    scheduler_algorithm             = "spread" # or binpack
    memory_oversubscription_enabled = true
  }
}
`

const nodePoolExampleJSON = `{
  "Name": "example",
  "Description": "for the example",
  "Meta": {"team": "shop"},
  "SchedulerConfiguration": {
    "SchedulerAlgorithm": "spread",
    "MemoryOversubscriptionEnabled": true
  }
}
`

func nodePoolApplyCommand() command {
	return command{
		words: "node pool apply", args: "FILE", summary: "Store a node pool, in which nodes and jobs may be",
		help:    "  FILE, or - for standard input, is HCL, or with -json JSON. The pools all and default are as they are.",
		example: "  nomadish node pool init && nomadish node pool apply pool.nomad.hcl",
		run:     runNodePoolApply,
	}
}

func runNodePoolApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	asJSON := c.flags.Bool("json", false, "the file is JSON, in the shape of the API")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	pools, err := c.readNodePools(c.args[0], *asJSON)
	if err != nil {
		return err
	}
	for _, pool := range pools {
		if err := client.NodePools().Put(ctx, pool); err != nil {
			return err
		}
		if err := c.print("Node pool %q is stored.\n", pool.Name); err != nil {
			return err
		}
	}
	return nil
}

// nodePoolFile is what a file says of node pools.
type nodePoolFile struct {
	Pools []nodePoolBlock `hcl:"node_pool,block"`
}

// nodePoolBlock is one pool. Its duration is text, which HCL makes no number of.
type nodePoolBlock struct {
	Name        string   `hcl:"name,label"`
	IdentityTTL string   `hcl:"node_identity_ttl,optional"`
	Body        hcl.Body `hcl:",remain"`
}

// readNodePools reads the node pools of a file, or of standard input.
func (c *call) readNodePools(path string, asJSON bool) ([]*nomadish.NodePool, error) {
	text, err := c.readText(path)
	if err != nil {
		return nil, err
	}
	if asJSON || filepath.Ext(path) == ".json" {
		pool := &nomadish.NodePool{}
		return []*nomadish.NodePool{pool}, nomadish.DecodeJSON(text, pool)
	}
	body, err := hcl1.Parse(path, text)
	if err != nil {
		return nil, err
	}
	file := nodePoolFile{}
	if diags := gohcl.DecodeBody(body, nil, &file); diags.HasErrors() {
		return nil, diags
	}
	if len(file.Pools) == 0 {
		return nil, c.misused("%s says nothing of a node_pool", path)
	}
	pools := make([]*nomadish.NodePool, len(file.Pools))
	for i, block := range file.Pools {
		pool := &nomadish.NodePool{}
		if diags := gohcl.DecodeBody(block.Body, nil, pool); diags.HasErrors() {
			return nil, diags
		}
		pool.Name = block.Name
		ttl, err := time.ParseDuration(cmp.Or(block.IdentityTTL, "0s"))
		if err != nil {
			return nil, nomadish.Errorf(nomadish.KindInvalid, "node pool %q: node_identity_ttl: %w", block.Name, err)
		}
		pool.NodeIdentityTTL = nomadish.TextDuration(ttl)
		pools[i] = pool
	}
	return pools, nil
}

func nodePoolListCommand() command {
	return command{
		words: "node pool list", summary: "List the node pools",
		example: "  nomadish node pool list",
		reads:   true,
		run:     runNodePoolList,
	}
}

func runNodePoolList(ctx context.Context, c *call) error {
	c.readFlags()
	filter := c.flags.String("filter", "", "list those alone for which this `expression` over the fields of the JSON holds")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	all, _, err := client.NodePools().List(ctx, &api.Query{Filter: *filter})
	if err != nil {
		return err
	}
	return c.show(all, func(p *page) {
		rows := make([][]string, len(all))
		for i, pool := range all {
			rows[i] = []string{pool.Name, pool.Description}
		}
		p.table([]string{"Name", "Description"}, rows)
	})
}

func nodePoolInfoCommand() command {
	return command{
		words: "node pool info", args: "POOL", summary: "Show a node pool",
		example: "  nomadish node pool info default",
		reads:   true,
		run:     runNodePoolInfo,
	}
}

func runNodePoolInfo(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	pool, _, err := client.NodePools().NodePool(ctx, c.args[0], nil)
	if err != nil {
		return missing(err, "node pool", c.args[0])
	}
	return c.show(pool, func(p *page) { nodePoolFields(p, pool) })
}

func nodePoolFields(p *page, pool *nomadish.NodePool) {
	rows := [][2]string{{"Name", pool.Name}, {"Description", cmp.Or(pool.Description, "<none>")}}
	if pool.NodeIdentityTTL != 0 {
		rows = append(rows, [2]string{"Node Identity TTL", pool.NodeIdentityTTL.String()})
	}
	p.fields(rows...)
	if len(pool.Meta) > 0 {
		p.title("Metadata")
		var meta [][2]string
		for _, key := range slices.Sorted(maps.Keys(pool.Meta)) {
			meta = append(meta, [2]string{key, pool.Meta[key]})
		}
		p.fields(meta...)
	}
	p.title("Scheduler Configuration")
	config := cmp.Or(pool.SchedulerConfiguration, &nomadish.NodePoolSchedulerConfiguration{})
	oversubscription := "as in the cluster"
	if on := config.MemoryOversubscriptionEnabled; on != nil {
		oversubscription = yesNo(*on)
	}
	p.fields([][2]string{
		{"Scheduler Algorithm", cmp.Or(config.SchedulerAlgorithm, "as in the cluster")}, {"Memory Oversubscription", oversubscription},
	}...)
}

func nodePoolDeleteCommand() command {
	return command{
		words: "node pool delete", args: "POOL", summary: "Remove a node pool that no node is in and no job uses",
		example: "  nomadish node pool delete example",
		run:     runNodePoolDelete,
	}
}

func runNodePoolDelete(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.NodePools().Delete(ctx, c.args[0]); err != nil {
		return missing(err, "node pool", c.args[0])
	}
	return c.print("Node pool %q is removed.\n", c.args[0])
}

func nodePoolNodesCommand() command {
	return command{
		words: "node pool nodes", args: "POOL", summary: "List the nodes of a node pool",
		example: "  nomadish node pool nodes default",
		reads:   true,
		run:     runNodePoolNodes,
	}
}

func runNodePoolNodes(ctx context.Context, c *call) error {
	c.readFlags()
	filter := c.flags.String("filter", "", "list those alone for which this `expression` over the fields of the JSON holds")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	nodes, _, err := client.NodePools().Nodes(ctx, c.args[0], &api.Query{Filter: *filter})
	if err != nil {
		return missing(err, "node pool", c.args[0])
	}
	return c.showNodes(nodes)
}

func nodePoolJobsCommand() command {
	return command{
		words: "node pool jobs", args: "POOL", summary: "List the jobs of a node pool",
		example: "  nomadish node pool jobs -namespace='*' default",
		reads:   true,
		run:     runNodePoolJobs,
	}
}

func runNodePoolJobs(ctx context.Context, c *call) error {
	c.readFlags()
	filter := c.flags.String("filter", "", "list those alone for which this `expression` over the fields of the JSON holds")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	jobs, _, err := client.NodePools().Jobs(ctx, c.args[0], &api.Query{Filter: *filter})
	if err != nil {
		return missing(err, "node pool", c.args[0])
	}
	return c.showJobs(jobs)
}

func nodePoolInitCommand() command {
	return command{
		words: "node pool init", args: "[FILE]", summary: "Write an example of a node pool",
		help:    "  FILE is by default pool.nomad.hcl, or with -json pool.nomad.json. A file that is there already is left alone.",
		example: "  nomadish node pool init",
		run:     runNodePoolInit,
	}
}

func runNodePoolInit(_ context.Context, c *call) error {
	return example{"node pool", "pool.nomad", nodePoolExampleHCL, nodePoolExampleJSON}.write(c)
}
