package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobStopCommand() command {
	return command{
		words: "job stop", args: "JOB", summary: "Stop a job and wait until its allocations have ended",
		help: `  JOB is a job's ID, or the beginning of one, for which the command asks first.`,
		example: `  nomadish job stop web
  nomadish job stop -purge -yes we`,
		exits: `  0    the job's allocations have ended; with -detach: it is to stop
  1    it failed; standard error says why
  2    -timeout is over and an allocation has not ended
  64   the command line is wrong
  130  an interrupt ended the command; the job stops all the same`,
		run: runJobStop,
	}
}

type stopFlags struct {
	purge, global, detach, yes, noDelay bool
	priority                            int
	timeout                             time.Duration
}

func (f *stopFlags) register(c *call) {
	c.remoteFlags()
	c.flags.BoolVar(&f.purge, "purge", false, "forget the job once it has stopped")
	c.flags.BoolVar(&f.global, "global", false, "stop a job of several regions in all of them")
	c.flags.BoolVar(&f.detach, "detach", false, "do not wait")
	c.flags.BoolVar(&f.yes, "yes", false, "do not ask")
	c.flags.BoolVar(&f.noDelay, "no-shutdown-delay", false, "skip the shutdown_delay of groups and tasks")
	c.flags.IntVar(&f.priority, "eval-priority", 0, "`priority` of the evaluation, 1 to 100; default: the job's")
	c.flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait")
}

func runJobStop(ctx context.Context, c *call) error {
	f := &stopFlags{}
	f.register(c)
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	job, exact, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if !exact && !f.yes {
		if err := c.confirm(fmt.Sprintf("Stop job %q?", job.ID)); err != nil {
			return err
		}
	}
	q := &api.Query{Namespace: job.Namespace}
	before, _, err := client.Jobs().Allocations(ctx, job.ID, true, q)
	if err != nil {
		return err
	}
	resp, err := client.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{
		JobID: job.ID, Purge: f.purge, Global: f.global, EvalPriority: f.priority, NoShutdownDelay: f.noDelay,
		WriteRequest: nomadish.WriteRequest{Namespace: job.Namespace},
	})
	if err != nil {
		return err
	}
	if err := c.print("Job %q is to stop (evaluation %s).\n", job.ID, c.id(resp.EvalID)); err != nil || f.detach {
		return err
	}
	return c.awaitEnds(ctx, client, before, f.timeout)
}

// print writes a line to standard output.
func (c *call) print(format string, args ...any) error {
	return write(c.Stdout, printable(fmt.Sprintf(format, args...)))
}

// confirm asks a question and returns an error unless the answer is yes.
func (c *call) confirm(question string) error {
	if c.Stdin == nil {
		return errors.New("not confirmed: give the whole name, or -yes")
	}
	fmt.Fprint(c.Stderr, printable(question)+" [y/N] ")
	line, err := bufio.NewReader(c.Stdin).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "y" || answer == "yes" {
		return nil
	}
	if err != nil {
		fmt.Fprintln(c.Stderr)
	}
	return errors.New("not confirmed: give the whole name, or -yes")
}

// awaitEnds waits until allocations have ended on their nodes, and tells of each.
func (c *call) awaitEnds(ctx context.Context, client *api.Client, allocs []*nomadish.AllocationListStub, timeout time.Duration) error {
	began := c.Now()
	for _, a := range allocs {
		if ended(a) {
			continue
		}
		index := uint64(0)
		for !ended(a) {
			if c.Now().Sub(began) > timeout {
				return &exit{code: ExitPartial, err: fmt.Errorf("allocation %s (%s) is still %s after %s; node %s has yet to report its end",
					c.id(a.ID), a.Name, a.ClientStatus, timeout, a.NodeName)}
			}
			got, meta, err := client.Allocations().Allocation(ctx, a.ID, &api.Query{MinIndex: index, Wait: pollLongest})
			if errors.Is(err, nomadish.ErrNotFound) {
				break // collected
			}
			if err != nil {
				return err
			}
			index = meta.Index
			a = got.Stub("", nomadish.AllocStubOptions{})
		}
		if err := c.print("Allocation %s (%s) has ended: %s.\n", c.id(a.ID), a.Name, a.ClientStatus); err != nil {
			return err
		}
	}
	return c.print("Stopped.\n")
}
