//go:build linux

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

// relative is what of /proc/PID/stat tells who belongs together.
type relative struct {
	pid, parent, session int
	ticks                uint64
	zombie               bool
}

// family returns the processes of the session that still run.
func (id ID) family() ([]int, error) {
	if id.PID <= 1 { // nobody's, or that of all
		return nil, nil
	}
	all, err := relatives()
	if err != nil {
		return nil, err
	}
	member := map[int]bool{}
	for _, p := range all {
		// A session's number is free for others only after its last process has ended, and
		// the leader's start time tells a new session from ours; without a leader, age does.
		if p.session == id.PID && p.ticks >= id.Start && (p.pid != id.PID || p.ticks == id.Start) {
			member[p.pid] = true
		}
	}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if member[p.parent] && !member[p.pid] {
				member[p.pid], grown = true, true
			}
		}
	}
	var pids []int
	for _, p := range all {
		if member[p.pid] && !p.zombie {
			pids = append(pids, p.pid)
		}
	}
	return pids, nil
}

func relatives() ([]relative, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var out []relative
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		name := strings.LastIndex(string(data), ") ")
		if err != nil || name < 0 {
			continue // not a process
		}
		fields := strings.Fields(string(data)[name+2:])
		if len(fields) < 20 {
			continue
		}
		p := relative{pid: pid, zombie: fields[0] == "Z"}
		var errs [3]error
		p.parent, errs[0] = strconv.Atoi(fields[1])
		p.session, errs[1] = strconv.Atoi(fields[3])
		p.ticks, errs[2] = strconv.ParseUint(fields[19], 10, 64)
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, p)
	}
	return out, nil
}
