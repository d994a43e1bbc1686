package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

// waiting is what the task of a job runs that run -it makes: nothing, until it is stopped. The
// command of the user runs beside it, as one of exec.
const waiting = `trap 'exit 0' INT TERM; while :; do sleep 60 & wait $!; done`

// attached runs a command in a task made for it, with this terminal. Its exit code is the
// command's; the job ends with the command, and is forgotten with -rm.
func (f *runFlags) attached(ctx context.Context, c *call, file *jobFile, image *imageFlags, command []string) error {
	switch {
	case f.detach:
		return c.misused("-it and -detach exclude each other")
	case image.count != 1:
		return c.misused("-it runs one allocation, not %d", image.count)
	case c.machine():
		return c.misused("-it leaves standard output to the command: it excludes -t")
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := unknownJob(ctx, client, nomadish.Val(file.job.ID), "-it"); err != nil {
		return err
	}
	req, err := f.request(c, file)
	if err != nil {
		return err
	}
	resp, err := client.Jobs().Register(ctx, req)
	if err != nil {
		return refused(err, file)
	}
	c.warn(resp.Warnings)
	err = f.attach(ctx, c, client, file.job, resp, command)
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout)
	defer cancel()
	return errors.Join(err, stopOneOff(after, client, file.job, image.remove))
}

// attach waits until the task of a stored job runs, and runs the command in it.
func (f *runFlags) attach(ctx context.Context, c *call, client *api.Client, job *nomadish.Job, resp *nomadish.JobRegisterResponse, command []string) error {
	w := newFollower(c, client, job, resp)
	w.out, w.goal = c.Stderr, attachable
	w.live()
	end, err := w.follow(ctx, f.timeout)
	if err != nil {
		return err
	}
	a := upAllocation(&w.view)
	if end.outcome != outcomeRunning || a == nil {
		return &exit{code: max(end.outcome.code(), ExitFailed)}
	}
	whole, _, err := client.Allocations().Allocation(ctx, a.ID, nil)
	if err != nil {
		return err
	}
	task, err := runningTask(whole, "")
	if err != nil {
		return err
	}
	session := &execFlags{stdin: true, escape: "~"}
	return session.exec(ctx, c, client, whole, &nomadish.ExecRequest{Task: task, Command: command})
}

// attachable judges a job that commands are to run in: it has reached its end once its task
// is up.
func attachable(v *view) verdict {
	if upAllocation(v) != nil {
		return verdict{outcome: outcomeRunning, reason: "its task is up"}
	}
	return v.judge()
}

// upAllocation returns an allocation of the job whose tasks are up; nil: there is none.
func upAllocation(v *view) *nomadish.AllocationListStub {
	for _, a := range v.allocs {
		if a.JobVersion == v.version && !v.settled[a.ID] && isUp(a) {
			return a
		}
	}
	return nil
}

// stopOneOff ends a job that was made for one command.
func stopOneOff(ctx context.Context, client *api.Client, job *nomadish.Job, forget bool) error {
	_, err := client.Jobs().Deregister(ctx, &nomadish.JobDeregisterRequest{
		JobID: nomadish.Val(job.ID), Purge: forget, WriteRequest: nomadish.WriteRequest{Namespace: nomadish.Val(job.Namespace)},
	})
	if err != nil {
		return fmt.Errorf("job %q is still stored, and may run: %w", nomadish.Val(job.ID), err)
	}
	return nil
}

// unknownJob refuses a job that is there already, since a flag's end would be its end too.
func unknownJob(ctx context.Context, client *api.Client, id, flag string) error {
	if _, _, err := client.Jobs().Job(ctx, id, nil); err == nil {
		return fmt.Errorf("job %q is there already, and %s would end it: choose another name with -name", id, flag)
	}
	return nil
}

// newFollower follows a job that was stored just now.
func newFollower(c *call, client *api.Client, job *nomadish.Job, resp *nomadish.JobRegisterResponse) *follower {
	return &follower{
		call: c, client: client, out: c.Stdout, began: c.Now(), from: resp.EvalCreateIndex, evalID: resp.EvalID,
		jobID: nomadish.Val(job.ID), query: api.Query{Region: nomadish.Val(job.Region), Namespace: nomadish.Val(job.Namespace)},
	}
}

// waitingKill is how long the waiting process has to end; it needs none of it.
const waitingKill = 2 * time.Second
