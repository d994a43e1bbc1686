package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
)

func nodeStatusCommand() command {
	return command{
		words: "node status", args: "[NODE]", summary: "List nodes, or show one with its resources, drivers and allocations",
		help:    "  NODE is a node's name, or its ID or the beginning of one.",
		example: "  nomadish node status -self",
		reads:   true,
		run:     runNodeStatus,
	}
}

func runNodeStatus(ctx context.Context, c *call) error {
	self := false
	c.readFlags()
	c.flags.BoolVar(&self, "self", false, "show the node of the agent that is asked")
	client, err := c.dial(0, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	if self {
		agent, err := client.Agent().Self(ctx)
		if err != nil {
			return err
		}
		id := agent.Stats["client"]["node_id"]
		if id == "" {
			return errors.New("the agent that is asked is no client node")
		}
		c.args = []string{id}
	}
	if len(c.args) == 0 {
		return c.listNodes(ctx, client)
	}
	n, err := c.findNode(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	if c.machine() {
		return c.show(n, nil)
	}
	allocs, _, err := client.Nodes().Allocations(ctx, n.ID, nil)
	if err != nil {
		return err
	}
	return c.show(n, func(p *page) { c.nodePage(p, n, allocs) })
}

func (c *call) listNodes(ctx context.Context, client *api.Client) error {
	nodes, _, err := client.Nodes().List(ctx, nil)
	if err != nil {
		return err
	}
	return c.showNodes(nodes)
}

func (c *call) showNodes(nodes []*nomadish.NodeListStub) error {
	return c.show(nodes, func(p *page) {
		if len(nodes) == 0 {
			p.line("No nodes.")
			return
		}
		rows := make([][]string, len(nodes))
		for i, n := range nodes {
			rows[i] = []string{
				c.id(n.ID), n.Name, n.Datacenter, n.NodePool, n.NodeClass, yesNo(n.Drain), n.SchedulingEligibility, n.Status,
			}
		}
		p.table([]string{"ID", "Name", "Datacenter", "Pool", "Class", "Drain", "Eligibility", "Status"}, rows)
	})
}

func (c *call) nodePage(p *page, n *nomadish.Node, allocs []*nomadish.Allocation) {
	var drivers []string
	for _, name := range slices.Sorted(maps.Keys(n.Drivers)) {
		d := n.Drivers[name]
		switch {
		case d == nil || !d.Detected:
		case d.Healthy:
			drivers = append(drivers, name)
		default:
			drivers = append(drivers, name+" (unhealthy: "+d.HealthDescription+")")
		}
	}
	p.fields(
		[2]string{"ID", n.ID},
		[2]string{"Name", n.Name},
		[2]string{"Datacenter", n.Datacenter},
		[2]string{"Pool", n.NodePool},
		[2]string{"Class", n.NodeClass},
		[2]string{"Status", joined(n.Status, n.StatusDescription)},
		[2]string{"Eligibility", n.SchedulingEligibility},
		[2]string{"Drain", drainText(n)},
		[2]string{"Address", n.HTTPAddr},
		[2]string{"Version", n.Attributes["nomad.version"]},
		[2]string{"Drivers", list(drivers)},
	)
	c.nodeResources(p, n, allocs)
	if len(n.Events) > 0 {
		rows := make([][]string, 0, len(n.Events))
		for _, e := range slices.Backward(n.Events) {
			rows = append(rows, []string{e.Timestamp.Format(time.RFC3339), e.Subsystem, e.Message})
		}
		p.title("Events")
		p.table([]string{"Time", "Subsystem", "Message"}, rows)
	}
	if c.remote.verbose {
		nodeAttributes(p, "Attributes", n.Attributes)
		nodeAttributes(p, "Meta", n.Meta)
	}
	stubs := make([]*nomadish.AllocationListStub, len(allocs))
	for i, a := range allocs {
		stubs[i] = a.Stub("", nomadish.AllocStubOptions{})
	}
	p.title("Allocations")
	c.allocationTable(p, stubs)
}

// drainText says whether a node drains, and until when at the latest; or what became of its
// last drain.
func drainText(n *nomadish.Node) string {
	switch s := n.DrainStrategy; {
	case s != nil && s.Deadline < 0:
		return "yes, by force"
	case s != nil && s.ForceDeadline.IsZero():
		return "yes, without a deadline"
	case s != nil:
		return "yes, by force at " + s.ForceDeadline.Format(time.RFC3339)
	case n.LastDrain != nil:
		return yesNo(n.Drain) + " (the last was " + n.LastDrain.Status + " at " + n.LastDrain.UpdatedAt.Format(time.RFC3339) + ")"
	}
	return yesNo(n.Drain)
}

func nodeAttributes(p *page, title string, values map[string]string) {
	if len(values) == 0 {
		return
	}
	rows := make([][2]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		rows = append(rows, [2]string{name, values[name]})
	}
	p.title("%s", title)
	p.fields(rows...)
}

// nodeResources shows what of the node is taken by allocations that run or are to run.
func (c *call) nodeResources(p *page, n *nomadish.Node, allocs []*nomadish.Allocation) {
	if n.NodeResources == nil {
		return
	}
	var cpu, memory, disk int64
	for _, a := range allocs {
		if a.Terminal() || a.AllocatedResources == nil {
			continue
		}
		for _, t := range a.AllocatedResources.Tasks {
			cpu += t.Cpu.CpuShares
			memory += t.Memory.MemoryMB
		}
		disk += a.AllocatedResources.Shared.DiskMB
	}
	reserved := n.ReservedResources
	if reserved == nil {
		reserved = &nomadish.NodeReservedResources{}
	}
	row := func(name, unit string, taken, all int64) []string {
		return []string{name, fmt.Sprintf("%d %s", taken, unit), fmt.Sprintf("%d %s", all-taken, unit), fmt.Sprintf("%d %s", all, unit)}
	}
	p.title("Resources")
	p.table([]string{"Resource", "Allocated", "Free", "For tasks"}, [][]string{
		row("CPU", "MHz", cpu, n.NodeResources.Cpu.CpuShares-int64(reserved.Cpu.CpuShares)),
		row("Memory", "MiB", memory, n.NodeResources.Memory.MemoryMB-int64(reserved.Memory.MemoryMB)),
		row("Disk", "MiB", disk, n.NodeResources.Disk.DiskMB-int64(reserved.Disk.DiskMB)),
	})
}

// list joins words for a person.
func list(words []string) string { return strings.Join(words, ", ") }
