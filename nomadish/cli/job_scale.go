package cli

import (
	"context"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobScaleCommand() command {
	return command{
		words: "job scale", args: "JOB [GROUP] COUNT", summary: "Set how many allocations a group of a job has, and follow it",
		help: `  GROUP may be left out where the job has one group only. The job gets a new version.`,
		example: `  nomadish job scale web 5
  nomadish job scale -message "sale begins" web frontend 20`,
		exits: followExits,
		run:   runJobScale,
	}
}

func runJobScale(ctx context.Context, c *call) error {
	f := c.followFlags()
	message := c.flags.String("message", "submitted using the nomadish command line", "why, for \"job scaling-events\"")
	index := c.flags.Uint64("check-index", 0, "scale only if the job's JobModifyIndex is still this `index`")
	client, err := c.dial(2, 3)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	last := len(c.args) - 1
	count, err := strconv.ParseInt(c.args[last], 10, 64)
	if err != nil {
		return c.misused("%q is no count", c.args[last])
	}
	group := c.args[1]
	if last == 1 {
		if group, err = onlyGroup(ctx, client, stub); err != nil {
			return err
		}
	}
	resp, err := client.Jobs().Scale(ctx, stub.ID, &nomadish.ScalingRequest{
		Count: &count, Target: map[string]string{"Job": stub.ID, "Group": group}, Message: *message, JobModifyIndex: *index,
		WriteRequest: nomadish.WriteRequest{Namespace: stub.Namespace},
	})
	if err != nil {
		return err
	}
	return c.followChange(ctx, client, f, stub, resp)
}

// onlyGroup is the group of a job that has no other.
func onlyGroup(ctx context.Context, client *api.Client, stub *nomadish.JobListStub) (string, error) {
	job, _, err := client.Jobs().Job(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return "", err
	}
	if len(job.TaskGroups) != 1 {
		return "", nomadish.Errorf(nomadish.KindInvalid, "job %q has %d groups: say which one", stub.ID, len(job.TaskGroups))
	}
	return nomadish.Val(job.TaskGroups[0].Name), nil
}
