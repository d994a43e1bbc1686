package cli

import (
	"context"
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobInspectCommand() command {
	return command{
		words: "job inspect", args: "JOB", summary: "Print a job as the server has it",
		help:    "  The job is printed in the JSON of the API, under the key Job.",
		example: "  nomadish job inspect -version 3 web\n  nomadish job inspect -hcl web > web.nomad.hcl",
		reads:   true,
		run:     runJobInspect,
	}
}

func runJobInspect(ctx context.Context, c *call) error {
	version, source := -1, false
	c.readFlags()
	c.flags.IntVar(&version, "version", -1, "print this `version`; default: the current one")
	c.flags.BoolVar(&source, "hcl", false, "print the text that the job was made of")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	q := &api.Query{Namespace: stub.Namespace}
	if source {
		if version < 0 {
			version = int(stub.Version)
		}
		text, _, err := client.Jobs().Submission(ctx, stub.ID, uint64(version), q)
		if err != nil {
			return missing(err, "source of this version of job", stub.ID)
		}
		_, err = fmt.Fprint(c.content(), text.Source)
		return err
	}
	job, err := jobVersion(ctx, client, stub, version, q)
	if err != nil {
		return err
	}
	if c.output.template == "" {
		c.output.json = true
		return c.show(struct{ Job *nomadish.Job }{job}, nil)
	}
	return c.show(job, nil)
}

// jobVersion reads a version of a job; a negative one is the current one.
func jobVersion(ctx context.Context, client *api.Client, stub *nomadish.JobListStub, version int, q *api.Query) (*nomadish.Job, error) {
	if version < 0 {
		job, _, err := client.Jobs().Job(ctx, stub.ID, q)
		return job, err
	}
	all, _, err := client.Jobs().Versions(ctx, stub.ID, q)
	if err != nil {
		return nil, err
	}
	for _, job := range all {
		if nomadish.Val(job.Version) == uint64(version) {
			return job, nil
		}
	}
	return nil, nomadish.Errorf(nomadish.KindNotFound, "job %q has no version %d", stub.ID, version)
}
