package cli

import (
	"context"
	"fmt"
)

func versionCommand() command {
	return command{words: "version", summary: "Print the version", run: runVersion}
}

func runVersion(_ context.Context, c *call) error {
	if err := c.parse(0, 0); err != nil {
		return err
	}
	fmt.Fprintln(c.Stdout, "nomadish "+c.Version)
	return nil
}
