// Package output writes what tasks say into numbered files, of a size and a number that their
// jobs limit.
//
// The process that started a task does it, and so has to outlive the agent: an agent that is
// gone, or slow, then changes nothing. Such a process gives its tasks the writing ends of pipes
// (Set.Pipe) whose content the kernel moves into the files. Drivers whose tasks are in the
// agent's own process write (Open).
//
// A task does not wait for room on a disk. What could not be written is counted, and a line in
// the log says so as soon as there is room for it.
package output

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"sync"
	"syscall"

	"github.com/nomadish/nomadish/drivers"
)

// What a job says nothing of.
const (
	defaultFiles = 10
	defaultSize  = 10 << 20
)

// Set is the logs that a process writes. Who opens a log that is open already shares it, as the
// output of a task's new start and what is left of the one before do. The zero Set is ready.
type Set struct {
	mu   sync.Mutex
	logs map[place]*Log
}

type place struct{ root, path string }

// Log is the numbered files of one output.
type Log struct {
	set   *Set
	users int // guarded by set.mu

	mu     sync.Mutex
	out    drivers.Output
	number int64    // of the newest file
	file   *os.File // the newest, or nil
	buffer []byte   // what a pipe holds goes through it where the kernel cannot move it; else nil
	lost   int64    // bytes that the log does not say of yet
	why    error
}

// Open opens a log to append to, for a process that writes it alone.
func Open(o drivers.Output) (*Log, error) { return new(Set).Open(o) }

// Open opens a log to append to, behind what its newest file holds.
func (s *Set) Open(o drivers.Output) (*Log, error) {
	o.MaxFiles = max(cmp.Or(o.MaxFiles, defaultFiles), 1)
	o.MaxFileSize = max(cmp.Or(o.MaxFileSize, defaultSize), 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := place{o.Root, o.Path}
	l := s.logs[at]
	if l == nil {
		l = &Log{set: s}
	}
	if err := l.begin(o); err != nil {
		return nil, fmt.Errorf("output %s: %w", o.Path, err)
	}
	if s.logs == nil {
		s.logs = map[place]*Log{}
	}
	s.logs[at] = l
	l.users++
	return l, nil
}

// Close ends the use of a log that Open began.
func (l *Log) Close() error {
	l.set.mu.Lock()
	defer l.set.mu.Unlock()
	if l.users--; l.users > 0 {
		return nil
	}
	delete(l.set.logs, place{l.out.Root, l.out.Path})
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.leave()
}

// Write appends to the log, and never fails: see the package's comment.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out.Path == "" {
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		at, room, err := l.room()
		n := 0
		if err == nil {
			n, err = l.put(rest[:min(int64(len(rest)), room)], at)
		}
		rest = rest[n:]
		if err != nil {
			l.lose(int64(len(rest)), err)
			break
		}
	}
	return len(p), nil
}

// put writes to a place in the newest file, and returns how much of it is there. The file's own
// word is none when a disk fills up in the middle.
func (l *Log) put(p []byte, at int64) (int, error) {
	n, err := l.file.WriteAt(p, at)
	if err != nil {
		if size, _, statErr := measure(l.file); statErr == nil {
			n = int(min(max(size-at, 0), int64(len(p))))
		}
	}
	return n, err
}

// begin sets what limits the log, and finds its newest file where it is not known yet.
func (l *Log) begin(o drivers.Output) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.out.Path != ""
	l.out = o
	if o.Path == "" {
		return nil
	}
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(o.Path), 0o755); err != nil {
		return err
	}
	there, err := numbers(root, o.Path)
	if err != nil {
		return err
	}
	if len(there) > 0 && !known {
		l.number = there[len(there)-1]
	}
	for _, n := range there {
		if n <= l.oldest() {
			if err := root.RemoveAll(l.name(n)); err != nil {
				return err
			}
		}
	}
	if l.file == nil {
		return l.enter(root)
	}
	return nil
}

// oldest is the highest number of the files that are too many.
func (l *Log) oldest() int64 { return l.number - int64(l.out.MaxFiles) }

// name is a file's path below the root.
func (l *Log) name(n int64) string { return l.out.Path + "." + strconv.FormatInt(n, 10) }

// enter opens the newest file.
func (l *Log) enter(root *os.Root) (err error) {
	l.file, err = openPlain(root, l.name(l.number))
	return err
}

// leave closes the newest file.
func (l *Log) leave() error {
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file, l.buffer = nil, nil
	return err
}

// maxSteps bounds how many files are tried until one has room: the task may make some, too.
const maxSteps = 16

// room returns where to write on in the newest file, and how much it takes there. That is another
// file where the newest is full, or was removed by the task.
func (l *Log) room() (at, room int64, err error) {
	for range maxSteps {
		if l.file == nil {
			if err := l.turn(); err != nil {
				return 0, 0, err
			}
		}
		at, names, err := measure(l.file) // not what we wrote: a task may have cut the file
		if err != nil {
			return 0, 0, err
		}
		switch {
		case names == 0:
			err = l.leave()
		case at >= l.out.MaxFileSize:
			l.number++
			err = l.leave()
		case l.lost > 0:
			err = l.confess(at)
		default:
			return at, l.out.MaxFileSize - at, nil
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, errors.New("something keeps filling or removing the files")
}

// turn opens the newest file, and removes before the one that is too many with it.
func (l *Log) turn() error {
	root, err := os.OpenRoot(l.out.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if n := l.oldest(); n >= 0 {
		if err := root.RemoveAll(l.name(n)); err != nil {
			return err
		}
	}
	return l.enter(root)
}

// lose counts what could not be written.
func (l *Log) lose(n int64, why error) {
	l.lost += n
	l.why = why
}

// confess says in the log how much of it is missing, in a line of its own.
func (l *Log) confess(at int64) error {
	line := fmt.Sprintf("[nomadish: %d bytes of output are missing here: %s]\n", l.lost, reason(l.why))
	if last := []byte{'\n'}; at > 0 {
		if _, err := l.file.ReadAt(last, at-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			line = "\n" + line
		}
	}
	if _, err := l.file.WriteAt([]byte(line), at); err != nil {
		return err
	}
	l.lost, l.why = 0, nil
	return nil
}

// reason is the system's word for an error: the log's reader has no use for paths of the host.
func reason(err error) string {
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	return "its files could not be written"
}
