package cli

import (
	"context"
	"strconv"

	"github.com/nomadish/nomadish/nomadish"
)

func jobTagApplyCommand() command {
	return command{
		words: "job tag apply", args: "JOB", summary: "Name a version of a job, which is kept for good then",
		example: `  nomadish job tag apply -name golden -version 3 -description "before the sale" web`,
		run:     runJobTagApply,
	}
}

func runJobTagApply(ctx context.Context, c *call) error {
	c.remoteFlags()
	name := c.flags.String("name", "", "the `tag`; required")
	description := c.flags.String("description", "", "what it is for")
	version := c.flags.String("version", "", "`version` to name; default: the current one")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if *name == "" {
		return c.misused("-name is missing")
	}
	req := &nomadish.JobTagRequest{Description: *description, Latest: *version == ""}
	if !req.Latest {
		if req.Version, err = strconv.ParseUint(*version, 10, 64); err != nil {
			return c.misused("-version: %q is no version", *version)
		}
	}
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	req.Namespace = stub.Namespace
	if _, err := client.Jobs().Tag(ctx, stub.ID, *name, req); err != nil {
		return err
	}
	if req.Latest {
		return c.print("The current version of job %q has the tag %q now.\n", stub.ID, *name)
	}
	return c.print("Version %d of job %q has the tag %q now.\n", req.Version, stub.ID, *name)
}

func jobTagUnsetCommand() command {
	return command{
		words: "job tag unset", args: "JOB", summary: "Take a tag from a version of a job",
		example: "  nomadish job tag unset -name golden web",
		run:     runJobTagUnset,
	}
}

func runJobTagUnset(ctx context.Context, c *call) error {
	c.remoteFlags()
	name := c.flags.String("name", "", "the `tag`; required")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if *name == "" {
		return c.misused("-name is missing")
	}
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if err := client.Jobs().Untag(ctx, stub.ID, *name, nomadish.WriteRequest{Namespace: stub.Namespace}); err != nil {
		return err
	}
	return c.print("No version of job %q has the tag %q any more.\n", stub.ID, *name)
}
