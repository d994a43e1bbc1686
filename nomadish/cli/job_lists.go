package cli

import (
	"context"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobAllocsCommand() command {
	return command{
		words: "job allocs", args: "JOB", summary: "List the allocations of a job",
		example: "  nomadish job allocs -all web",
		reads:   true,
		run:     runJobAllocs,
	}
}

func runJobAllocs(ctx context.Context, c *call) error {
	c.readFlags()
	all := c.flags.Bool("all", false, "also those of an earlier job of that ID")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	allocs, _, err := client.Jobs().Allocations(ctx, stub.ID, *all, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return err
	}
	return c.show(allocs, func(p *page) { c.allocationTable(p, allocs) })
}

func jobDeploymentsCommand() command {
	return command{
		words: "job deployments", args: "JOB", summary: "List the deployments of a job",
		example: "  nomadish job deployments web",
		reads:   true,
		run:     runJobDeployments,
	}
}

func runJobDeployments(ctx context.Context, c *call) error {
	c.readFlags()
	latest := c.flags.Bool("latest", false, "only the newest one")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	all, _, err := client.Jobs().Deployments(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return err
	}
	if *latest {
		all = all[max(0, len(all)-1):]
	}
	return c.show(all, func(p *page) {
		if len(all) == 0 {
			p.line("Job %q has no deployments.", stub.ID)
			return
		}
		var rows [][]string
		for _, d := range slices.Backward(all) {
			rows = append(rows, deploymentRow(c, d))
		}
		p.table([]string{"ID", "Version", "Status", "Description"}, rows)
	})
}

func deploymentRow(c *call, d *nomadish.Deployment) []string {
	return []string{c.id(d.ID), number(d.JobVersion), d.Status, d.StatusDescription}
}
