package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/api"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// Bounds of what top asks at a time.
const (
	topAtOnce  = 8
	topAllocs  = 500
	topTimeout = 5 * time.Second
)

func topCommand() command {
	return command{
		words: "top", summary: "Show what nodes and allocations use, the busiest first",
		help: `  On a terminal the table is renewed until an interrupt; otherwise, and with -once, -json or
  -t, it is printed once. CPU is in percent of a node, or of one core for allocations. A node
  that does not answer in time shows no figures.`,
		example: "  nomadish top -sort memory",
		reads:   true,
		run:     runTop,
	}
}

// topView is what top shows.
type topView struct {
	Nodes       []*topNode
	Allocations []*topAlloc
	Left        int `json:",omitempty"` // allocations that were not looked at, as there are too many
}

type topNode struct {
	ID, Name, Status string
	CPUPercent       float64
	MemoryUsed       uint64
	MemoryTotal      uint64
	DiskPercent      float64
	Allocations      int
	Answers          bool
}

type topAlloc struct {
	ID, Name, JobID, Namespace, NodeName string
	CPUPercent, CPUMHz                   float64
	Memory                               uint64
	Answers                              bool
}

func runTop(ctx context.Context, c *call) error {
	once, order, every, rows := false, "cpu", 2*time.Second, 0
	c.readFlags()
	c.flags.BoolVar(&once, "once", false, "print once, also on a terminal")
	c.flags.StringVar(&order, "sort", order, "by cpu, memory or name")
	c.flags.DurationVar(&every, "interval", every, "time between two looks")
	c.flags.IntVar(&rows, "n", 0, "show at most so many allocations; default: as many as fit")
	client, err := c.dial(0, 0)
	if err != nil {
		return err
	}
	defer client.Close()
	if !slices.Contains([]string{"cpu", "memory", "name"}, order) || every < 100*time.Millisecond {
		return c.misused("-sort: want cpu, memory or name; -interval: want at least 100ms")
	}
	file, _ := c.Stdout.(*os.File)
	terminal, _ := c.lookup("TERM")
	if once || c.machine() || file == nil || !isTerminal(file) || terminal == "dumb" {
		// CPU is a mean between two looks.
		if _, err := c.lookAround(ctx, client, order); err != nil {
			return err
		}
		if err := lifecycle.Sleep(ctx, min(every, time.Second)); err != nil {
			return err
		}
		v, err := c.lookAround(ctx, client, order)
		if err != nil {
			return err
		}
		return c.show(v, func(p *page) { p.line("%s", strings.Join(v.lines(rows), "\n")) })
	}
	screen := newScreen(file)
	defer screen.leave()
	for {
		v, err := c.lookAround(ctx, client, order)
		if err != nil && ctx.Err() == nil {
			return err
		}
		if v != nil {
			screen.draw(v.screenful(screen, rows))
		}
		if lifecycle.Sleep(ctx, every) != nil {
			return nil // an interrupt is how it ends
		}
	}
}

// lookAround asks the nodes what they and their allocations use.
func (c *call) lookAround(ctx context.Context, client *api.Client, order string) (*topView, error) {
	nodes, _, err := client.Nodes().List(ctx, nil)
	if err != nil {
		return nil, err
	}
	q, err := c.anyNamespace()
	if err != nil {
		return nil, err
	}
	q.Filter = `ClientStatus == "running"`
	allocs, _, err := client.Allocations().List(ctx, q)
	if err != nil {
		return nil, err
	}
	v := &topView{Nodes: []*topNode{}, Allocations: []*topAlloc{}, Left: max(0, len(allocs)-topAllocs)}
	perNode := map[string]int{}
	var asks []func(ctx context.Context)
	for _, a := range allocs {
		perNode[a.NodeID]++
		if len(v.Allocations) == topAllocs {
			continue
		}
		row := &topAlloc{ID: a.ID, Name: a.Name, JobID: a.JobID, Namespace: a.Namespace, NodeName: cmp.Or(a.NodeName, short(a.NodeID))}
		v.Allocations = append(v.Allocations, row)
		asks = append(asks, func(ctx context.Context) { row.ask(ctx, client) })
	}
	for _, n := range nodes {
		row := &topNode{ID: n.ID, Name: n.Name, Status: n.Status, Allocations: perNode[n.ID]}
		v.Nodes = append(v.Nodes, row)
		if n.Status == nomadish.NodeStatusReady {
			asks = append(asks, func(ctx context.Context) { row.ask(ctx, client) })
		}
	}
	limited(ctx, asks)
	v.sort(order)
	return v, nil
}

// limited runs functions, a few at a time, none for longer than is worth waiting for.
func limited(ctx context.Context, asks []func(ctx context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, topTimeout)
	defer cancel()
	slots := make(chan struct{}, topAtOnce)
	var wg sync.WaitGroup
	for _, ask := range asks {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ask(ctx)
		})
	}
	wg.Wait()
}

func (n *topNode) ask(ctx context.Context, client *api.Client) {
	stats, err := client.Nodes().Stats(ctx, n.ID)
	if err != nil || stats.Memory == nil {
		return // its row says that it does not answer
	}
	n.Answers, n.MemoryUsed, n.MemoryTotal = true, stats.Memory.Used, stats.Memory.Total
	for _, core := range stats.CPU {
		n.CPUPercent += core.TotalPercent / float64(len(stats.CPU))
	}
	if stats.AllocDirStats != nil {
		n.DiskPercent = stats.AllocDirStats.UsedPercent
	}
}

func (a *topAlloc) ask(ctx context.Context, client *api.Client) {
	stats, err := client.Allocations().Stats(ctx, a.ID, nil)
	if err != nil || stats.ResourceUsage == nil || stats.ResourceUsage.CpuStats == nil || stats.ResourceUsage.MemoryStats == nil {
		return // it has ended, or its node does not answer
	}
	u := stats.ResourceUsage
	a.Answers, a.CPUPercent, a.CPUMHz, a.Memory = true, u.CpuStats.Percent, u.CpuStats.TotalTicks, max(u.MemoryStats.Usage, u.MemoryStats.RSS)
}

// sort puts the greediest first.
func (v *topView) sort(order string) {
	slices.SortFunc(v.Nodes, func(a, b *topNode) int {
		switch order {
		case "cpu":
			return cmp.Or(cmp.Compare(b.CPUPercent, a.CPUPercent), strings.Compare(a.Name, b.Name))
		case "memory":
			return cmp.Or(cmp.Compare(b.MemoryUsed, a.MemoryUsed), strings.Compare(a.Name, b.Name))
		}
		return strings.Compare(a.Name, b.Name)
	})
	slices.SortFunc(v.Allocations, func(a, b *topAlloc) int {
		byName := cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
		switch order {
		case "cpu":
			return cmp.Or(cmp.Compare(b.CPUPercent, a.CPUPercent), byName)
		case "memory":
			return cmp.Or(cmp.Compare(b.Memory, a.Memory), byName)
		}
		return byName
	})
}

// lines are the tables, with at most so many allocations; 0: all.
func (v *topView) lines(most int) []string {
	p := &page{}
	rows := make([][]string, 0, len(v.Nodes))
	for _, n := range v.Nodes {
		row := []string{n.Name, n.Status, "", "", "", strconv.Itoa(n.Allocations)}
		if n.Answers {
			row[2], row[3], row[4] = percent(n.CPUPercent), mebibytes(n.MemoryUsed)+" / "+mebibytes(n.MemoryTotal), percent(n.DiskPercent)
		}
		rows = append(rows, row)
	}
	p.table([]string{"Node", "Status", "CPU", "Memory", "Disk", "Allocations"}, rows)
	shown := v.Allocations
	if most > 0 {
		shown = shown[:min(len(shown), most)]
	}
	rows = rows[:0]
	for _, a := range shown {
		row := []string{a.Name, short(a.ID), a.NodeName, "", "", ""}
		if a.Answers {
			row[3], row[4], row[5] = percent(a.CPUPercent), fmt.Sprintf("%.0f MHz", a.CPUMHz), mebibytes(a.Memory)
		}
		rows = append(rows, row)
	}
	p.title("")
	p.table([]string{"Allocation", "ID", "Node", "CPU", "", "Memory"}, rows)
	if more := len(v.Allocations) - len(shown) + v.Left; more > 0 {
		p.line("… and %d more", more)
	}
	return strings.Split(strings.TrimRight(p.String(), "\n"), "\n")
}

// screenful is what of the tables fits on a screen.
func (v *topView) screenful(s *screen, most int) []string {
	width, height := s.size()
	room := max(1, height-len(v.Nodes)-6)
	if most == 0 || most > room {
		most = room
	}
	lines := v.lines(most)
	lines = lines[:min(len(lines), max(1, height-1))]
	for i := range lines {
		lines[i] = fit(lines[i], width)
	}
	return lines
}

func percent(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "%" }

func mebibytes(n uint64) string { return strconv.FormatUint(n>>20, 10) + " MiB" }
