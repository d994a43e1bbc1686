package cli

import (
	"context"
	"errors"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func statusCommand() command {
	return command{
		words: "status", args: "[NAME or ID]", summary: "List jobs, or show what a name or ID belongs to",
		help: `  A job's ID or the beginning of one shows the job; else the ID of an allocation, node or
  evaluation, or the beginning of one, shows that.`,
		example: "  nomadish status web",
		reads:   true,
		run:     runStatus,
	}
}

func runStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if len(c.args) == 0 {
		return c.listJobs(ctx, client)
	}
	stub, _, jobErr := c.findJob(ctx, client, c.args[0])
	if jobErr == nil {
		return c.showJob(ctx, client, stub, false, c.remote.verbose)
	}
	if !errors.Is(jobErr, nomadish.ErrNotFound) || !isIDPrefix(c.args[0]) {
		return jobErr
	}
	return c.showByID(ctx, client, jobErr)
}

// showByID shows the first thing that has the ID; missing is the error if nothing has.
func (c *call) showByID(ctx context.Context, client *api.Client, missing error) error {
	word := c.args[0]
	a, err := c.findAllocation(ctx, client, word)
	if err == nil {
		return c.show(a, func(p *page) { c.allocationPage(p, a) })
	}
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	nodes, _, err := client.Nodes().List(ctx, nil)
	if err != nil {
		return err
	}
	id, err := choose("node", word, candidates(nodes, func(n *nomadish.NodeListStub) candidate { return candidate{n.ID, n.Name} }))
	if err == nil {
		n, _, err := client.Nodes().Node(ctx, id, nil)
		if err != nil {
			return err
		}
		allocs, _, err := client.Nodes().Allocations(ctx, id, nil)
		if err != nil {
			return err
		}
		return c.show(n, func(p *page) { c.nodePage(p, n, allocs) })
	}
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	e, err := c.findEvaluation(ctx, client, word)
	if errors.Is(err, nomadish.ErrNotFound) {
		return missing
	}
	if err != nil {
		return err
	}
	allocs, _, err := client.Evaluations().Allocations(ctx, e.ID, nil)
	if err != nil {
		return err
	}
	return c.show(e, func(p *page) { c.evaluationPage(p, e, allocs) })
}
