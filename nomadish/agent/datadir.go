package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

// dataFormat is the layout of data_dir. A directory of a later one is refused.
const dataFormat = 1

// dirLock keeps other agents out of a data directory.
type dirLock struct{ file *flock.Flock }

// lockDir makes the data directory where it lacks and takes it for this agent.
func lockDir(dir string) (*dirLock, error) {
	// Others may pass through, not look: tasks of other users reach their own directories.
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	l := &dirLock{file: flock.New(filepath.Join(dir, "lock"))}
	ok, err := l.file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("data_dir: %s is in use by another agent", dir)
	}
	if err := checkFormat(filepath.Join(dir, "format")); err != nil {
		l.release()
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return l, nil
}

func checkFormat(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return os.WriteFile(path, []byte(strconv.Itoa(dataFormat)+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n > dataFormat {
		return fmt.Errorf("%s says format %q, this program knows up to %d: it needs a newer one", path, strings.TrimSpace(string(data)), dataFormat)
	}
	return nil
}

func (l *dirLock) release() {
	_ = l.file.Unlock() // closing the file frees it in any case
}
