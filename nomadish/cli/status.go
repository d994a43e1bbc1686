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
		help: `  A job's ID or the beginning of one shows the job; else the name or ID of an allocation or
  node, or the ID of an evaluation, shows that. The beginning of an ID is enough.`,
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
	if !errors.Is(jobErr, nomadish.ErrNotFound) {
		return jobErr
	}
	return c.showByID(ctx, client, jobErr)
}

// showByID shows the first thing that has the name or ID; missing is the error if nothing has.
func (c *call) showByID(ctx context.Context, client *api.Client, missing error) error {
	word := c.args[0]
	a, err := c.findAllocation(ctx, client, word)
	if err == nil {
		return c.show(a, func(p *page) { c.allocationPage(p, a) })
	}
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	n, err := c.findNode(ctx, client, word)
	if err == nil {
		allocs, _, err := client.Nodes().Allocations(ctx, n.ID, nil)
		if err != nil {
			return err
		}
		return c.show(n, func(p *page) { c.nodePage(p, n, allocs) })
	}
	if !errors.Is(err, nomadish.ErrNotFound) {
		return err
	}
	if !isIDPrefix(word) {
		return missing
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
