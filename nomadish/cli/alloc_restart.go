package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/nomadish/nomadish/nomadish"
)

func allocRestartCommand() command {
	return command{
		words: "alloc restart", args: "ALLOCATION [TASK]", summary: "Restart the tasks of an allocation in place",
		help: allocationHelp + `

  Without TASK all tasks restart that run now; with -all-tasks also those that have ended, in
  the order of their lifecycles.`,
		example: "  nomadish alloc restart web/0\n  nomadish alloc restart 5f2c nginx",
		run:     runAllocRestart,
	}
}

func runAllocRestart(ctx context.Context, c *call) error {
	req := &nomadish.AllocRestartRequest{}
	c.remoteFlags()
	c.flags.StringVar(&req.TaskName, "task", "", "`name` of the task")
	c.flags.BoolVar(&req.AllTasks, "all-tasks", false, "restart all tasks, ended ones too")
	client, err := c.dial(1, 2)
	if err != nil {
		return err
	}
	defer client.Close()
	if len(c.args) == 2 {
		req.TaskName = cmp.Or(req.TaskName, c.args[1])
	}
	if req.AllTasks && req.TaskName != "" {
		return c.misused("-all-tasks and a task exclude each other")
	}
	a, err := c.findAllocation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if req.TaskName != "" {
		if req.TaskName, err = taskOf(a, req.TaskName); err != nil {
			return err
		}
	}
	if err := client.Allocations().Restart(ctx, a.ID, req); err != nil {
		return err
	}
	what := "all running tasks restart"
	switch {
	case req.TaskName != "":
		what = fmt.Sprintf("task %q restarts", req.TaskName)
	case req.AllTasks:
		what = "all tasks restart"
	}
	return c.print("Allocation %s (%s): %s.\n", c.id(a.ID), a.Name, what)
}

func allocSignalCommand() command {
	return command{
		words: "alloc signal", args: "ALLOCATION [TASK]", summary: "Send a signal to the tasks of an allocation",
		help: allocationHelp + `

  Without TASK all tasks get the signal that run now.`,
		example: "  nomadish alloc signal -s SIGHUP web/0 nginx",
		run:     runAllocSignal,
	}
}

func runAllocSignal(ctx context.Context, c *call) error {
	signal, task := "", ""
	c.remoteFlags()
	c.flags.StringVar(&signal, "s", "SIGKILL", "`name` of the signal")
	c.flags.StringVar(&task, "task", "", "`name` of the task")
	client, err := c.dial(1, 2)
	if err != nil {
		return err
	}
	defer client.Close()
	if len(c.args) == 2 {
		task = cmp.Or(task, c.args[1])
	}
	a, err := c.findAllocation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if task != "" {
		if task, err = taskOf(a, task); err != nil {
			return err
		}
	}
	if err := client.Allocations().Signal(ctx, a.ID, task, signal); err != nil {
		return err
	}
	return c.print("%s was sent to %s of allocation %s (%s).\n", signal, cmp.Or(task, "all running tasks"), c.id(a.ID), a.Name)
}
