package cli

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// ExitPlanFailed is the code of job plan when there is no plan: 1 means something else there.
const ExitPlanFailed = 255

func jobPlanCommand() command {
	return command{
		words: "job plan", args: "FILE", summary: "Show what submitting a job would do, and do nothing",
		help: `  The file ("-": standard input) is parsed here and compared with the job that the server
  has. The server's scheduler is asked where the job's allocations would go, which ones would
  be stopped or replaced, and why some would find no place. Groups and tasks that come or go
  as a whole are shown in full with -verbose. The template of -t gets the API's answer.`,
		example: `  nomadish job plan -var count=3 web.nomad.hcl
  nomadish job plan -t '{{json .Placements}}' web.nomad.hcl`,
		exits: `  0    no allocation would be created or destroyed
  1    some would
  64   the command line is wrong
  255  there is no plan; standard error says why`,
		run: runJobPlan,
	}
}

func runJobPlan(ctx context.Context, c *call) error {
	flags, diff, override := &jobFlags{}, true, false
	flags.register(c)
	c.remoteFlags()
	c.templateFlag()
	c.flags.BoolVar(&diff, "diff", true, "show how the job differs from the one that the server has")
	c.flags.BoolVar(&override, "policy-override", false, "as Nomad's; there are no policies, so this changes nothing")
	if err := c.parse(1, 1); err != nil {
		return err
	}
	code, err := c.plan(ctx, flags, &nomadish.JobPlanRequest{Diff: diff, PolicyOverride: override})
	var e *exit
	if err != nil && !errors.As(err, &e) {
		return &exit{code: ExitPlanFailed, err: err}
	}
	if err != nil {
		return err
	}
	return &exit{code: code}
}

func (c *call) plan(ctx context.Context, flags *jobFlags, req *nomadish.JobPlanRequest) (code int, err error) {
	file, err := c.readJob(c.args[0], flags)
	if err != nil {
		return 0, err
	}
	submit, err := (&runFlags{}).request(c, file)
	if err != nil {
		return 0, err
	}
	if nomadish.Val(file.job.ID) == "" {
		return 0, errors.New("the job has no ID")
	}
	client, err := c.connect()
	if err != nil {
		return 0, err
	}
	defer client.Close()
	req.Job, req.WriteRequest = file.job, submit.WriteRequest
	resp, err := client.Jobs().Plan(ctx, req)
	if err != nil {
		return 0, refused(err, file)
	}
	c.warn(resp.Warnings)
	code = planCode(resp)
	if c.output.template != "" {
		return code, c.fill(resp)
	}
	return code, c.showPlan(resp, flags)
}

// planCode is the exit code of a plan.
func planCode(resp *nomadish.JobPlanResponse) int {
	for _, u := range resp.Annotations.DesiredTGUpdates {
		if u.Place+u.Stop+u.Migrate+u.DestructiveUpdate+u.Canary+u.Preemptions > 0 {
			return 1
		}
	}
	return 0
}

func (c *call) showPlan(resp *nomadish.JobPlanResponse, flags *jobFlags) error {
	if resp.Diff != nil { // written apart, as it has colors
		if err := write(c.Stdout, c.jobDiff(resp.Diff)+"\n"); err != nil {
			return err
		}
	}
	p := &page{}
	p.line("Scheduler dry-run:")
	c.planOutcome(p, resp)
	c.planPlacements(p, resp)
	p.title("Job Modify Index: %d", resp.JobModifyIndex)
	p.line("To submit this job only if nobody changes it in the meantime:")
	words := append(flags.words(), commandLine(c.args[0]))
	p.title("nomadish job run -check-index %d %s", resp.JobModifyIndex, strings.Join(words, " "))
	return write(c.Stdout, p.String())
}

// commandLine is a word as a shell wants it.
func commandLine(word string) string {
	if strings.ContainsAny(word, " \t\n'\"\\$`!*?[](){}<>|&;#~") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// planOutcome says whether all would find a place, and what would follow.
func (c *call) planOutcome(p *page, resp *nomadish.JobPlanResponse) {
	if len(resp.FailedTGAllocs) == 0 {
		p.line("- All tasks successfully allocated.")
	} else {
		p.line("- WARNING: Failed to place all allocations.")
		for _, problem := range placementProblems(resp.FailedTGAllocs) {
			p.line("  %s", problem)
		}
	}
	for _, e := range resp.CreatedEvals {
		if e.TriggeredBy == nomadish.EvalTriggerRollingUpdate {
			p.line("- Rolling update, next evaluation will be in %s.", max(0, e.WaitUntil.Sub(c.Now())).Round(time.Second))
		}
	}
	if next := resp.NextPeriodicLaunch; !next.IsZero() {
		p.line("- If submitted now, next periodic launch would be at %s (in %s).", next.UTC().Format(time.RFC3339), age(next.Sub(c.Now())))
	}
}

// placementsShown is how many placements are listed without -verbose.
const placementsShown = 20

// planPlacements lists where new allocations would go.
func (c *call) planPlacements(p *page, resp *nomadish.JobPlanResponse) {
	if len(resp.Placements) == 0 {
		return
	}
	shown := resp.Placements
	if !c.remote.verbose {
		shown = shown[:min(len(shown), placementsShown)]
	}
	p.title("Placements")
	var rows [][]string
	for _, m := range shown {
		rows = append(rows, []string{m.Name, cmp.Or(m.NodeName, c.id(m.NodeID)), strconv.FormatFloat(m.Score, 'f', 3, 64), c.id(m.Replaces)})
	}
	p.table([]string{"Allocation", "Node", "Score", "Replaces"}, rows)
	if more := len(resp.Placements) - len(shown) + resp.PlacementsOmitted; more > 0 {
		p.line("… and %d more", more)
	}
}
