package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobRevertCommand() command {
	return command{
		words: "job revert", args: "JOB VERSION", summary: "Make an earlier version of a job current again and follow it",
		help: `  VERSION is a number of "job history", or a tag. The job gets a new version that is like it.`,
		example: `  nomadish job revert web 3
  nomadish job revert -detach web golden`,
		exits: followExits,
		run:   runJobRevert,
	}
}

// followExits are the exit codes of commands that change a job and follow it.
const followExits = `  0    the job has reached its end state; with -detach: it is stored
  1    it failed: an allocation failed for good, or the command could not do it
  2    it is stored, but not complete: it waits for room, or -timeout is over
  64   the command line is wrong
  130  an interrupt ended the command; the job goes on`

// followFlags adds the flags of commands that change a job and follow it.
func (c *call) followFlags() *runFlags {
	f := &runFlags{}
	c.remoteFlags()
	c.templateFlag()
	c.flags.BoolVar(&f.detach, "detach", false, "end once the job is stored")
	c.flags.DurationVar(&f.timeout, "timeout", time.Duration(0), "how long to follow the job; default for services: its longest progress_deadline (10m), for others: as long as it takes")
	return f
}

func runJobRevert(ctx context.Context, c *call) error {
	f := c.followFlags()
	prior := c.flags.Int("prior-version", -1, "revert only if this `version` is the current one")
	client, err := c.dial(2, 2)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	req := &nomadish.JobRevertRequest{JobID: stub.ID, WriteRequest: nomadish.WriteRequest{Namespace: stub.Namespace}}
	if *prior >= 0 {
		req.EnforcePriorVersion = nomadish.Ptr(uint64(*prior))
	}
	if req.JobVersion, err = versionNumber(ctx, client, stub, c.args[1]); err != nil {
		return err
	}
	resp, err := client.Jobs().Revert(ctx, req)
	if err != nil {
		return err
	}
	return c.followChange(ctx, client, f, stub, resp)
}

// versionNumber is the number of a version that a word names: a number or a tag.
func versionNumber(ctx context.Context, client *api.Client, stub *nomadish.JobListStub, word string) (uint64, error) {
	if n, err := strconv.ParseUint(word, 10, 64); err == nil {
		return n, nil
	}
	versions, _, err := client.Jobs().Versions(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return 0, err
	}
	var tags []string
	for _, v := range versions {
		if v.VersionTag == nil {
			continue
		}
		if v.VersionTag.Name == word {
			return nomadish.Val(v.Version), nil
		}
		tags = append(tags, v.VersionTag.Name)
	}
	return 0, nomadish.Errorf(nomadish.KindNotFound, "no version of job %q has the tag %q%s", stub.ID, word, didYouMean(word, tags))
}

// followChange follows a job that was changed.
func (c *call) followChange(ctx context.Context, client *api.Client, f *runFlags, stub *nomadish.JobListStub, resp *nomadish.JobRegisterResponse) error {
	job, _, err := client.Jobs().Job(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return err
	}
	c.warn(resp.Warnings)
	return f.watch(ctx, c, client, job, resp)
}
