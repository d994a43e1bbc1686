package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func evalStatusCommand() command {
	return command{
		words: "eval status", args: "[EVALUATION]", summary: "List evaluations, or show one and why it could not place all",
		help:    "  EVALUATION is an evaluation's ID or the beginning of one.",
		example: "  nomadish eval status 9a31",
		reads:   true,
		run:     runEvalStatus,
	}
}

func runEvalStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if len(c.args) == 0 {
		evals, _, err := client.Evaluations().List(ctx, nil)
		if err != nil {
			return err
		}
		return c.show(evals, func(p *page) { c.evaluationTable(p, evals) })
	}
	e, err := c.findEvaluation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if c.machine() {
		return c.show(e, nil)
	}
	allocs, _, err := client.Evaluations().Allocations(ctx, e.ID, nil)
	if err != nil {
		return err
	}
	return c.show(e, func(p *page) { c.evaluationPage(p, e, allocs) })
}

func (c *call) evaluationPage(p *page, e *nomadish.Evaluation, allocs []*nomadish.AllocationListStub) {
	wait := ""
	if !e.WaitUntil.IsZero() {
		wait = e.WaitUntil.Format(time.RFC3339)
	}
	p.fields(
		[2]string{"ID", e.ID},
		[2]string{"Job", e.JobID},
		[2]string{"Namespace", e.Namespace},
		[2]string{"Type", e.Type},
		[2]string{"Triggered by", e.TriggeredBy},
		[2]string{"Priority", number(e.Priority)},
		[2]string{"Status", joined(e.Status, e.StatusDescription)},
		[2]string{"Not before", wait},
		[2]string{"Created", c.when(e.CreateTime)},
		[2]string{"Modified", c.when(e.ModifyTime)},
		[2]string{"Node", c.id(e.NodeID)},
		[2]string{"Deployment", c.id(e.DeploymentID)},
		[2]string{"Previous", c.id(e.PreviousEval)},
		[2]string{"Next", c.id(e.NextEval)},
		[2]string{"Waits for room as", c.id(e.BlockedEval)},
	)
	if problems := placementProblems(e.FailedTGAllocs); len(problems) > 0 {
		p.title("What could not be placed")
		for _, line := range problems {
			p.line("%s", line)
		}
		if e.BlockedEval != "" {
			p.line("%s", fmt.Sprintf("Evaluation %s places it as soon as there is room.", c.id(e.BlockedEval)))
		}
	}
	p.title("Allocations")
	c.allocationTable(p, allocs)
}

// evaluationTable lists evaluations, the oldest first.
func (c *call) evaluationTable(p *page, evals []*nomadish.Evaluation) {
	if len(evals) == 0 {
		p.line("No evaluations.")
		return
	}
	rows := make([][]string, len(evals))
	for i, e := range evals {
		rows[i] = []string{
			c.id(e.ID), e.JobID, number(e.Priority), e.TriggeredBy, e.Status, yesNo(len(e.FailedTGAllocs) > 0), c.when(e.CreateTime),
		}
	}
	p.table([]string{"ID", "Job", "Priority", "Triggered by", "Status", "Not all placed", "Created"}, rows)
}
