//go:build linux

package terminal

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/nomadish/nomadish/e2e/machine"
)

// says waits until the newest task of a job has written a text so many times.
func says(t *testing.T, job, text string, times int) {
	t.Helper()
	ctx := testContext(t)
	a, err := started(ctx, job)
	must(t, err)
	must(t, machine.Until(ctx, fmt.Sprintf("%s says %q %d times", job, text, times), func(ctx context.Context) error {
		out, err := server.Output(ctx, a.ID, machine.Task)
		if err == nil && strings.Count(out, text) != times {
			err = fmt.Errorf("it says %q", out)
		}
		return err
	}))
}

// A signal reaches the task, and a restart starts it again: one task, or all of them.
func TestSignalAndRestart(t *testing.T) {
	for _, driver := range drivers {
		t.Run(driver, func(t *testing.T) {
			id := "controlled-" + driver
			_, err := server.Register(testContext(t), shell(id, driver, life))
			must(t, err)
			t.Cleanup(func() { must(t, server.Stopped(context.Background(), id, true)) })
			says(t, id, "started", 1)
			ok(t, ask, "alloc", "signal", "-s", "SIGHUP", id+"/0", machine.Task)
			says(t, id, "hup", 1)
			ok(t, ask, "alloc", "restart", id+"/0", machine.Task)
			says(t, id, "started", 2)
			ok(t, ask, "alloc", "restart", "-all-tasks", id+"/0")
			says(t, id, "started", 3)
		})
	}
}

// Followed logs of a job go on with the allocation that takes the place of one.
func TestLogsGoOnWithTheReplacement(t *testing.T) {
	const id = "replaced"
	job := shell(id, "raw_exec", life)
	_, err := server.Register(testContext(t), job)
	must(t, err)
	t.Cleanup(func() { must(t, server.Stopped(context.Background(), id, true)) })
	first, err := started(testContext(t), id)
	must(t, err)
	s := onTerminal(t, ask, 120, 30, "logs", "-f", id)
	s.sees("started " + first.ID)
	ok(t, ask, "alloc", "stop", id+"/0")
	second, err := started(testContext(t), id)
	must(t, err)
	if first.ID == second.ID {
		t.Fatal("there is no replacement")
	}
	s.sees("started " + second.ID)
	s.enter("\x03")
	if code := s.code(); code != 0 && code != 130 {
		t.Errorf("an interrupt: code %d\n%s", code, s.text())
	}
}
