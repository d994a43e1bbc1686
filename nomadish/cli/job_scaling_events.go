package cli

import (
	"cmp"
	"context"
	"slices"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func jobScalingEventsCommand() command {
	return command{
		words: "job scaling-events", args: "JOB", summary: "List how the groups of a job were scaled, and why",
		example: "  nomadish job scaling-events web",
		reads:   true,
		run:     runJobScalingEvents,
	}
}

// scalingEvent is an event with the group that it is about.
type scalingEvent struct {
	TaskGroup string
	nomadish.ScalingEvent
}

func runJobScalingEvents(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	stub, _, err := c.findJob(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	status, _, err := client.Jobs().ScaleStatus(ctx, stub.ID, &api.Query{Namespace: stub.Namespace})
	if err != nil {
		return err
	}
	events := []scalingEvent{}
	for name, g := range status.TaskGroups {
		for _, e := range g.Events {
			events = append(events, scalingEvent{name, *e})
		}
	}
	slices.SortFunc(events, func(a, b scalingEvent) int {
		return cmp.Or(cmp.Compare(b.Time, a.Time), cmp.Compare(a.TaskGroup, b.TaskGroup))
	})
	return c.show(events, func(p *page) {
		if len(events) == 0 {
			p.line("No group of job %q has been scaled.", stub.ID)
			return
		}
		var rows [][]string
		for _, e := range events {
			count, eval := "", ""
			if e.Count != nil {
				count = number(*e.Count)
			}
			if e.EvalID != nil {
				eval = c.id(*e.EvalID)
			}
			rows = append(rows, []string{e.TaskGroup, count, number(e.PreviousCount), yesNo(e.Error), e.Message, eval, c.when(e.Time)})
		}
		p.table([]string{"Task Group", "Count", "Before", "Error", "Message", "Eval ID", "Time"}, rows)
	})
}
