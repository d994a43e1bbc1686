package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobRunCommand() command {
	return command{
		words: "job run", args: "FILE", summary: "Submit a job and follow it until it runs, or has run",
		help: `  The file ("-": standard input) is parsed here, so its functions may read other files.
  Then the command tells what happens to the job until it has reached its end state:

    service   each wanted allocation runs: all its tasks are up for 2s (after a restart for
              the group's min_healthy_time), or are healthy where health is watched
    batch     each wanted allocation is complete

  A periodic or parameterized job has reached it once it is stored. An interrupt (Ctrl-C)
  ends the command, never the job. With -t the progress goes to standard error, and the
  template gets the result: JobID, Namespace, Version (if followed), EvalID, JobModifyIndex, Warnings,
  Outcome (running, complete, registered, detached, failed, blocked or timeout), Reason.`,
		example: `  nomadish job run -var count=3 web.nomad.hcl
  nomadish job run -detach -t '{{.EvalID}}' - < web.nomad.hcl`,
		exits: `  0    the job has reached its end state; with -detach: it is stored
  1    it failed: an allocation failed for good, or the file, the job or the server is at fault
  2    it is stored, but not complete: it waits for room, or -timeout is over
  64   the command line is wrong
  130  an interrupt ended the command; the job goes on`,
		run: runJobRun,
	}
}

// runFlags are the flags of job run.
type runFlags struct {
	jobFlags
	detach, asRequest                 bool
	preserveCounts, preserveResources bool
	checkIndex                        string
	evalPriority                      int
	timeout                           time.Duration
}

func (f *runFlags) register(c *call) {
	f.jobFlags.register(c)
	c.remoteFlags()
	c.templateFlag()
	c.flags.BoolVar(&f.detach, "detach", false, "end once the job is stored")
	c.flags.BoolVar(&f.asRequest, "output", false, "print the request in JSON instead of sending it")
	c.flags.StringVar(&f.checkIndex, "check-index", "", "store the job only if its JobModifyIndex is still this `index`; 0: only if it is new")
	c.flags.BoolVar(&f.preserveCounts, "preserve-counts", false, "keep the group counts of the stored version")
	c.flags.BoolVar(&f.preserveResources, "preserve-resources", false, "keep the task resources of the stored version")
	c.flags.IntVar(&f.evalPriority, "eval-priority", 0, "`priority` of the evaluation, 1 to 100; default: the job's")
	c.flags.DurationVar(&f.timeout, "timeout", 0, "how long to follow the job; default for services: its longest progress_deadline (10m), for others: as long as it takes")
}

// runResult is what the template of job run gets.
type runResult struct {
	JobID          string
	Namespace      string
	Version        uint64
	EvalID         string
	JobModifyIndex uint64
	Warnings       string
	Outcome        string
	Reason         string
}

func runJobRun(ctx context.Context, c *call) error {
	flags := &runFlags{}
	flags.register(c)
	if err := c.parse(1, 1); err != nil {
		return err
	}
	return flags.run(ctx, c)
}

// run submits the job file that is the command's argument, and follows the job.
func (f *runFlags) run(ctx context.Context, c *call) error {
	file, err := c.readJob(c.args[0], &f.jobFlags)
	if err != nil {
		return err
	}
	return f.submit(ctx, c, file)
}

// submit stores a job and follows it.
func (f *runFlags) submit(ctx context.Context, c *call, file *jobFile) error {
	req, err := f.request(c, file)
	if err != nil {
		return err
	}
	if f.asRequest {
		text, err := indented(req)
		if err != nil {
			return err
		}
		return write(c.Stdout, text+"\n")
	}
	client, err := c.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	resp, err := client.Jobs().Register(ctx, req)
	if err != nil {
		return refused(err, file)
	}
	c.warn(resp.Warnings)
	return f.watch(ctx, c, client, file.job, resp)
}

func (f *runFlags) request(c *call, file *jobFile) (*nomadish.JobRegisterRequest, error) {
	cfg, err := c.apiConfig()
	if err != nil {
		return nil, err
	}
	if file.job.Namespace == nil && cfg.Namespace != "" {
		file.job.Namespace = &cfg.Namespace
	}
	if file.job.Region == nil && cfg.Region != "" {
		file.job.Region = &cfg.Region
	}
	req := &nomadish.JobRegisterRequest{
		Job: file.job, Submission: file.submission, EvalPriority: f.evalPriority,
		PreserveCounts: f.preserveCounts, PreserveResources: f.preserveResources,
		WriteRequest: nomadish.WriteRequest{Region: nomadish.Val(file.job.Region), Namespace: nomadish.Val(file.job.Namespace)},
	}
	if f.checkIndex != "" {
		req.EnforceIndex = true
		if req.JobModifyIndex, err = strconv.ParseUint(f.checkIndex, 10, 64); err != nil {
			return nil, c.misused("-check-index: %q is no index", f.checkIndex)
		}
	}
	return req, nil
}

// refused says why a server does not take a job, with the place in the file where that is known.
func refused(err error, file *jobFile) error {
	if nomadish.KindOf(err) == nomadish.KindNoLeader {
		return err
	}
	var answer *api.Error
	if errors.As(err, &answer) {
		if _, local := file.check(); local != nil {
			return local
		}
		return fmt.Errorf("the server refuses job %q: %w", nomadish.Val(file.job.ID), err)
	}
	return err
}

// watch follows a stored job and says how that ended.
func (f *runFlags) watch(ctx context.Context, c *call, client *api.Client, submitted *nomadish.Job, resp *nomadish.JobRegisterResponse) error {
	var progress io.Writer = c.Stdout
	if c.machine() {
		progress = c.Stderr
	}
	result := &runResult{
		JobID: nomadish.Val(submitted.ID), Namespace: nomadish.Val(submitted.Namespace), EvalID: resp.EvalID,
		JobModifyIndex: resp.JobModifyIndex, Warnings: resp.Warnings,
	}
	w := newFollower(c, client, submitted, resp)
	w.out = progress
	var code int
	switch {
	case resp.EvalID == "":
		result.Outcome, result.Reason = "registered", "it launches nothing by itself now"
		if submitted.Periodic != nil {
			result.Reason = "it launches at its times"
		} else if submitted.ParameterizedJob != nil {
			result.Reason = "it launches when it is dispatched"
		}
		w.say("Job %q is stored: %s.", result.JobID, result.Reason)
	case f.detach:
		result.Outcome = "detached"
		w.say("Job %q is stored; evaluation %s places it.", result.JobID, c.id(resp.EvalID))
	default:
		w.say("Job %q is stored; evaluation %s places it.", result.JobID, c.id(resp.EvalID))
		w.live()
		end, err := w.follow(ctx, f.timeout)
		if err != nil {
			return err
		}
		result.Outcome, result.Reason, result.Version, code = string(end.outcome), end.reason, w.version, end.outcome.code()
	}
	if c.output.template != "" {
		if err := c.fill(result); err != nil {
			return err
		}
	}
	if code != ExitOK {
		return &exit{code: code}
	}
	return nil
}
