package function_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/drivertest"
	"github.com/nomadish/nomadish/drivers/function"
	"github.com/nomadish/nomadish/drivers/output"
)

// The driver keeps the contract within one process: New gives the same driver each time.
func TestContract(t *testing.T) {
	d := function.New(func(ctx context.Context, task *drivers.TaskSpec) int {
		switch c := task.Config; {
		case c["sleep"] != nil:
			<-ctx.Done()
			return 143
		case c["print"] != nil:
			log, err := output.Open(task.Stdout)
			if err != nil {
				return 1
			}
			_, err = io.WriteString(log, c["print"].(string))
			if errors.Join(err, log.Close()) != nil {
				return 1
			}
			return 0
		case c["panic"] != nil:
			panic("boom")
		default:
			return c["code"].(int)
		}
	})
	drivertest.Run(t, drivertest.Harness{
		New:   func(testing.TB) drivers.Driver { return d },
		Exit:  func(code int) map[string]any { return map[string]any{"code": code} },
		Sleep: func() map[string]any { return map[string]any{"sleep": true} },
		Print: func(text string) map[string]any { return map[string]any{"print": text} },
	})
}

// A panic ends its task, not the agent.
func TestPanicFailsTheTask(t *testing.T) {
	d := function.New(func(context.Context, *drivers.TaskSpec) int { panic("boom") })
	h, err := d.Start(t.Context(), drivertest.Spec(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if exit, err := d.Wait(t.Context(), h); err != nil || exit.Successful() || exit.Err == "" {
		t.Errorf("Wait = %+v, %v; want a failure that says why", exit, err)
	}
}
