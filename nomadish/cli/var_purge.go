package cli

import (
	"context"

	"github.com/nomadish/nomadish/nomadish"
)

func varPurgeCommand() command {
	return command{
		words: "var purge", args: "VARIABLE", summary: "Delete a variable for good",
		example: "  nomadish var purge -check-index 42 secret/db",
		run:     runVarPurge,
	}
}

func runVarPurge(ctx context.Context, c *call) error {
	c.remoteFlags()
	check := c.flags.Int64("check-index", -1, "delete it only if this is its modify `index`")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	var index *uint64
	if *check >= 0 {
		index = nomadish.Ptr(uint64(*check))
	}
	if err := client.Variables().Delete(ctx, nomadish.VariableName{Path: c.args[0]}, index); err != nil {
		return refusedWrite(err, index)
	}
	return c.print("There is no variable %q any more.\n", c.args[0])
}
