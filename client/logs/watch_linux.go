package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

// watcher tells which spools have changed. Without inotify it says "all" from time to time.
type watcher struct {
	events *os.File // nil: polling
	poll   time.Duration
	buf    []byte
}

// maxReads bounds how often the queue is read in one go: the kernel's holds 16,384 changes of
// about 100 bytes, unless it was told to hold more.
const maxReads = 32

// newWatcher watches a directory. When the system can't, it says why, and polls.
func newWatcher(dir string, poll time.Duration) (*watcher, error) {
	w := &watcher{poll: poll}
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return w, fmt.Errorf("inotify: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY); err != nil {
		return w, errors.Join(fmt.Errorf("inotify: %w", err), unix.Close(fd))
	}
	w.events = os.NewFile(uintptr(fd), "inotify")
	w.buf = make([]byte, 64<<10)
	return w, nil
}

// next waits for a change, with retry at most the time between polls. all says that any
// spool may have changed.
func (w *watcher) next(ctx context.Context, retry bool) (names []string, all bool) {
	if w.events == nil {
		_ = lifecycle.Sleep(ctx, w.poll)
		return nil, true
	}
	w.deadline(time.Time{})
	if retry {
		w.deadline(time.Now().Add(w.poll))
	}
	stop := context.AfterFunc(ctx, func() { w.deadline(time.Unix(1, 0)) })
	defer stop()
	n, err := w.events.Read(w.buf)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			w.close() // it can't be read any more: poll from now on
		}
		return nil, true
	}
	return parseEvents(w.buf[:n])
}

// pending returns the changes that have gathered since, without waiting. Tasks that write a lot
// make more of them than are worth reading one by one, and what lies far behind in the queue is
// of other tasks, who would wait for it: then all may have changed, and the queue is emptied.
func (w *watcher) pending() (names []string, all bool) {
	if w.events == nil {
		return nil, false
	}
	conn, err := w.events.SyscallConn()
	if err != nil {
		return nil, true
	}
	w.deadline(time.Time{})
	err = conn.Read(func(fd uintptr) bool {
		for range maxReads {
			n, err := unix.Read(int(fd), w.buf)
			if err != nil || n <= 0 {
				break
			}
			if !all {
				names, all = parseEvents(w.buf[:n])
			}
			if n < len(w.buf)/2 { // that was all
				break
			}
			all = true
		}
		return true
	})
	return names, all || err != nil
}

func (w *watcher) deadline(t time.Time) {
	if err := w.events.SetReadDeadline(t); err != nil {
		return // closed: nobody reads
	}
}

func (w *watcher) close() {
	if w.events != nil {
		_ = w.events.Close()
		w.events = nil
	}
}

// parseEvents reads what inotify wrote. An event without a name says "all".
func parseEvents(b []byte) (names []string, all bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		mask := binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		b = b[unix.SizeofInotifyEvent:]
		if length > len(b) {
			return names, true
		}
		name := string(bytes.TrimRight(b[:length], "\x00"))
		b = b[length:]
		if mask&unix.IN_Q_OVERFLOW != 0 || name == "" {
			all = true
			continue
		}
		names = append(names, name)
	}
	return names, all
}

// punchHole gives the disk space of a part of a file back. Where the file system can't,
// the space stays taken.
func punchHole(f *os.File, offset, length int64) error {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, length)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return err
}

// nextData returns where data begin at or behind an offset.
func nextData(f *os.File, offset, size int64) int64 {
	next, err := unix.Seek(int(f.Fd()), offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return size
	case err != nil:
		return offset
	}
	return next
}

// links is the number of names of a file.
func links(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink) //nolint:unconvert // 32 bits wide on some machines
	}
	return 1
}
