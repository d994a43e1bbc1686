package cli

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

func jobPeriodicForceCommand() command {
	return command{
		words: "job periodic force", args: "JOB", summary: "Launch a periodic job now",
		help:    "  The launch is a job of its own. It is made also while an earlier launch still runs.",
		example: "  nomadish job periodic force backup",
		run:     runJobPeriodicForce,
	}
}

func runJobPeriodicForce(ctx context.Context, c *call) error {
	c.remoteFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	resp, err := client.Jobs().ForcePeriodic(ctx, &nomadish.PeriodicForceRequest{
		JobID: stub.ID, WriteRequest: nomadish.WriteRequest{Namespace: stub.Namespace},
	})
	if err != nil {
		return err
	}
	return c.print("Job %q is launched; evaluation %s places it.\n", stub.ID, c.id(resp.EvalID))
}
