//go:build linux

package supervisor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

const recordSuffix = ".task"

func recordPath(dir, id string) string { return filepath.Join(dir, drivers.Key(id)+recordSuffix) }

// save writes a record so that a crash leaves the old one or the new one.
func save(dir string, r *Record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := recordPath(dir, r.ID)
	file, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if r.Exit != nil { // a start need not outlive the machine's power: the process does not either
		err = errors.Join(err, file.Sync())
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// Load returns the record of a task, or an error that is drivers.ErrTaskLost.
func Load(dir, id string) (*Record, error) {
	r, err := loadFile(recordPath(dir, id))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("task %s: %w", id, drivers.ErrTaskLost)
	}
	return r, err
}

func loadFile(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Records returns all records of a directory.
func Records(dir string) ([]Record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), recordSuffix) {
			continue
		}
		r, err := loadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
	}
	return out, nil
}

// Forget deletes a task's record. Forgetting twice is no error.
func Forget(dir, id string) error {
	err := os.Remove(recordPath(dir, id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Process is the record's process, which leads a session of its own.
func (r *Record) Process() process.ID { return process.ID{PID: r.PID, Start: r.Ticks} }

// readLine decodes one line of JSON of bounded length.
func readLine(r io.Reader, v any) error {
	line, err := bufio.NewReader(io.LimitReader(r, maxRequest)).ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, v)
}
