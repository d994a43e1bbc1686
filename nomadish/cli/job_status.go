package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobStatusCommand() command {
	return command{
		words: "job status", args: "[JOB]", summary: "List jobs, or show one and why it does not run",
		help: `  JOB is a job's ID or the beginning of one. With -f the command follows the job as job run
  does, until it has reached its end state.`,
		example: "  nomadish job status web\n  nomadish job status -f web",
		exits: `  0    done; with -f: the job has reached its end state
  1    failed, or with -f: the job has failed; standard error says why
  2    with -f: the job is not complete: it waits for room, or -timeout is over
  64   the command line is wrong
  130  an interrupt ended the command; the job goes on`,
		reads: true,
		run:   runJobStatus,
	}
}

// jobStatus is what job status shows in JSON.
type jobStatus struct {
	Job              *nomadish.Job
	Summary          *nomadish.JobSummary
	Evaluations      []*nomadish.Evaluation
	LatestDeployment *nomadish.Deployment
	Allocations      []*nomadish.AllocationListStub
}

func runJobStatus(ctx context.Context, c *call) error {
	allAllocs, showEvals, follow, timeout := false, false, false, time.Duration(0)
	c.readFlags()
	c.flags.BoolVar(&allAllocs, "all-allocs", false, "show also the allocations of an earlier job of that ID")
	c.flags.BoolVar(&showEvals, "evals", false, "show the job's evaluations")
	c.flags.BoolVar(&follow, "f", false, "follow the job until it runs, or has run")
	c.flags.DurationVar(&timeout, "timeout", 0, "with -f: how long to follow; default as in job run")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if follow && (len(c.args) == 0 || c.machine()) {
		return c.misused("-f follows one job, and shows it to people")
	}
	if len(c.args) == 0 {
		return c.listJobs(ctx, client)
	}
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if follow {
		return c.followJob(ctx, client, stub, timeout)
	}
	return c.showJob(ctx, client, stub, allAllocs, showEvals || c.remote.verbose)
}

// followJob follows a job that was submitted before.
func (c *call) followJob(ctx context.Context, client *api.Client, stub *nomadish.JobListStub, timeout time.Duration) error {
	q := api.Query{Namespace: stub.Namespace}
	evals, _, err := client.Jobs().Evaluations(ctx, stub.ID, &q)
	if err != nil {
		return err
	}
	f := &follower{
		call: c, client: client, out: c.Stdout, began: c.Now(), from: stub.JobModifyIndex, jobID: stub.ID, query: q,
		evalID: submitted(evals, stub.JobModifyIndex),
	}
	f.live()
	end, err := f.follow(ctx, timeout)
	if err != nil {
		return err
	}
	if code := end.outcome.code(); code != ExitOK {
		return &exit{code: code}
	}
	return nil
}

// submitted returns the ID of the evaluation that came with the submission at an index: the
// first one since. Empty: it has been collected.
func submitted(evals []*nomadish.Evaluation, index uint64) string {
	var first *nomadish.Evaluation
	for _, e := range evals {
		if e.CreateIndex >= index && (first == nil || e.CreateIndex < first.CreateIndex) {
			first = e
		}
	}
	if first == nil {
		return ""
	}
	return first.ID
}

func (c *call) listJobs(ctx context.Context, client *api.Client) error {
	jobs, _, err := client.Jobs().List(ctx, nil)
	if err != nil {
		return err
	}
	return c.showJobs(jobs)
}

func (c *call) showJobs(jobs []*nomadish.JobListStub) error {
	return c.show(jobs, func(p *page) {
		if len(jobs) == 0 {
			p.line("No jobs.")
			return
		}
		rows := make([][]string, len(jobs))
		for i, j := range jobs {
			rows[i] = []string{j.ID, j.Namespace, jobKind(j), number(j.Priority), jobState(j), c.when(j.SubmitTime)}
		}
		p.table([]string{"ID", "Namespace", "Type", "Priority", "Status", "Submitted"}, rows)
	})
}

// jobState is the status of a job in a word or two.
func jobState(j *nomadish.JobListStub) string {
	if j.Stop {
		return j.Status + " (stopped)"
	}
	return j.Status
}

// jobKind is a job's type, and what launches it.
func jobKind(j *nomadish.JobListStub) string {
	switch {
	case j.Periodic:
		return j.Type + "/periodic"
	case j.ParameterizedJob:
		return j.Type + "/parameterized"
	}
	return j.Type
}

func (c *call) showJob(ctx context.Context, client *api.Client, stub *nomadish.JobListStub, allAllocs, evals bool) error {
	q := &api.Query{Namespace: stub.Namespace}
	s := &jobStatus{}
	var err error
	if s.Job, _, err = client.Jobs().Job(ctx, stub.ID, q); err != nil {
		return err
	}
	if s.Summary, _, err = client.Jobs().Summary(ctx, stub.ID, q); err != nil {
		return err
	}
	if s.Evaluations, _, err = client.Jobs().Evaluations(ctx, stub.ID, q); err != nil {
		return err
	}
	if s.LatestDeployment, _, err = client.Jobs().Deployment(ctx, stub.ID, q); err != nil {
		return err
	}
	if s.Allocations, _, err = client.Jobs().Allocations(ctx, stub.ID, allAllocs, q); err != nil {
		return err
	}
	return c.show(s, func(p *page) {
		c.jobFields(p, s.Job, stub)
		c.jobGroups(p, s)
		c.jobProblems(p, s)
		c.jobDeployment(p, s.LatestDeployment)
		if evals {
			p.title("Evaluations")
			c.evaluationTable(p, s.Evaluations)
		}
		p.title("Allocations")
		c.allocationTable(p, s.Allocations)
	})
}

func (c *call) jobFields(p *page, j *nomadish.Job, stub *nomadish.JobListStub) {
	next := ""
	if j.Periodic != nil && !nomadish.Val(j.Stop) && nomadish.Val(j.Periodic.Enabled) {
		if at, err := j.Periodic.Next(c.Now()); err == nil && !at.IsZero() {
			next = at.Format(time.RFC3339)
		}
	}
	p.fields(
		[2]string{"ID", nomadish.Val(j.ID)},
		[2]string{"Name", nomadish.Val(j.Name)},
		[2]string{"Namespace", nomadish.Val(j.Namespace)},
		[2]string{"Type", jobKind(stub)},
		[2]string{"Status", jobState(stub)},
		[2]string{"Description", nomadish.Val(j.StatusDescription)},
		[2]string{"Version", number(nomadish.Val(j.Version))},
		[2]string{"Submitted", c.when(nomadish.Val(j.SubmitTime))},
		[2]string{"Priority", number(nomadish.Val(j.Priority))},
		[2]string{"Datacenters", list(j.Datacenters)},
		[2]string{"Node pool", nomadish.Val(j.NodePool)},
		[2]string{"Launched by", nomadish.Val(j.ParentID)},
		[2]string{"Next launch", next},
	)
}

func (c *call) jobGroups(p *page, s *jobStatus) {
	if s.Summary == nil {
		return
	}
	if ch := s.Summary.Children; ch != nil && (s.Job.Periodic != nil || s.Job.ParameterizedJob != nil) {
		p.title("Launched jobs")
		p.table([]string{"Pending", "Running", "Dead"}, [][]string{{number(ch.Pending), number(ch.Running), number(ch.Dead)}})
		return
	}
	wanted := map[string]string{}
	for _, g := range s.Job.TaskGroups {
		wanted[nomadish.Val(g.Name)] = number(nomadish.Val(g.Count))
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(s.Summary.Summary)) {
		g := s.Summary.Summary[name]
		row := []string{name, wanted[name]}
		for _, n := range []int{g.Queued, g.Starting, g.Running, g.Complete, g.Failed, g.Lost, g.Unknown} {
			row = append(row, number(n))
		}
		rows = append(rows, row)
	}
	p.title("Groups")
	p.table([]string{"Group", "Wanted", "Queued", "Starting", "Running", "Complete", "Failed", "Lost", "Unknown"}, rows)
}

// jobProblems says why the job does not run as wanted, as far as it is known.
func (c *call) jobProblems(p *page, s *jobStatus) {
	if nomadish.Val(s.Job.Stop) {
		return
	}
	var lines []string
	if e := troubled(s.Evaluations); e != nil {
		lines = append(lines, placementProblems(e.FailedTGAllocs)...)
		if e.Status == nomadish.EvalStatusFailed {
			lines = append(lines, "evaluation "+c.id(e.ID)+" failed: "+e.StatusDescription)
		}
		if e.Status == nomadish.EvalStatusBlocked {
			lines = append(lines, fmt.Sprintf("evaluation %s goes on as soon as something changes in the cluster", c.id(e.ID)))
		}
	}
	for _, a := range s.Allocations {
		if a.JobVersion != nomadish.Val(s.Job.Version) || a.NextAllocation != "" {
			continue
		}
		if a.ClientStatus == nomadish.AllocClientFailed {
			lines = append(lines, fmt.Sprintf("allocation %s (%s) failed: %s", c.id(a.ID), a.Name, failure(a)))
			continue
		}
		for _, name := range taskNames(a.TaskStates) {
			t := a.TaskStates[name]
			if e := lastEvent(t, nomadish.TaskEventTerminated); e != nil && t.State == nomadish.TaskStatePending && t.Restarts > 0 {
				lines = append(lines, fmt.Sprintf("allocation %s (%s) task %q has restarted %d times: %s", c.id(a.ID), a.Name, name, t.Restarts, message(e)))
			}
		}
	}
	if len(lines) == 0 {
		return
	}
	p.title("Why it does not run as wanted")
	for _, line := range lines {
		p.line("%s", line)
	}
}

// troubled returns the evaluation that says why something is not placed now: one that is
// blocked, else the newest one if it failed.
func troubled(evals []*nomadish.Evaluation) *nomadish.Evaluation {
	var newest *nomadish.Evaluation
	for _, e := range evals {
		if e.Status == nomadish.EvalStatusBlocked && len(e.FailedTGAllocs) > 0 {
			return e
		}
		if newest == nil || e.CreateIndex > newest.CreateIndex {
			newest = e
		}
	}
	if newest == nil || newest.Status != nomadish.EvalStatusFailed && len(newest.FailedTGAllocs) == 0 {
		return nil
	}
	return newest
}

func (c *call) jobDeployment(p *page, d *nomadish.Deployment) {
	if d == nil {
		return
	}
	p.title("Latest deployment")
	p.fields(
		[2]string{"ID", c.id(d.ID)},
		[2]string{"Status", d.Status},
		[2]string{"Description", d.StatusDescription},
	)
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(d.TaskGroups)) {
		g := d.TaskGroups[name]
		rows = append(rows, []string{name, number(g.DesiredTotal), number(g.PlacedAllocs), number(g.HealthyAllocs), number(g.UnhealthyAllocs)})
	}
	p.table([]string{"Group", "Wanted", "Placed", "Healthy", "Unhealthy"}, rows)
}

// allocationTable lists allocations, the newest first.
func (c *call) allocationTable(p *page, allocs []*nomadish.AllocationListStub) {
	if len(allocs) == 0 {
		p.line("No allocations.")
		return
	}
	allocs = slices.Clone(allocs)
	slices.SortStableFunc(allocs, func(a, b *nomadish.AllocationListStub) int { return cmp.Compare(b.CreateIndex, a.CreateIndex) })
	rows := make([][]string, len(allocs))
	for i, a := range allocs {
		rows[i] = []string{
			c.id(a.ID), a.Name, cmp.Or(a.NodeName, c.id(a.NodeID)), number(a.JobVersion), a.DesiredStatus, a.ClientStatus,
			c.when(a.CreateTime), c.when(a.ModifyTime),
		}
	}
	p.table([]string{"ID", "Name", "Node", "Version", "Desired", "Status", "Created", "Modified"}, rows)
}
