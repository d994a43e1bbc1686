// Package journal keeps how containers ended, in a file each, written by their shim before
// anybody else hears of it. So an exit is known also when agent and containerd were dead at
// the time, and after a boot.
package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Env names the environment variable that tells a shim the journal's directory.
const Env = "NOMADISH_EXITS"

// maxBytes bounds one container's journal on reading; a few hundred bytes are usual.
const maxBytes = 64 << 10

// Entry is one line of a container's journal.
type Entry struct {
	OOM  bool      `json:"oom,omitempty"` // the kernel killed a process for want of memory
	Exit bool      `json:"exit,omitempty"`
	Code int       `json:"code,omitempty"` // 128 + signal when a signal ended it
	PID  int       `json:"pid,omitempty"`
	Time time.Time `json:"time"`
}

// Ending is how a container ended.
type Ending struct {
	Code int
	OOM  bool
	Time time.Time
}

// Append adds an entry and returns when it is on disk.
func Append(dir, container string, e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("journal of %s: %w", container, err)
	}
	path, err := file(dir, container)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("journal of %s: %w", container, err)
	}
	_, err = f.Write(append(line, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close(), syncDir(dir)); err != nil {
		return fmt.Errorf("journal of %s: %w", container, err)
	}
	return nil
}

// Read returns how a container ended; false when its journal has no end. A last line that
// was cut off counts as not written.
func Read(dir, container string) (Ending, bool, error) {
	path, err := file(dir, container)
	if err != nil {
		return Ending{}, false, err
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Ending{}, false, nil
	}
	if err != nil {
		return Ending{}, false, fmt.Errorf("journal of %s: %w", container, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes))
	if err != nil {
		return Ending{}, false, fmt.Errorf("journal of %s: %w", container, err)
	}
	end, ok := parse(data)
	return end, ok, nil
}

func parse(data []byte) (end Ending, ended bool) {
	for line := range bytes.Lines(data) {
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			continue // cut off by a crash
		}
		end.OOM = end.OOM || e.OOM
		if e.Exit && !ended { // the first is the one that was seen
			end.Code, end.Time, ended = e.Code, e.Time, true
		}
	}
	return end, ended
}

// Remove deletes a container's journal. Removing one that is not there is no error.
func Remove(dir, container string) error {
	path, err := file(dir, container)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal of %s: %w", container, err)
	}
	return nil
}

// Containers returns the containers that have a journal.
func Containers(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func file(dir, container string) (string, error) {
	if container == "" || container == "." || container == ".." || filepath.Base(container) != container {
		return "", fmt.Errorf("journal: %q is no container id", container)
	}
	return filepath.Join(dir, container), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
