package task

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

var t0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	fail := Policy{Attempts: 2, Interval: 30 * time.Minute, Delay: 15 * time.Second, Mode: "fail", RestartOnSuccess: true}
	delay := fail
	delay.Mode = "delay"
	batch := fail
	batch.RestartOnSuccess = false
	none := fail
	none.Attempts = 0
	for _, tt := range []struct {
		name    string
		policy  Policy
		window  localstate.Window
		success bool
		jitter  float64
		want    verdict
	}{
		{"first failure", fail, localstate.Window{}, false, 0, verdict{restart: true, delay: 15 * time.Second, reason: "Restart within policy"}},
		{"up to a quarter more", fail, localstate.Window{}, false, 1, verdict{restart: true, delay: 18750 * time.Millisecond, reason: "Restart within policy"}},
		{
			"a service's success counts too", fail,
			localstate.Window{Start: t0, Count: 2},
			true, 0,
			verdict{failed: true, reason: `Exceeded allowed attempts 2 in interval 30m0s and mode is "fail"`},
		},
		{
			"interval is over", fail,
			localstate.Window{Start: t0.Add(-30 * time.Minute), Count: 2},
			false, 0,
			verdict{restart: true, delay: 15 * time.Second, reason: "Restart within policy"},
		},
		{
			"clock went back", fail,
			localstate.Window{Start: t0.Add(time.Hour), Count: 2},
			false, 0,
			verdict{restart: true, delay: 15 * time.Second, reason: "Restart within policy"},
		},
		{
			"waits for the interval's end", delay,
			localstate.Window{Start: t0.Add(-10 * time.Minute), Count: 2},
			false, 0,
			verdict{restart: true, delay: 20*time.Minute + 15*time.Second, reason: "Exceeded allowed attempts, applying a delay"},
		},
		{"batch success is the end", batch, localstate.Window{}, true, 0, verdict{}},
		{"batch failure is not", batch, localstate.Window{}, false, 0, verdict{restart: true, delay: 15 * time.Second, reason: "Restart within policy"}},
		{"no restarts at all", none, localstate.Window{}, false, 0, verdict{failed: true, reason: "Policy allows no restarts"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := tt.policy.judge(tt.window, tt.success, t0, tt.jitter); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestPolicyOf(t *testing.T) {
	sidecar := &nomadish.TaskLifecycle{Hook: "prestart", Sidecar: true}
	init := &nomadish.TaskLifecycle{Hook: "prestart"}
	for _, tt := range []struct {
		name string
		kind string
		task nomadish.Task
		want Policy
	}{
		{"service", "service", nomadish.Task{}, Policy{Attempts: 3, Mode: "fail", RestartOnSuccess: true, KillTimeout: 5 * time.Second}},
		{"batch", "batch", nomadish.Task{}, Policy{Attempts: 3, Mode: "fail", KillTimeout: 5 * time.Second}},
		{"sidecar of a batch job", "batch", nomadish.Task{Lifecycle: sidecar}, Policy{Attempts: 3, Mode: "fail", RestartOnSuccess: true, KillTimeout: 5 * time.Second}},
		{"preparing task of a service", "service", nomadish.Task{Lifecycle: init}, Policy{Attempts: 3, Mode: "fail", KillTimeout: 5 * time.Second}},
		{"kill_timeout is bounded", "batch", nomadish.Task{KillTimeout: nomadish.Ptr(time.Hour)}, Policy{Attempts: 3, Mode: "fail", KillTimeout: 30 * time.Second}},
		{
			"the task's own policy wins", "batch",
			nomadish.Task{RestartPolicy: &nomadish.RestartPolicy{Attempts: nomadish.Ptr(9)}},
			Policy{Attempts: 9, Mode: "fail", KillTimeout: 5 * time.Second},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			group := &nomadish.TaskGroup{RestartPolicy: &nomadish.RestartPolicy{Attempts: nomadish.Ptr(3)}}
			if got := PolicyOf(&nomadish.Job{Type: &tt.kind}, group, &tt.task, 0); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// service is the policy of the tables below.
var service = Policy{Attempts: 1, Interval: time.Hour, Delay: 10 * time.Second, Mode: "fail", RestartOnSuccess: true, KillTimeout: 5 * time.Second}

func TestStep(t *testing.T) {
	handle := &drivers.Handle{ID: "a/t/1"}
	started := Started{Handle: handle}
	failed := Ended{Exit: drivers.Exit{Code: 1}}
	stop := KillWanted{}
	oom := Ended{Exit: drivers.Exit{Code: 137, Signal: 9, OOMKilled: true}}
	for _, tt := range []struct {
		name    string
		inputs  []Input
		phase   localstate.Phase
		attempt int
		failed  bool
		message string // of the last event
	}{
		{"received", nil, localstate.PhaseWaiting, 0, false, "Task received by client"},
		{"begins", []Input{Begin{}}, localstate.PhaseLaunching, 1, false, "Building Task Directory"},
		{"begins once", []Input{Begin{}, Begin{}}, localstate.PhaseLaunching, 1, false, "Building Task Directory"},
		{"runs", []Input{Begin{}, started}, localstate.PhaseRunning, 1, false, "Task started by client"},
		{"restarts", []Input{Begin{}, started, failed}, localstate.PhaseDelaying, 1, false, "Task restarting in 10s"},
		{"second start", []Input{Begin{}, started, failed, DelayOver{}}, localstate.PhaseLaunching, 2, false, "Task restarting in 10s"},
		{
			"gives up",
			[]Input{Begin{}, started, failed, DelayOver{}, started, failed},
			localstate.PhaseDead, 2, true,
			`Exceeded allowed attempts 1 in interval 1h0m0s and mode is "fail"`,
		},
		{"killed by want of memory", []Input{Begin{}, started, failed, DelayOver{}, started, stop, oom}, localstate.PhaseDead, 2, false, "Task successfully killed"},
		{"invalid", []Input{Begin{}, SetupFailed{&InvalidError{errors.New("no such option")}}}, localstate.PhaseDead, 1, true, "Error was unrecoverable"},
		{"driver refuses", []Input{Begin{}, StartFailed{errors.New("no image")}}, localstate.PhaseDead, 1, true, "Error was unrecoverable"},
		{"driver may succeed later", []Input{Begin{}, StartFailed{drivers.Recoverable(errors.New("busy"))}}, localstate.PhaseDelaying, 1, false, "Task restarting in 10s"},
		{"stopped before its turn", []Input{stop}, localstate.PhaseDead, 0, false, "Task successfully killed"},
		{"stopped while starting", []Input{Begin{}, stop}, localstate.PhaseLaunching, 1, false, "Building Task Directory"},
		{"started though stopped", []Input{Begin{}, stop, started}, localstate.PhaseStopping, 1, false, "Sent interrupt. Waiting 5s before force killing"},
		{"start was broken off", []Input{Begin{}, stop, StartFailed{errors.New("canceled")}}, localstate.PhaseDead, 1, false, "Task successfully killed"},
		{"stopped while it waits to restart", []Input{Begin{}, started, failed, stop}, localstate.PhaseDead, 1, false, "Task successfully killed"},
		{"user's restart", []Input{Begin{}, started, RestartWanted{"please"}, failed, Removed{}, DelayOver{}}, localstate.PhaseLaunching, 2, false, "Task restarting in 0s"},
		{"user's restart does not count", []Input{Begin{}, started, RestartWanted{"please"}, failed, DelayOver{}, started, failed}, localstate.PhaseDelaying, 2, false, "Task restarting in 10s"},
		{"stopped while it restarts", []Input{Begin{}, started, RestartWanted{"please"}, stop, failed}, localstate.PhaseDead, 1, false, "Task successfully killed"},
		{"nothing after the end", []Input{stop, Begin{}, started, failed, DelayOver{}}, localstate.PhaseDead, 0, false, "Task successfully killed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := NewRecord(t0)
			for _, in := range tt.inputs {
				r = service.Step(r, in, Moment{Now: t0})
			}
			got := fmt.Sprint(r.Phase, r.Attempt, r.State.Failed, " ", lastEvent(r).DisplayMessage)
			if want := fmt.Sprint(tt.phase, tt.attempt, tt.failed, " ", tt.message); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestTerminatedEvent(t *testing.T) {
	e := terminatedEvent(drivers.Exit{Code: 137, Signal: 9, OOMKilled: true, OOMPeak: 268330598}, 256<<20)
	if want := `Exit Code: 137, Signal: 9, Exit Message: "OOM Killed: memory limit 256 MiB, peak 255.9 MiB"`; e.DisplayMessage != want {
		t.Errorf("got %s, want %s", e.DisplayMessage, want)
	}
	if e.Details["signal_name"] != "SIGKILL" || e.Details["oom_peak_bytes"] != "268330598" || e.Details["oom_limit_bytes"] != "268435456" {
		t.Errorf("details: %v", e.Details)
	}
	e = terminatedEvent(drivers.Exit{Code: 137, Signal: 9, OOMKilled: true}, 0)
	if want := `Exit Code: 137, Signal: 9, Exit Message: "OOM Killed"`; e.DisplayMessage != want {
		t.Errorf("got %s, want %s", e.DisplayMessage, want)
	}
	if e.Details["oom_killed"] != "true" || e.Details["exit_code"] != "137" || e.Details["signal"] != "9" {
		t.Errorf("details: %v", e.Details)
	}
}

// TestStepKeepsItsRules feeds any inputs in any order: the input record stays as it was, a
// dead task stays dead, attempts never go back, and a state holds at most ten events.
func TestStepKeepsItsRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		inputs := []Input{
			Begin{},
			SetupFailed{errors.New("x")},
			StartFailed{drivers.Recoverable(errors.New("x"))},
			Started{&drivers.Handle{ID: "h"}},
			Ended{Exit: drivers.Exit{}},
			Ended{Exit: drivers.Exit{Code: 1}},
			DelayOver{},
			KillWanted{},
			RestartWanted{"r"},
			Removed{},
			Noted{DriverEvent("x")},
			RewindWanted{"r"},
			Noticed{Key: "k", Event: DriverEvent("x")},
		}
		policy := service
		policy.Mode = rapid.SampledFrom([]string{"fail", "delay"}).Draw(t, "mode")
		r, now := NewRecord(t0), t0
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(inputs)-1), 0, 60).Draw(t, "inputs") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "seconds")) * time.Second)
			before, events := *r.State, slices.Clone(r.State.Events)
			next := policy.Step(r, inputs[i], Moment{Now: now, Jitter: 0.5})
			switch {
			case before.State != r.State.State || !slices.Equal(events, r.State.Events):
				t.Fatal("the step changed its input")
			case r.Phase == localstate.PhaseDead && next.Phase != localstate.PhaseDead && (inputs[i] != Input(RewindWanted{"r"}) || r.Kill != nil):
				t.Fatal("a dead task came back")
			case next.Attempt < r.Attempt || next.Attempt > r.Attempt+1:
				t.Fatalf("attempt went from %d to %d", r.Attempt, next.Attempt)
			case len(next.State.Events) > nomadish.MaxTaskEvents:
				t.Fatalf("%d events", len(next.State.Events))
			case next.Phase == localstate.PhaseRunning && next.Handle == nil:
				t.Fatal("running without a handle")
			case next.Phase == localstate.PhaseDelaying && next.RestartAt.Sub(now) > policy.longest():
				t.Fatalf("waits until %s", next.RestartAt)
			case (next.Phase == localstate.PhaseDead) != (next.State.State == nomadish.TaskStateDead):
				t.Fatalf("phase %s, state %s", next.Phase, next.State.State)
			}
			r = next
		}
	})
}

func BenchmarkStep(b *testing.B) {
	r := NewRecord(t0)
	r = service.Step(r, Begin{}, Moment{Now: t0})
	b.ReportAllocs()
	for b.Loop() {
		service.Step(r, Started{Handle: &drivers.Handle{}}, Moment{Now: t0})
	}
}

func lastEvent(t localstate.Task) *nomadish.TaskEvent {
	return t.State.Events[len(t.State.Events)-1]
}
