//go:build linux

package containerd

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/process"
)

// acquire takes the lock that only one containerd per layout can hold. The kernel gives it
// back when the process ends, in whatever way.
func acquire(l layout.Layout) (*os.File, error) {
	for _, dir := range []string{l.Run, l.Data, l.Exits(), l.Files()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(l.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another containerd runs on %s: %w", l.Run, err), f.Close())
	}
	if err := process.Write(l.Process(), process.Self()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// maxLog is the size at which the log starts anew; one old file is kept.
const maxLog = 8 << 20

// logFile is a log that rotates. What the Go runtime writes when it panics goes to file
// descriptor 2, which the parent pointed at the same file.
type logFile struct {
	mu   sync.Mutex
	path string
	f    *os.File
	size int64
}

// redirectLog sends containerd's messages to the file, warnings and worse.
func redirectLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	if err := l.open(); err != nil {
		return nil, err
	}
	log.L.Logger.SetOutput(l)
	if err := log.SetLevel("warn"); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.f, l.size = f, info.Size()
	return nil
}

// Write appends a message; when the file is full it becomes the old one.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(b)) > maxLog {
		old := l.f
		if err := os.Rename(l.path, l.path+".1"); err != nil {
			return 0, err
		}
		if err := l.open(); err != nil {
			return 0, err
		}
		if err := old.Close(); err != nil {
			return 0, err
		}
	}
	n, err := l.f.Write(b)
	l.size += int64(n)
	return n, err
}

// Close closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
