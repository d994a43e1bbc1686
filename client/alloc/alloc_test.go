package alloc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/nomadish"
)

// parse reads views from words "NAME[@HOOK[+]][*]:PHASE", + for a sidecar, * for a leader.
// The phases: w waiting, l launching, r running, d done, f failed, k being killed.
func parse(t testing.TB, text string) []view {
	var out []view
	for _, word := range strings.Fields(text) {
		spec, phase, _ := strings.Cut(word, ":")
		spec, leader := strings.CutSuffix(spec, "*")
		name, hook, hooked := strings.Cut(spec, "@")
		v := view{task: &nomadish.Task{Name: name, Leader: leader}, record: localstate.Task{State: &nomadish.TaskState{}}}
		if hooked {
			hook, sidecar := strings.CutSuffix(hook, "+")
			v.task.Lifecycle = &nomadish.TaskLifecycle{Hook: hook, Sidecar: sidecar}
		}
		began := time.Unix(100, 0)
		s := v.record.State
		switch phase {
		case "w":
			v.record.Phase, s.State = localstate.PhaseWaiting, "pending"
		case "l":
			v.record.Phase, s.State = localstate.PhaseLaunching, "pending"
		case "r":
			v.record.Phase, s.State, s.StartedAt = localstate.PhaseRunning, "running", began
		case "k":
			v.record.Phase, s.State, s.StartedAt = localstate.PhaseStopping, "running", began
			v.record.Kill = &localstate.Kill{}
		case "d", "f":
			v.record.Phase, s.State, s.StartedAt, s.Failed = localstate.PhaseDead, "dead", began, phase == "f"
		default:
			t.Fatalf("phase %q", phase)
		}
		out = append(out, v)
	}
	return out
}

func TestDecide(t *testing.T) {
	for _, tt := range []struct {
		views    string
		stopping bool
		want     string // begun tasks, then killed ones with the event's type
	}{
		{"a:w b:w", false, "+a +b"},
		{"init@prestart:w a:w", false, "+init"},
		{"init@prestart:r a:w", false, ""},
		{"init@prestart:d a:w", false, "+a"},
		{"init@prestart:f a:w", false, "-a(Sibling Task Failed)"},
		{"side@prestart+:l a:w", false, ""},
		{"side@prestart+:r a:w", false, "+a"},
		{"a:l after@poststart:w", false, ""},
		{"a:r after@poststart:w", false, "+after"},
		{"a:r b:w after@poststart:w", false, "+b"},
		{"a:d side@prestart+:r", false, "-side(Main Tasks Dead)"},
		{"a:d b:r side@prestart+:r", false, ""},
		{"a:f b:r side@prestart+:r", false, "-b(Sibling Task Failed) -side(Sibling Task Failed)"},
		{"a:f b:k", false, ""},
		{"a*:d b:r", false, "-b(Leader Task Dead)"},
		{"a*:r b:r", true, "-a()"},
		{"a*:r b:w", true, "-a() -b()"},
		{"a*:k b:r", true, ""},
		{"a*:w b:r", true, "-a() -b()"},
		{"a:r b:l c:w", true, "-a() -b() -c()"},
		{"a:r end@poststop:w", false, ""},
		{"a:d end@poststop:w", false, "+end"},
		{"a:d side@poststart+:r end@poststop:w", false, "-side(Main Tasks Dead) +end"},
		{"a:f end@poststop:w", false, "+end"},
		{"a:r end@poststop:w", true, "-a()"},
		{"a:d end@poststop:w", true, "+end"},
		{"a:d end@poststop:r", true, ""},
		{"a:d end@poststop:f", false, ""},
	} {
		begin, kills := decide(parse(t, tt.views), tt.stopping)
		var got []string
		for _, b := range begin {
			got = append(got, "+"+b)
		}
		for _, k := range kills {
			event := ""
			if k.event != nil {
				event = k.event.Type
			}
			got = append(got, fmt.Sprintf("-%s(%s)", k.task, event))
		}
		wanted := strings.Fields(underscores.Replace(tt.want))
		for i := range got {
			got[i] = strings.ReplaceAll(got[i], " ", "_")
		}
		slices.Sort(got)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s (stopping %v): got %q, want %q", tt.views, tt.stopping, got, wanted)
		}
	}
}

// underscores makes one word of an event's type.
var underscores = strings.NewReplacer("Sibling Task Failed", "Sibling_Task_Failed", "Leader Task Dead", "Leader_Task_Dead", "Main Tasks Dead", "Main_Tasks_Dead")

// TestDecideEnds: whatever the tasks, when each order is carried out and each running task
// ends or is killed, all tasks are dead in the end.
func TestDecideEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		words := []string{"main:w"}
		for i := range rapid.IntRange(0, 5).Draw(rt, "more") {
			hook := rapid.SampledFrom([]string{"", "@prestart", "@prestart+", "@poststart", "@poststart+", "@poststop", "*"}).Draw(rt, "hook")
			words = append(words, fmt.Sprintf("t%d%s:w", i, hook))
		}
		views := parse(t, strings.Join(words, " "))
		stopAt := rapid.IntRange(0, 20).Draw(rt, "stop")
		for round := range 60 {
			begin, kills := decide(views, round >= stopAt)
			for i := range views {
				r := &views[i].record
				killed := slices.ContainsFunc(kills, func(k kill) bool { return k.task == views[i].name() })
				ends := r.Phase == localstate.PhaseRunning && (views[i].hook() == hookPoststop || rapid.Bool().Draw(rt, "ends"))
				switch {
				case killed || ends && !views[i].sidecar():
					r.Phase, r.State.State = localstate.PhaseDead, "dead"
					r.State.Failed = ends && !killed && rapid.Bool().Draw(rt, "fails")
				case slices.Contains(begin, views[i].name()):
					r.Phase, r.State.State, r.State.StartedAt = localstate.PhaseRunning, "running", time.Unix(1, 0)
				}
			}
		}
		if !all(views, view.dead) {
			rt.Fatalf("not all are dead: %q", words)
		}
	})
}

func TestStatus(t *testing.T) {
	for views, want := range map[string]string{
		"a:w b:w": "pending", "a:r b:w": "running", "a:d b:r": "running", "a:d b:d": "complete", "a:f b:r": "failed", "a:d b:w": "pending",
		"init@prestart:d a:l": "pending",
	} {
		if got, _ := status(parse(t, views)); got != want {
			t.Errorf("%s: got %s, want %s", views, got, want)
		}
	}
}

func TestHealth(t *testing.T) {
	rule := healthRule{min: 10 * time.Second, deadline: time.Minute}
	at := func(seconds int64) time.Time { return time.Unix(100+seconds, 0) } // parse starts tasks at 100
	for _, tt := range []struct {
		views   string
		now     int64
		age     time.Duration
		healthy bool
		decided bool
		again   time.Duration
	}{
		{"a:r", 4, 4 * time.Second, false, false, 6 * time.Second},
		{"a:r", 10, 10 * time.Second, true, true, 0},
		{"a:r b:l", 30, 30 * time.Second, false, false, 30 * time.Second},
		{"a:r b:l", 60, time.Minute, false, true, 0},
		{"a:r b:f", 5, 5 * time.Second, false, true, 0},
		{"a:r init@prestart:d end@poststop:w", 10, 10 * time.Second, true, true, 0},
	} {
		healthy, decided, again := rule.judge(parse(t, tt.views), at(tt.now), tt.age)
		if healthy != tt.healthy || decided != tt.decided || !decided && again != tt.again {
			t.Errorf("%s after %ds: got %v %v %s", tt.views, tt.now, healthy, decided, again)
		}
	}
}
