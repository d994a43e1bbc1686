package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
)

// board is the live table of a followed job: a title, a row for each task, and what is missing.
type board struct {
	title string
	rows  []boardRow
	foot  []string
}

// boardRow is a task of an allocation, or an allocation that has none yet.
type boardRow struct {
	name, node, state string
	tone              tone
}

// board shows the state of the job at a moment.
func (v *view) board(now time.Time) board {
	if v.job == nil {
		return board{}
	}
	b := board{}
	up, wanted := 0, 0
	for _, g := range v.job.TaskGroups {
		wanted += v.wanted(nomadish.Val(g.Name))
	}
	for _, a := range v.shown() {
		if a.JobVersion == v.version && a.DesiredStatus == nomadish.AllocDesiredRun && (isUp(a) || a.ClientStatus == nomadish.AllocClientComplete) {
			up++
		}
		b.rows = append(b.rows, v.allocationRows(a, now)...)
	}
	b.title = fmt.Sprintf("Job %q, version %d: %d of %s", nomadish.Val(v.job.ID), v.version, up, plural(wanted, "allocation"))
	switch nomadish.Val(v.job.Type) {
	case nomadish.JobTypeBatch, nomadish.JobTypeSysBatch:
		b.title += " running or complete"
	default:
		b.title += " running"
	}
	for _, e := range v.evals {
		if e.Status == nomadish.EvalStatusBlocked {
			b.foot = append(b.foot, placementProblems(e.FailedTGAllocs)...)
		}
	}
	return b
}

// shown returns the allocations that matter now, by name: the newest of each name, and what is
// still to end of those before.
func (v *view) shown() []*nomadish.AllocationListStub {
	newest := map[string]uint64{}
	key := func(a *nomadish.AllocationListStub) string {
		if v.onEveryNode() {
			return a.NodeID
		}
		return a.Name
	}
	for _, a := range v.allocs {
		newest[key(a)] = max(newest[key(a)], a.CreateIndex)
	}
	var out []*nomadish.AllocationListStub
	for _, a := range v.allocs {
		replaced := a.CreateIndex < newest[key(a)] || a.JobVersion < v.version
		if v.settled[a.ID] || ended(a) && (replaced || a.DesiredStatus != nomadish.AllocDesiredRun) {
			continue
		}
		out = append(out, a)
	}
	slices.SortStableFunc(out, func(a, b *nomadish.AllocationListStub) int {
		return cmp.Or(strings.Compare(a.TaskGroup, b.TaskGroup), cmp.Compare(allocIndex(a.Name), allocIndex(b.Name)),
			strings.Compare(a.NodeName, b.NodeName), cmp.Compare(a.CreateIndex, b.CreateIndex))
	})
	return out
}

// allocIndex is the number in an allocation's name, job.group[0]; -1: it has none.
func allocIndex(name string) int {
	open := strings.LastIndexByte(name, '[')
	n, err := strconv.Atoi(strings.TrimSuffix(name[open+1:], "]"))
	if err != nil {
		return -1
	}
	return n
}

// allocationRows are the rows of one allocation: a single task shares its allocation's row.
func (v *view) allocationRows(a *nomadish.AllocationListStub, now time.Time) []boardRow {
	name, node := strings.TrimPrefix(a.Name, a.JobID+"."), cmp.Or(a.NodeName, short(a.NodeID))
	names := v.tasks(a)
	switch {
	case len(names) == 0:
		state, tone := allocationState(a)
		return []boardRow{{name, node, state, tone}}
	case len(names) == 1:
		row := v.taskRow(a, names[0], now)
		row.name, row.node = name+" "+names[0], node
		return []boardRow{row}
	}
	state, tone := allocationState(a)
	rows := []boardRow{{name, node, state, tone}}
	for _, task := range names {
		row := v.taskRow(a, task, now)
		row.name = "  " + task
		rows = append(rows, row)
	}
	return rows
}

// tasks lists the tasks of an allocation in the order of the job, those of its states if the
// job has changed since.
func (v *view) tasks(a *nomadish.AllocationListStub) []string {
	if g := v.job.TaskGroup(a.TaskGroup); g != nil && a.JobVersion == v.version {
		names := make([]string, 0, len(g.Tasks))
		for _, t := range g.Tasks {
			names = append(names, t.Name)
		}
		return names
	}
	return taskNames(a.TaskStates)
}

// allocationState is the state of an allocation in a few words.
func allocationState(a *nomadish.AllocationListStub) (string, tone) {
	switch {
	case a.ClientStatus == nomadish.AllocClientFailed:
		return "failed: " + failure(a), toneBad
	case a.ClientStatus == nomadish.AllocClientLost:
		return "lost with its node", toneBad
	case a.ClientStatus == nomadish.AllocClientUnknown:
		return "its node does not answer", toneBad
	case a.ClientStatus == nomadish.AllocClientComplete:
		return "complete", toneGood
	case a.DesiredStatus != nomadish.AllocDesiredRun:
		return "stopping", toneBusy
	case a.ClientStatus == nomadish.AllocClientRunning:
		return health(a)
	case len(a.TaskStates) == 0:
		return "placed", toneBusy
	}
	return "starting", toneBusy
}

// health is the state of an allocation that runs.
func health(a *nomadish.AllocationListStub) (string, tone) {
	switch s := a.DeploymentStatus; {
	case s == nil:
		return "running", toneGood
	case s.Healthy == nil:
		return "running, health not known yet", toneBusy
	case *s.Healthy:
		return "healthy", toneGood
	}
	return "running, unhealthy", toneBad
}

// taskRow says what a task does.
func (v *view) taskRow(a *nomadish.AllocationListStub, name string, now time.Time) boardRow {
	t := a.TaskStates[name]
	ready := ended(a) && (t == nil || t.State != nomadish.TaskStateDead)
	if t == nil || len(t.Events) == 0 || ready {
		state, tone := allocationState(a)
		return boardRow{state: state, tone: tone}
	}
	row := taskProgress(a, t, now)
	if restarts := t.Restarts - min(t.Restarts, v.earlier[a.ID+"/"+name]); restarts > 0 {
		row.state += fmt.Sprintf(" (%s)", plural(int(restarts), "restart"))
	}
	return row
}

// taskProgress is what a task does, from its state and its newest event.
func taskProgress(a *nomadish.AllocationListStub, t *nomadish.TaskState, now time.Time) boardRow {
	last := t.Events[len(t.Events)-1]
	switch {
	case t.State == nomadish.TaskStateRunning && a.DesiredStatus != nomadish.AllocDesiredRun:
		return boardRow{state: "stopping", tone: toneBusy}
	case t.State == nomadish.TaskStateRunning:
		state, tone := health(a)
		return boardRow{state: state, tone: tone}
	case t.Successful():
		return boardRow{state: "complete", tone: toneGood}
	case t.State == nomadish.TaskStateDead:
		return boardRow{state: "failed: " + cause(t), tone: toneBad}
	}
	switch last.Type {
	case nomadish.TaskEventReceived, nomadish.TaskEventSetup:
		return boardRow{state: "preparing", tone: toneBusy}
	case nomadish.TaskEventDownloading:
		return boardRow{state: "fetching artifacts", tone: toneBusy}
	case nomadish.TaskEventDriver:
		return boardRow{state: pulling(last), tone: toneBusy}
	case nomadish.TaskEventRestarting:
		wait := time.Unix(0, last.Time).Add(time.Duration(last.StartDelay)).Sub(now)
		return boardRow{state: fmt.Sprintf("failed: %s; starts again in %s", cause(t), age(wait)), tone: toneBad}
	}
	if tellsFailure(last) {
		return boardRow{state: "failed: " + message(last), tone: toneBad}
	}
	return boardRow{state: "starting", tone: toneBusy}
}

// cause is why a task last ended.
func cause(t *nomadish.TaskState) string {
	for _, e := range slices.Backward(t.Events) {
		if outOfMemory(e) {
			return "out of memory: " + message(e)
		}
		if tellsFailure(e) {
			return message(e)
		}
	}
	return "the node does not say why"
}

func outOfMemory(e *nomadish.TaskEvent) bool {
	return e.Type == nomadish.TaskEventTerminated && e.Details["oom_killed"] == "true"
}

// pulling is what a driver tells of a start: how far the image is, or its words.
func pulling(e *nomadish.TaskEvent) string {
	image := e.Details["image"]
	if image == "" {
		return message(e)
	}
	done, _ := strconv.ParseInt(e.Details["bytes"], 10, 64)
	total, _ := strconv.ParseInt(e.Details["total"], 10, 64)
	if total <= 0 || done > total {
		return "pulling " + image
	}
	return fmt.Sprintf("pulling %s: %s of %s, %d%%", image, size(done), size(total), 100*done/total)
}

// Least of what the columns of the table take, and the most that names do.
const (
	maxNameColumns = 40
	maxNodeColumns = 20
)

// lines are the lines of the table on a terminal of a size: never wider, and at least a row
// shorter. Rows that have no place are counted, the good ones first.
func (b board) lines(width, height int, elapsed time.Duration, color bool) []string {
	if b.title == "" {
		return nil
	}
	clean := func(s string) string { return strings.Join(strings.Fields(printable(s)), " ") }
	paint := func(t tone, s string) string {
		if !color {
			return s
		}
		return t.paint(s)
	}
	room := max(1, height-2) // the title, and the row of the cursor
	foot := b.foot[:min(len(b.foot), max(0, room/3))]
	rows, rest := b.choose(room - len(foot))
	nameWidth, nodeWidth := 0, 0
	for i, r := range rows {
		indent := r.name[:len(r.name)-len(strings.TrimLeft(r.name, " "))]
		r.name, r.node, r.state = indent+clean(r.name), clean(r.node), clean(r.state)
		rows[i] = r
		nameWidth = max(nameWidth, min(columns(r.name), maxNameColumns, width/2))
		nodeWidth = max(nodeWidth, min(columns(r.node), maxNodeColumns, width/4))
	}
	out := []string{fit(clean(b.title)+"  "+elapsed.Truncate(time.Second).String(), width)}
	for _, r := range rows {
		left := fit(pad(r.name, nameWidth)+"  "+pad(r.node, nodeWidth)+"  ", width)
		out = append(out, left+paint(r.tone, fit(r.state, width-columns(left))))
	}
	if rest != "" {
		out = append(out, paint(toneFaint, fit(rest, width)))
	}
	for _, line := range foot {
		out = append(out, fit(printable(line), width))
	}
	return out
}

// choose returns the rows that fit into so many, in their order: bad ones before those that are
// on their way and those before good ones. rest says what is left out.
func (b board) choose(n int) (rows []boardRow, rest string) {
	if len(b.rows) <= n {
		return slices.Clone(b.rows), ""
	}
	n = max(0, n-1)
	order := []tone{toneBad, toneBusy, toneNone, toneFaint, toneGood}
	keep := make([]bool, len(b.rows))
	kept := 0
	for _, t := range order {
		for i, r := range b.rows {
			if r.tone == t && kept < n {
				keep[i], kept = true, kept+1
			}
		}
	}
	good := 0
	for i, r := range b.rows {
		if keep[i] {
			rows = append(rows, r)
		} else if r.tone == toneGood {
			good++
		}
	}
	return rows, fmt.Sprintf("and %d more, %d of them well", len(b.rows)-kept, good)
}
