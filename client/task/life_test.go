package task

import (
	"fmt"
	"testing"
	"time"

	"github.com/nomadish/nomadish/client/localstate"
	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/nomadish"
)

// A notice takes the place of the earlier one of the same start with the same key.
func TestNotices(t *testing.T) {
	notice := func(key, message string) Input {
		return Noticed{Key: key, Event: noticeEvent(nomadish.TaskEventDriver, drivers.Notice{Key: key, Message: message}, "")}
	}
	record := NewRecord(t0)
	for i, in := range []Input{
		notice("image", "too early"),
		Begin{},
		notice("image", "1"), notice("", "a"), notice("image", "2"), notice("", "b"), notice("other", "3"),
		StartFailed{Err: drivers.Recoverable(fmt.Errorf("no"))},
		DelayOver{},
		notice("image", "4"), notice("image", "5"),
	} {
		old := record
		shown := len(old.State.Events)
		record = service.Step(record, in, Moment{Now: t0.Add(time.Duration(i))})
		if len(old.State.Events) != shown {
			t.Error("a step changed the record before it")
		}
	}
	var got []string
	for _, e := range record.State.Events {
		if e.Type == nomadish.TaskEventDriver {
			got = append(got, e.DisplayMessage)
		}
	}
	if want := "[2 a b 3 5]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestNoticeDetails(t *testing.T) {
	e := noticeEvent(nomadish.TaskEventDriver, drivers.Notice{Key: "image", Message: "m", Done: 5, Total: 10}, "web:1")
	for name, want := range map[string]string{"driver_message": "m", "notice": "image", "bytes": "5", "total": "10", "image": "web:1"} {
		if e.Details[name] != want {
			t.Errorf("%s is %q, want %q", name, e.Details[name], want)
		}
	}
}

// Whatever a task does, rewound it ends if it runs, and waits for its turn again.
func TestRewind(t *testing.T) {
	started := Started{Handle: &drivers.Handle{ID: "a"}}
	failed := Ended{Exit: drivers.Exit{Code: 1}}
	rewind := RewindWanted{Reason: "please"}
	for name, inputs := range map[string][]Input{
		"running":   {Begin{}, started, rewind, failed, Removed{}, DelayOver{}},
		"launching": {Begin{}, rewind, started, failed, Removed{}, DelayOver{}},
		"stopping":  {Begin{}, started, RestartWanted{"x"}, rewind, failed, Removed{}, DelayOver{}},
		"delaying":  {Begin{}, started, failed, rewind, Removed{}, DelayOver{}},
		"delayed":   {Begin{}, started, failed, Removed{}, rewind},
		"twice":     {Begin{}, started, rewind, rewind, failed, Removed{}, DelayOver{}},
		"dead":      {Begin{}, StartFailed{Err: fmt.Errorf("no")}, rewind},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRecord(t0)
			for _, in := range inputs {
				r = service.Step(r, in, Moment{Now: t0})
			}
			if r.Phase != localstate.PhaseWaiting || r.Rewind || r.State.State != nomadish.TaskStatePending || r.State.Failed || !r.State.StartedAt.IsZero() {
				t.Errorf("got %+v, state %+v", r, r.State)
			}
			r = service.Step(r, Begin{}, Moment{Now: t0})
			if r.Phase != localstate.PhaseLaunching || r.Attempt != 2 {
				t.Errorf("then it begins as %+v", r)
			}
		})
	}
	r := NewRecord(t0)
	for _, in := range []Input{Begin{}, started, KillWanted{}, rewind, failed} {
		r = service.Step(r, in, Moment{Now: t0})
	}
	if r.Phase != localstate.PhaseDead {
		t.Errorf("a killed task came back: %+v", r)
	}
}

// CPU use is a mean over at least a second, whoever asks how often, and starts at the
// task's start.
func TestUsageWindow(t *testing.T) {
	at := func(ms int, cpu uint64) *drivers.Usage {
		return &drivers.Usage{Time: t0.Add(time.Duration(ms) * time.Millisecond), CPUNanos: cpu * uint64(time.Millisecond)}
	}
	var w usageWindow
	for i, tt := range []struct {
		id   string
		now  *drivers.Usage
		want float64
	}{
		{"a", at(500, 250), 50},    // since the start
		{"a", at(1000, 1000), 100}, // the first look that counts
		{"a", at(1001, 1000), 99.9000999000999},
		{"a", at(2000, 1000), 0},
		{"a", at(2100, 1055), 5},
		{"b", at(3000, 300), 10}, // another start
	} {
		before := w.next(tt.id, tt.now, t0)
		if got := taskUsage(before, tt.now, nil).ResourceUsage.CpuStats.Percent; got != tt.want {
			t.Errorf("%d: %v %%, want %v", i, got, tt.want)
		}
	}
}
