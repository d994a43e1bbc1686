package cli

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/nomadish/nomadish/nomadish"
)

// with gives the only task of an allocation a state and its newest event.
func with(a *nomadish.AllocationListStub, state string, events ...*nomadish.TaskEvent) *nomadish.AllocationListStub {
	a.TaskStates = map[string]*nomadish.TaskState{"t": {State: state, Events: events}}
	return a
}

// inGroup names an allocation as the scheduler does, and its node.
func inGroup(index int, a *nomadish.AllocationListStub) *nomadish.AllocationListStub {
	a.ID, a.JobID, a.Name, a.NodeName = fmt.Sprintf("id%d", index), "web", fmt.Sprintf("web.g[%d]", index), fmt.Sprintf("node%d", index%3)
	return a
}

// TestBoard: a row says what its task does, in the words of the newest event.
func TestBoard(t *testing.T) {
	event := func(kind string, details ...string) *nomadish.TaskEvent {
		e := &nomadish.TaskEvent{Type: kind, Details: map[string]string{}, Time: time.Unix(100, 0).UnixNano()}
		for i := 0; i < len(details); i += 2 {
			e.Details[details[i]] = details[i+1]
		}
		return e
	}
	exit := event(nomadish.TaskEventTerminated)
	exit.DisplayMessage = "Exit Code: 3"
	oom := event(nomadish.TaskEventTerminated, "oom_killed", "true")
	oom.DisplayMessage = "OOM Killed"
	again := event(nomadish.TaskEventRestarting)
	again.StartDelay = int64(15 * time.Second)
	healthy := placed("x", running)
	healthy.DeploymentStatus = &nomadish.AllocDeploymentStatus{Healthy: nomadish.Ptr(true)}
	for _, tt := range []struct {
		name  string
		alloc *nomadish.AllocationListStub
		want  string
		tone  tone
	}{
		{"no event yet", with(placed("x", pending), nomadish.TaskStatePending), "starting", toneBusy},
		{"nothing known", &nomadish.AllocationListStub{ClientStatus: pending, DesiredStatus: nomadish.AllocDesiredRun, TaskGroup: "g", JobVersion: 1}, "placed", toneBusy},
		{"received", with(placed("x", pending), nomadish.TaskStatePending, event(nomadish.TaskEventReceived)), "preparing", toneBusy},
		{"pulling", with(placed("x", pending), nomadish.TaskStatePending, event(nomadish.TaskEventDriver, "image", "nginx:1.27", "bytes", "13002342", "total", "52428800")), "pulling nginx:1.27: 12.4 MiB of 50.0 MiB, 24%", toneBusy},
		{"pulling, size unknown", with(placed("x", pending), nomadish.TaskStatePending, event(nomadish.TaskEventDriver, "image", "nginx:1.27")), "pulling nginx:1.27", toneBusy},
		{"artifacts", with(placed("x", pending), nomadish.TaskStatePending, event(nomadish.TaskEventDownloading)), "fetching artifacts", toneBusy},
		{"running", with(placed("x", running), nomadish.TaskStateRunning, event(nomadish.TaskEventStarted)), "running", toneGood},
		{"healthy", with(healthy, nomadish.TaskStateRunning, event(nomadish.TaskEventStarted)), "healthy", toneGood},
		{"failing", with(placed("x", pending), nomadish.TaskStatePending, exit, again), "failed: Exit Code: 3; starts again in 5s", toneBad},
		{"out of memory", with(placed("x", pending), nomadish.TaskStatePending, oom, again), "failed: out of memory: OOM Killed; starts again in 5s", toneBad},
		{"complete", with(placed("x", complete), nomadish.TaskStateDead, event(nomadish.TaskEventTerminated)), "complete", toneGood},
		{"stopping", func() *nomadish.AllocationListStub {
			a := with(placed("x", running), nomadish.TaskStateRunning, event(nomadish.TaskEventKilling))
			a.DesiredStatus = nomadish.AllocDesiredStop
			return a
		}(), "stopping", toneBusy},
		{"lost", &nomadish.AllocationListStub{ClientStatus: nomadish.AllocClientLost, DesiredStatus: nomadish.AllocDesiredRun, TaskGroup: "g", JobVersion: 1}, "lost with its node", toneBad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := seen(service, inGroup(0, tt.alloc))
			v.job.TaskGroups[0].Tasks = []*nomadish.Task{{Name: "t"}}
			got := v.board(time.Unix(110, 0)).rows
			want := []boardRow{{name: "g[0] t", node: "node0", state: tt.want, tone: tt.tone}}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(boardRow{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestBoardLines: the table keeps to the terminal, aligned, and says what it leaves out.
func TestBoardLines(t *testing.T) {
	allocs := []*nomadish.AllocationListStub{
		inGroup(2, with(placed("c", failed), nomadish.TaskStateDead, &nomadish.TaskEvent{Type: nomadish.TaskEventTerminated, DisplayMessage: "Exit Code: 3"})),
		inGroup(0, placed("a", running)), inGroup(10, placed("b", pending)), inGroup(1, placed("d", running)),
	}
	allocs[0].TaskStates["t"].Failed = true
	v := seen(service, allocs...)
	v.job.TaskGroups[0].Count, v.job.TaskGroups[0].Tasks = nomadish.Ptr(5), []*nomadish.Task{{Name: "t"}}
	v.evals = append(v.evals, &nomadish.Evaluation{Status: nomadish.EvalStatusBlocked, FailedTGAllocs: map[string]*nomadish.AllocationMetric{
		"g": {NodesEvaluated: 1, NodesExhausted: 1, DimensionExhausted: map[string]int{"memory": 1}},
	}})
	for _, tt := range []struct {
		name          string
		width, height int
		want          string
	}{
		{"all", 60, 24, `
Job "web", version 1: 2 of 5 allocations running  12s
g[0] t   node0  running
g[1] t   node1  running
g[2] t   node2  failed: Exit Code: 3
g[10] t  node1  starting
group "g": 1 allocation not placed
  * memory: not enough is free on 1 node
  * 1 node considered, 0 left out by constraints, 1 without…
`},
		{"narrow", 24, 24, `
Job "web", version 1: 2…
g[0] t   node0  running
g[1] t   node1  running
g[2] t   node2  failed:…
g[10] t  node1  starting
group "g": 1 allocation…
  * memory: not enough …
  * 1 node considered, …
`},
		{"low", 60, 6, `
Job "web", version 1: 2 of 5 allocations running  12s
g[2] t   node2  failed: Exit Code: 3
g[10] t  node1  starting
and 2 more, 2 of them well
group "g": 1 allocation not placed
`},
		{"one row", 20, 1, `
Job "web", version …
and 4 more, 2 of th…
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "\n" + strings.Join(v.board(time.Unix(110, 0)).lines(tt.width, tt.height, 12*time.Second, false), "\n") + "\n"
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSeveralTasks: an allocation of several tasks has a row, and one below it for each.
func TestSeveralTasks(t *testing.T) {
	v := seen(service, inGroup(0, placed("a", running)))
	v.job.TaskGroups[0].Tasks = []*nomadish.Task{{Name: "web"}, {Name: "evil\x1b[2J"}}
	v.allocs[0].TaskStates = map[string]*nomadish.TaskState{"web": {State: nomadish.TaskStateRunning, Events: []*nomadish.TaskEvent{{Type: nomadish.TaskEventStarted}}}}
	got := v.board(time.Unix(0, 0)).lines(60, 20, 0, false)
	want := []string{`Job "web", version 1: 1 of 2 allocations running  0s`, "g[0]       node0  running", "  web             running", "  evil[2J         running"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// glass is a terminal: it shows what a screen has written to it.
type glass struct {
	t           *testing.T
	width       int
	rows        [][]rune
	row, column int
	wrap        bool
}

func (g *glass) Write(b []byte) (int, error) {
	text := []rune(string(b))
	for i := 0; i < len(text); i++ {
		switch r := text[i]; r {
		case '\r':
			g.column = 0
		case '\n':
			g.row, g.column = g.row+1, 0 // a terminal's driver makes \r\n of it
		case 0x1b:
			i += g.command(text[i+1:])
		default:
			if g.column == g.width {
				if !g.wrap {
					continue
				}
				g.row, g.column = g.row+1, 0
			}
			g.need()
			g.rows[g.row] = append(g.rows[g.row][:min(g.column, len(g.rows[g.row]))], append([]rune{r}, g.rows[g.row][min(g.column+1, len(g.rows[g.row])):]...)...)
			g.column++
		}
	}
	return len(b), nil
}

func (g *glass) need() {
	for len(g.rows) <= g.row {
		g.rows = append(g.rows, nil)
	}
}

// command runs the escape sequence that follows and returns its length.
func (g *glass) command(text []rune) int {
	n := 1
	for text[n] == '?' || text[n] >= '0' && text[n] <= '9' {
		n++
	}
	var number int
	_, _ = fmt.Sscan(strings.Trim(string(text[1:n]), "?"), &number)
	g.need()
	switch text[n] {
	case 'A':
		if g.row -= number; g.row < 0 {
			g.t.Fatal("above the first row")
		}
	case 'K':
		g.rows[g.row] = g.rows[g.row][:min(g.column, len(g.rows[g.row]))]
	case 'J':
		g.rows[g.row] = g.rows[g.row][:min(g.column, len(g.rows[g.row]))]
		g.rows = g.rows[:g.row+1]
	case 'h', 'l':
		g.wrap = text[n] == 'h'
	}
	return n + 1
}

// TestScreen: whatever is printed and drawn, the terminal shows all that was printed and below
// it the newest block.
func TestScreen(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		g := &glass{t: t, width: 20, wrap: true}
		s := &screen{w: g, size: func() (int, int) { return g.width, 10 }}
		var printed, block []string
		for range 30 {
			block = block[:0]
			for range rnd.IntN(6) {
				block = append(block, strings.Repeat("b", rnd.IntN(30)))
			}
			if rnd.IntN(2) == 0 {
				line := strings.Repeat("p", rnd.IntN(20))
				printed = append(printed, line)
				s.print(line+"\n", block)
			} else {
				s.draw(block)
			}
			want := append([]string{}, printed...)
			for _, line := range block {
				want = append(want, line[:min(len(line), g.width)])
			}
			for i := range s.widths { // the block was cut, so it takes a row per line
				s.widths[i] = min(s.widths[i], g.width)
			}
			var got []string
			for _, row := range g.rows[:max(0, len(g.rows)-1)] {
				got = append(got, string(row))
			}
			if diff := cmp.Diff(want, append([]string{}, got...)); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		}
	}
}

// TestColumns: text is measured in columns: wide runes count two, combining ones and colors none.
func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "é": 1, "日本": 4, "e\u0301": 1, toneGood.paint("ok"): 2} {
		if got := columns(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"日本", 3, "日…"}, {"a", 0, ""}} {
		if got := fit(tt.text, tt.width); got != tt.want {
			t.Errorf("%q in %d: got %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
