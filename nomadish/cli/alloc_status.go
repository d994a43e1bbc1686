package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func allocStatusCommand() command {
	return command{
		words: "alloc status", args: "[ALLOCATION]", summary: "List allocations, or show one with its tasks, events and addresses",
		help:    allocationHelp,
		example: "  nomadish alloc status 5f2c",
		reads:   true,
		run:     runAllocStatus,
	}
}

func runAllocStatus(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if len(c.args) == 0 {
		allocs, _, err := client.Allocations().List(ctx, nil)
		if err != nil {
			return err
		}
		return c.show(allocs, func(p *page) { c.allocationTable(p, allocs) })
	}
	a, err := c.findAllocation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	return c.show(a, func(p *page) { c.allocationPage(p, a) })
}

func (c *call) allocationPage(p *page, a *nomadish.Allocation) {
	healthy := ""
	if s := a.DeploymentStatus; s != nil && s.Healthy != nil {
		healthy = yesNo(*s.Healthy)
	}
	p.fields(
		[2]string{"ID", a.ID},
		[2]string{"Name", a.Name},
		[2]string{"Namespace", a.Namespace},
		[2]string{"Node", fmt.Sprintf("%s (%s)", a.NodeName, c.id(a.NodeID))},
		[2]string{"Job", fmt.Sprintf("%s, version %d", a.JobID, a.JobVersion)},
		[2]string{"Evaluation", c.id(a.EvalID)},
		[2]string{"Desired", joined(a.DesiredStatus, a.DesiredDescription)},
		[2]string{"Status", joined(a.ClientStatus, a.ClientDescription)},
		[2]string{"Healthy", healthy},
		[2]string{"Created", c.when(a.CreateTime)},
		[2]string{"Modified", c.when(a.ModifyTime)},
		[2]string{"Stands in for", c.id(a.PreviousAllocation)},
		[2]string{"Replaced by", c.id(a.NextAllocation)},
		[2]string{"Placed again by evaluation", c.id(a.FollowupEvalID)},
	)
	c.allocationPorts(p, a)
	for _, name := range allocTasks(a) {
		c.taskSection(p, a, name)
	}
	if c.remote.verbose && a.Metrics != nil {
		c.placementMetrics(p, a.Metrics)
	}
}

// joined is a word with what explains it.
func joined(word, more string) string {
	if more == "" {
		return word
	}
	return word + ": " + more
}

// allocTasks lists the allocation's tasks in the order of the job, then those that only its
// states know.
func allocTasks(a *nomadish.Allocation) (names []string) {
	if a.Job != nil {
		if g := a.Job.TaskGroup(a.TaskGroup); g != nil {
			for _, t := range g.Tasks {
				names = append(names, t.Name)
			}
		}
	}
	for _, name := range taskNames(a.TaskStates) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (c *call) allocationPorts(p *page, a *nomadish.Allocation) {
	if a.AllocatedResources == nil {
		return
	}
	var rows [][]string
	for _, port := range a.AllocatedResources.Shared.Ports {
		to := ""
		if port.To > 0 {
			to = strconv.Itoa(port.To)
		}
		rows = append(rows, []string{port.Label, address(port), to})
	}
	if len(rows) > 0 {
		p.title("Ports")
		p.table([]string{"Label", "Address", "In the group"}, rows)
	}
}

// address is where a port is reached.
func address(p nomadish.PortMapping) string { return net.JoinHostPort(p.HostIP, strconv.Itoa(p.Value)) }

func (c *call) taskSection(p *page, a *nomadish.Allocation, name string) {
	t := a.TaskStates[name]
	if t == nil {
		t = &nomadish.TaskState{State: nomadish.TaskStatePending}
	}
	p.title("Task %q is %s", name, taskState(t))
	restarts := ""
	if t.Restarts > 0 {
		restarts = fmt.Sprintf("%d, the last %s", t.Restarts, c.when(t.LastRestart.UnixNano()))
	}
	p.fields(
		[2]string{"Started", c.whenTime(t.StartedAt)},
		[2]string{"Finished", c.whenTime(t.FinishedAt)},
		[2]string{"Restarts", restarts},
		[2]string{"Resources", taskResources(a, name)},
	)
	if len(t.Events) == 0 {
		return
	}
	rows := make([][]string, 0, len(t.Events))
	for _, e := range slices.Backward(t.Events) {
		rows = append(rows, []string{time.Unix(0, e.Time).Format(time.RFC3339), e.Type, message(e)})
	}
	p.table([]string{"Time", "Event", "Description"}, rows)
}

// whenTime is when for a time that may be zero.
func (c *call) whenTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return c.when(t.UnixNano())
}

func taskState(t *nomadish.TaskState) string {
	if t.State == nomadish.TaskStateDead && t.Failed {
		return "dead: it failed"
	}
	return t.State
}

func taskResources(a *nomadish.Allocation, name string) string {
	if a.AllocatedResources == nil || a.AllocatedResources.Tasks[name] == nil {
		return ""
	}
	r := a.AllocatedResources.Tasks[name]
	parts := []string{fmt.Sprintf("%d MHz", r.Cpu.CpuShares), fmt.Sprintf("%d MiB memory", r.Memory.MemoryMB)}
	if r.Memory.MemoryMaxMB > r.Memory.MemoryMB {
		parts[1] += fmt.Sprintf(" (up to %d)", r.Memory.MemoryMaxMB)
	}
	if disk := a.AllocatedResources.Shared.DiskMB; disk > 0 {
		parts = append(parts, fmt.Sprintf("%d MiB disk shared", disk))
	}
	return strings.Join(parts, ", ")
}

func (c *call) placementMetrics(p *page, m *nomadish.AllocationMetric) {
	p.title("Placement")
	for _, r := range reasons(m) {
		p.line("  * %s", r)
	}
	best := slices.Clone(m.ScoreMetaData)
	slices.SortFunc(best, func(a, b *nomadish.NodeScoreMeta) int {
		return cmp.Or(cmp.Compare(b.NormScore, a.NormScore), strings.Compare(a.NodeID, b.NodeID))
	})
	rows := make([][]string, len(best))
	for i, s := range best {
		rows[i] = []string{s.NodeID, strconv.FormatFloat(s.NormScore, 'f', 3, 64)}
	}
	if len(rows) > 0 {
		p.table([]string{"Node", "Score"}, rows)
	}
}
