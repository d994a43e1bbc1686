package cli

import (
	"context"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func allocStopCommand() command {
	return command{
		words: "alloc stop", args: "ALLOCATION", summary: "Stop an allocation and have it placed again",
		help: allocationHelp + `

  The command waits until the allocation has ended, and names the one that replaces it.`,
		example: "  nomadish alloc stop 5f2c",
		exits: `  0    the allocation has ended; with -detach: it is to stop
  1    it failed; standard error says why
  2    -timeout is over and the allocation has not ended
  64   the command line is wrong
  130  an interrupt ended the command; the allocation stops all the same`,
		run: runAllocStop,
	}
}

func runAllocStop(ctx context.Context, c *call) error {
	detach, noDelay, timeout := false, false, 5*time.Minute
	c.remoteFlags()
	c.flags.BoolVar(&detach, "detach", false, "do not wait")
	c.flags.BoolVar(&noDelay, "no-shutdown-delay", false, "skip the shutdown_delay of the group and its tasks")
	c.flags.DurationVar(&timeout, "timeout", timeout, "how long to wait")
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := c.findAllocation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	resp, err := client.Allocations().Stop(ctx, a.ID, noDelay)
	if err != nil {
		return err
	}
	if err := c.print("Allocation %s (%s) is to stop (evaluation %s).\n", c.id(a.ID), a.Name, c.id(resp.EvalID)); err != nil || detach {
		return err
	}
	if err := c.awaitEnds(ctx, client, []*nomadish.AllocationListStub{a.Stub("", nomadish.AllocStubOptions{})}, timeout); err != nil {
		return err
	}
	if a, _, err = client.Allocations().Allocation(ctx, a.ID, nil); err != nil {
		return err
	}
	if a.NextAllocation == "" {
		return nil
	}
	return c.print("Allocation %s takes its place.\n", c.id(a.NextAllocation))
}
