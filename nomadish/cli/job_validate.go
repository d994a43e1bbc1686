package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nomadish/nomadish/nomadish"
)

func jobValidateCommand() command {
	return command{
		words: "job validate", args: "FILE", summary: "Check a job file",
		help: `  The file ("-": standard input) is parsed and checked here, without a server. Where a
  server is named, by -address or NOMAD_ADDR, it is asked as well: it knows the options of
  task drivers, namespaces and node pools. Warnings alone leave the exit code at 0.`,
		example: "  nomadish job validate -var count=3 web.nomad.hcl",
		exits: `  0   the job is valid
  1   it is not, or the file or the server can't be read
  64  the command line is wrong`,
		run: runJobValidate,
	}
}

func runJobValidate(ctx context.Context, c *call) error {
	flags := &jobFlags{}
	flags.register(c)
	c.remoteFlags()
	if err := c.parse(1, 1); err != nil {
		return err
	}
	file, err := c.readJob(c.args[0], flags)
	if err != nil {
		return err
	}
	warnings, err := file.check()
	if err != nil {
		c.warn(warnings.String())
		return err
	}
	ask, err := c.addressed()
	if err != nil {
		return err
	}
	if !ask {
		c.warn(warnings.String())
		return write(c.Stdout, printable(fmt.Sprintf("Job %q is valid. Options of task drivers were not checked: name a server with -address for that.\n",
			nomadish.Val(file.job.ID))))
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.Jobs().Validate(ctx, &nomadish.JobValidateRequest{Job: file.job})
	if err != nil {
		return err
	}
	c.warn(resp.Warnings)
	if refused := cmp.Or(resp.Error, strings.Join(resp.ValidationErrors, "\n")); refused != "" {
		return fmt.Errorf("the server refuses job %q: %s", nomadish.Val(file.job.ID), strings.TrimSpace(refused))
	}
	return write(c.Stdout, printable(fmt.Sprintf("Job %q is valid, here and for the server.\n", nomadish.Val(file.job.ID))))
}
