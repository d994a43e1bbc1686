//go:build linux

// Package process knows a process again: a pid alone may belong to another one by now.
package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ID is one process of one boot.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // clock ticks since the boot
	Boot  string `json:"boot"`
}

// Self is this process.
func Self() ID { id, _ := Find(os.Getpid()); return id }

// Find returns the running process with a pid; false when there is none.
func Find(pid int) (ID, bool) {
	stat, err := ReadStat(pid)
	if err != nil || stat.Ended() {
		return ID{PID: pid}, false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ID{PID: pid}, false
	}
	return ID{PID: pid, Start: stat.Start, Boot: strings.TrimSpace(string(boot))}, true
}

// Running says whether there is a process with a pid; one that nobody has waited for does not count.
func Running(pid int) bool {
	stat, err := ReadStat(pid)
	return err == nil && !stat.Ended()
}

// Alive says whether the process still runs; one that nobody has waited for does not.
func (id ID) Alive() bool {
	if id.PID <= 1 {
		return false
	}
	now, ok := Find(id.PID)
	return ok && now == id
}

// Kill ends the process if it is still the same one, and waits up to grace for it to be gone.
func (id ID) Kill(signal unix.Signal, grace time.Duration) error {
	if !id.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(id.PID, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d: %w", id.PID, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is written through it
	if !id.Alive() {
		return nil // it ended meanwhile, and the pid may be another's
	}
	if err := unix.PidfdSendSignal(fd, signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", id.PID, err)
	}
	end := time.Now().Add(grace)
	for {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, int(max(0, time.Until(end)).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("process %d: %w", id.PID, err)
		case n == 0:
			return fmt.Errorf("process %d did not end within %s of %s", id.PID, grace, unix.SignalName(signal))
		}
		return nil
	}
}

// Write stores an ID in a file, whole or not at all.
func Write(path string, id ID) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Read returns the ID in a file. A file that is not there, or holds none, gives the zero
// ID, which is not alive.
func Read(path string) ID {
	var id ID
	b, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(b, &id) != nil {
		return ID{}
	}
	return id
}
