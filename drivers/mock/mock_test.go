package mock_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/mock"
)

func TestStartErrors(t *testing.T) {
	d := mock.New(nil)
	for _, tt := range []struct {
		name        string
		config      map[string]any
		recoverable bool
	}{
		{"final", map[string]any{"start_error": "boom"}, false},
		{"recoverable", map[string]any{"start_error": "boom", "start_error_recoverable": true}, true},
		{"wrong type", map[string]any{"run_for": "soon"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h, err := d.Start(t.Context(), drivertest.Spec(t, tt.config))
			if err == nil || drivers.IsRecoverable(err) != tt.recoverable {
				t.Errorf("Start = %v, %v; want an error, recoverable: %t", h, err, tt.recoverable)
			}
		})
	}
}

// A task runs for run_for, counted from its start also by a driver that recovers it, and a
// stop ends it after kill_after, or after the grace when that is shorter.
func TestCourseOfATask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := mock.New(nil)
		begin := time.Now()
		h, err := d.Start(t.Context(), drivertest.Spec(t, map[string]any{"run_for": "1h", "exit_code": 5}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		later := mock.New(nil)
		if _, err := later.Wait(t.Context(), h); !errors.Is(err, drivers.ErrTaskLost) {
			t.Errorf("Wait before Recover: %v, want %v", err, drivers.ErrTaskLost)
		}
		if err := later.Recover(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		exit, err := later.Wait(t.Context(), h)
		if err != nil || exit.Code != 5 || time.Since(begin) != time.Hour {
			t.Errorf("Wait = %+v, %v after %s; want code 5 after 1h", exit, err, time.Since(begin))
		}
		for _, tt := range []struct {
			killAfter string
			grace     time.Duration
			took      time.Duration
		}{{"5s", time.Minute, 5 * time.Second}, {"5m", time.Minute, time.Minute}} {
			h, err := d.Start(t.Context(), drivertest.Spec(t, map[string]any{"run_for": "-1s", "kill_after": tt.killAfter}))
			if err != nil {
				t.Fatal(err)
			}
			stopped := time.Now()
			if err := d.Stop(t.Context(), h, "", tt.grace); err != nil || time.Since(stopped) != tt.took {
				t.Errorf("Stop: %v after %s, want %s", err, time.Since(stopped), tt.took)
			}
		}
	})
}
