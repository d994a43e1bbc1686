//go:build linux

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of CPU times: USER_HZ is 100 on every Linux that Go runs on.
const tick = time.Second / 100

// Stat is what the kernel says of a process in /proc/PID/stat.
type Stat struct {
	PID, Parent, Session int
	State                byte   // R, S, D, T … as proc(5) has them
	Start                uint64 // when it began, in clock ticks since the boot

	User, System time.Duration // how long it has computed, to 10 ms
	// Children is how long those of its children have computed that have ended and that it
	// has waited for.
	Children time.Duration
}

// Ended says that the process has ended and that nobody has waited for it yet.
func (s Stat) Ended() bool { return s.State == 'Z' || s.State == 'X' }

// ReadStat reads the stat of a process. The error is fs.ErrNotExist if there is none.
func ReadStat(pid int) (Stat, error) {
	path := filepath.Join("/proc", strconv.Itoa(pid), "stat")
	text, err := os.ReadFile(path)
	if errors.Is(err, syscall.ESRCH) { // it ended between opening and reading
		err = &os.PathError{Op: "read", Path: path, Err: os.ErrNotExist}
	}
	if err != nil {
		return Stat{}, err
	}
	s, err := parseStat(text)
	if err != nil {
		return Stat{}, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// Stats reads those of all processes.
func Stats() ([]Stat, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Stat
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue // no process
		}
		s, err := ReadStat(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // it has ended
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// parseStat reads "PID (NAME) STATE PARENT …". The name may hold anything, parentheses too.
func parseStat(text []byte) (s Stat, err error) {
	pid, _, _ := bytes.Cut(text, []byte(" "))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	// Fields of proc(5), counted from the state, which is the third there.
	const state, parent, session, user, system, childUser, childSystem, start = 0, 1, 3, 11, 12, 13, 14, 19
	if len(fields) <= start || len(fields[state]) != 1 {
		return s, fmt.Errorf("unknown form: %d fields behind the name", len(fields))
	}
	var errs []error
	number := func(field string) int64 {
		n, err := strconv.ParseInt(field, 10, 64)
		errs = append(errs, err)
		return n
	}
	cpu := func(field int) time.Duration { return time.Duration(number(fields[field])) * tick }
	s = Stat{
		PID: int(number(string(pid))), Parent: int(number(fields[parent])), Session: int(number(fields[session])), State: fields[state][0],
		User: cpu(user), System: cpu(system), Children: cpu(childUser) + cpu(childSystem),
	}
	s.Start, err = strconv.ParseUint(fields[start], 10, 64)
	return s, errors.Join(append(errs, err)...)
}
