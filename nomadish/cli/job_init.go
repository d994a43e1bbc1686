package cli

import (
	"context"
	_ "embed"
)

//go:embed job_init.nomad.hcl
var jobExample string

//go:embed job_init_short.nomad.hcl
var jobExampleShort string

func jobInitCommand() command {
	return command{
		words: "job init", args: "[FILE]", summary: "Write an example of a job file",
		help:    "  FILE is by default example.nomad.hcl. A file that is there already is left alone.",
		example: "  nomadish job init && nomadish job run example.nomad.hcl",
		run:     runJobInit,
	}
}

func runJobInit(_ context.Context, c *call) error {
	brief := c.flags.Bool("short", false, "write it without comments")
	if err := c.parse(0, 1); err != nil {
		return err
	}
	name, text := "example.nomad.hcl", jobExample
	if len(c.args) == 1 {
		name = c.args[0]
	}
	if *brief {
		text = jobExampleShort
	}
	if err := writeNew(name, text, 0o644); err != nil {
		return err
	}
	return c.print("Wrote %s; run it with: nomadish job run %s\n", name, name)
}
