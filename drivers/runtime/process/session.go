//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// KillSession ends the processes of the session that the process leads or led, and their
// descendants, and returns when none is left. One that leaves the session while its parents
// are all gone escapes; a cgroup is what prevents that.
func (id ID) KillSession(ctx context.Context) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		pids, err := id.family()
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill %d: %w", pid, err)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%d processes of session %d are still there: %w", len(pids), id.PID, ctx.Err())
		case <-timer.C:
		}
	}
}

// family returns the processes of the session that still run.
func (id ID) family() ([]int, error) {
	if id.PID <= 1 { // nobody's, or that of all
		return nil, nil
	}
	all, err := Stats()
	if err != nil {
		return nil, err
	}
	member := map[int]bool{}
	for _, p := range all {
		// A session's number is free for others only after its last process has ended, and
		// the leader's start time tells a new session from ours; without a leader, age does.
		if p.Session == id.PID && p.Start >= id.Start && (p.PID != id.PID || p.Start == id.Start) {
			member[p.PID] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if member[p.Parent] && !member[p.PID] {
				member[p.PID], grown = true, true
			}
		}
	}
	var pids []int
	for _, p := range all {
		if member[p.PID] && !p.Ended() {
			pids = append(pids, p.PID)
		}
	}
	return pids, nil
}
