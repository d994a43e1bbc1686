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
  that runs in the container. ${…} in it is filled in on the node (quote it from the shell).

  With -it the container only waits, and the command (default: sh) runs in it as one of exec,
  with this terminal, or with what is piped in: the image's entrypoint does not run, and the
  image must have sh and sleep. The exit code is the command's; then the job is stopped, and
  with -rm forgotten.`,
		example: `  nomadish run nginx:1.27 -port 8080:80
  nomadish run -rm alpine:3 -- echo hello
  nomadish run -it -rm alpine:3 sh
  nomadish run -hcl -name api -port http=8080 -env LOG=debug registry.local/api:2 > api.nomad.hcl
  nomadish run web.nomad.hcl`,
		exits: jobRunCommand().exits + `
       with -it: the command's own code; 1 and 2 also where its task does not come up`,
		run: runRun,
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
	if image.attach && image.name == "" && !image.asHCL {
		image.name = jobName(c.args[0]) + "-" + short(nomadish.NewID()) // so that several can run at a time
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
	switch {
	case image.attach:
		return flags.attached(ctx, c, file, image, image.command(c.args[0], c.args[1:]))
	case image.remove:
		return flags.once(ctx, c, file)
	}
	return flags.submit(ctx, c, file)
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
	if err := unknownJob(ctx, client, jobID, "-rm"); err != nil {
		return err
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
