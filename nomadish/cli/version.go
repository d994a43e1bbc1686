package cli

import "context"

func versionCommand() command {
	return command{words: "version", summary: "Print the version", example: "  nomadish version -json", reads: true, run: runVersion}
}

func runVersion(_ context.Context, c *call) error {
	c.outputFlags()
	if err := c.parse(0, 0); err != nil {
		return err
	}
	return c.show(struct{ Version string }{c.Version}, func(p *page) { p.line("nomadish %s", c.Version) })
}
