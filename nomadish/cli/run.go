package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nomadish/nomadish/jobspec"
	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func runCommand() command {
	return command{
		words: "run", args: "FILE | IMAGE [COMMAND...]", summary: "Run a job file (short for job run), or an image as a job of one line",
		help: `  The argument is a job file if it is "-", names a file that is there, or ends in .hcl,
  .nomad or .json; then the command is job run. Else it is an image, of which a job is made:
  a service, or with -batch or -rm what runs to its end once. With -hcl its job file is
  printed instead, to be kept and changed.

  What follows the image, from the first word that is no flag or from "--", is the command
  that runs in the container. ${…} in it is filled in on the node (quote it from the shell).`,
		example: `  nomadish run nginx:1.27 -port 8080:80
  nomadish run -rm alpine:3 -- echo hello
  nomadish run -hcl -name api -port http=8080 -env LOG=debug registry.local/api:2 > api.nomad.hcl
  nomadish run web.nomad.hcl`,
		exits: jobRunCommand().exits,
		run:   runRun,
	}
}

func runRun(ctx context.Context, c *call) error {
	flags, image := &runFlags{}, &imageFlags{}
	flags.register(c)
	image.register(c)
	if err := c.parseUntil(1, 1, -1); err != nil {
		return err
	}
	if isJobFile(c.args[0]) {
		if len(c.args) > 1 {
			return c.misused("a job file takes no command: %q", strings.Join(c.args[1:], " "))
		}
		return flags.run(ctx, c)
	}
	text, err := image.jobText(c.args[0], c.args[1:])
	if err != nil {
		return c.misused("%w", err)
	}
	formatted, err := jobspec.Format([]byte(text), "job")
	if err != nil {
		return fmt.Errorf("the job file made of the command line: %w", err)
	}
	if image.asHCL {
		return write(c.Stdout, string(formatted))
	}
	spec, err := jobspec.Load(jobspec.Config{Path: "job", Body: formatted, Now: c.Now})
	if err != nil {
		return fmt.Errorf("the job file made of the command line: %w", err)
	}
	file := &jobFile{
		path: "job", text: formatted, job: spec.Job, positions: spec.Positions,
		submission: &nomadish.JobSubmission{Source: string(formatted), Format: "hcl2"},
	}
	if !image.remove {
		return flags.submit(ctx, c, file)
	}
	return flags.once(ctx, c, file)
}

// forgetTimeout bounds the printing and forgetting of a job that has run.
const forgetTimeout = 30 * time.Second

// once runs a job to its end, prints what it has written, and forgets it. The exit code is the
// job's; an interrupt stops the job too.
func (f *runFlags) once(ctx context.Context, c *call, file *jobFile) error {
	if f.detach {
		return c.misused("-rm and -detach exclude each other")
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	jobID := nomadish.Val(file.job.ID)
	if _, _, err := client.Jobs().Job(ctx, jobID, nil); err == nil {
		return fmt.Errorf("job %q is there already, and -rm would forget it: choose another name with -name", jobID)
	}
	quiet := *c
	quiet.Stdout = c.Stderr // standard output is the job's
	ended := f.submit(ctx, &quiet, file)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	if err := c.printOutput(after, client, jobID); err != nil {
		fmt.Fprintln(c.Stderr, describe(err))
	}
	_, err = client.Jobs().Deregister(after, &nomadish.JobDeregisterRequest{
		JobID: jobID, Purge: true, WriteRequest: nomadish.WriteRequest{Namespace: nomadish.Val(file.job.Namespace)},
	})
	if err != nil {
		return fmt.Errorf("job %q is still stored: %w", jobID, err)
	}
	return ended
}

// printOutput prints all that the tasks of a job have written.
func (c *call) printOutput(ctx context.Context, client *api.Client, jobID string) error {
	l := &logReader{call: c, client: client, jobID: jobID, plain: true}
	return l.once(ctx)
}
