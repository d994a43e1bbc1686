package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

func allocStatsCommand() command {
	return command{
		words: "alloc stats", args: "ALLOCATION", summary: "Show what the tasks of an allocation use, beside what they were given",
		help:    allocationHelp,
		example: "  nomadish alloc stats web/0\n  nomadish alloc stats -t '{{.ResourceUsage.MemoryStats.Usage}}' 5f2c",
		reads:   true,
		run:     runAllocStats,
	}
}

func runAllocStats(ctx context.Context, c *call) error {
	c.readFlags()
	client, err := c.dial(1, 1)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := c.findAllocation(ctx, client, c.args[0])
	if err != nil {
		return err
	}
	usage, err := client.Allocations().Stats(ctx, a.ID, nil)
	if err != nil {
		return err
	}
	return c.show(usage, func(p *page) { statsPage(p, a, usage) })
}

// statsPage shows what each task uses. CPU is in percent of one core, and in MHz beside what the
// task was given; memory in use counts caches, which the kernel takes back when it has to.
func statsPage(p *page, a *nomadish.Allocation, usage *nomadish.AllocResourceUsage) {
	rows := make([][]string, 0, len(usage.Tasks))
	for _, name := range slices.Sorted(maps.Keys(usage.Tasks)) {
		var given *nomadish.AllocatedTaskResources
		if a.AllocatedResources != nil {
			given = a.AllocatedResources.Tasks[name]
		}
		rows = append(rows, statsRow(name, usage.Tasks[name].ResourceUsage, given))
	}
	p.fields([2]string{"Allocation", a.Name}, [2]string{"ID", a.ID}, [2]string{"At", time.Unix(0, usage.Timestamp).UTC().Format(time.RFC3339)})
	p.title("")
	p.table([]string{"Task", "CPU", "", "Throttled", "Memory", "RSS", "Cache", "Peak"}, rows)
}

func statsRow(name string, u *nomadish.ResourceUsage, given *nomadish.AllocatedTaskResources) []string {
	row := []string{name, "", "", "", "", "", "", ""}
	if u == nil {
		return row
	}
	if cpu := u.CpuStats; cpu != nil {
		row[1], row[2] = percent(cpu.Percent), fmt.Sprintf("%.0f MHz", cpu.TotalTicks)
		row[3] = time.Duration(cpu.ThrottledTime).Round(time.Millisecond).String() + " in " + strconv.FormatUint(cpu.ThrottledPeriods, 10)
		if given != nil {
			row[2] += " / " + number(given.Cpu.CpuShares) + " MHz"
		}
	}
	if m := u.MemoryStats; m != nil {
		row[4], row[5], row[6], row[7] = mebibytes(m.Usage), mebibytes(m.RSS), mebibytes(m.Cache), mebibytes(m.MaxUsage)
		if given != nil {
			row[4] += " / " + number(max(given.Memory.MemoryMB, given.Memory.MemoryMaxMB)) + " MiB"
		}
	}
	return row
}
