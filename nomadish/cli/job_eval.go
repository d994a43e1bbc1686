package cli

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

func jobEvalCommand() command {
	return command{
		words: "job eval", args: "JOB", summary: "Have a job evaluated anew, and follow it",
		example: "  nomadish job eval -force-reschedule web",
		exits:   followExits,
		run:     runJobEval,
	}
}

func runJobEval(ctx context.Context, c *call) error {
	f := c.followFlags()
	force := c.flags.Bool("force-reschedule", false, "replace failed allocations also where their reschedule policy is used up")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	resp, err := client.Jobs().Evaluate(ctx, &nomadish.JobEvaluateRequest{
		JobID: stub.ID, EvalOptions: nomadish.EvalOptions{ForceReschedule: *force},
		WriteRequest: nomadish.WriteRequest{Namespace: stub.Namespace},
	})
	if err != nil {
		return err
	}
	return c.followChange(ctx, client, f, stub, resp)
}
