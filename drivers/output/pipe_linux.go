package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers"
)

// pipeSize is how much a task can write before somebody has to move it. It counts as the
// memory of who writes it, so it is not the most that there can be.
const pipeSize = 256 << 10

// maxPiece bounds what is moved in one go, while the log is locked.
const maxPiece = 1 << 20

// copySize is how much is copied at once where the kernel cannot move it.
const copySize = 64 << 10

// Pipe is a pipe whose content goes to a log.
type Pipe struct {
	// Writer is the end for the task. Who has given it away closes it: the pipe ends when
	// nobody has it any more.
	Writer *os.File

	in    *os.File
	log   *Log
	close func() error
}

// Pipe opens a log and makes a pipe for it, which Run or Close frees.
func (s *Set) Pipe(o drivers.Output) (*Pipe, error) {
	l, err := s.Open(o)
	if err != nil {
		return nil, err
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("pipe: %w", err), l.Close())
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize) // a smaller one does as well
	err = unix.SetNonblock(fds[0], true)                               // only this end: programs expect to wait
	p := &Pipe{Writer: os.NewFile(uintptr(fds[1]), "output"), in: os.NewFile(uintptr(fds[0]), "output"), log: l}
	p.close = sync.OnceValue(func() error { return errors.Join(p.in.Close(), p.log.Close()) })
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close frees a pipe. Closing twice is no error.
func (p *Pipe) Close() error {
	err := p.Writer.Close()
	if errors.Is(err, fs.ErrClosed) {
		err = nil
	}
	return errors.Join(err, p.close())
}

// Run moves what is written until nobody is left who could, or ctx ends. Then it frees the pipe.
func (p *Pipe) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, p.close()) }()
	conn, err := p.in.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.in.SetReadDeadline(time.Unix(1, 0)) }) // fails only when it is closed
	defer stop()
	var n int64
	var moveErr error
	piece := func(fd uintptr) bool {
		n, moveErr = p.move(int(fd), maxPiece)
		return !errors.Is(moveErr, unix.EAGAIN)
	}
	for {
		err := conn.Read(piece)
		if ctx.Err() != nil {
			return nil
		}
		if err := errors.Join(err, moveErr); err != nil || n == 0 {
			return err
		}
	}
}

// Drain moves what the pipe holds now, and does not wait for more.
func (p *Pipe) Drain() error {
	conn, err := p.in.SyscallConn()
	if err != nil {
		return err
	}
	var moveErr error
	if conn.Control(func(fd uintptr) {
		left, err := waiting(int(fd))
		for left > 0 && err == nil {
			var n int64
			if n, err = p.move(int(fd), left); n == 0 {
				break // Run was faster
			}
			left -= n
		}
		moveErr = err
	}) != nil || errors.Is(moveErr, unix.EAGAIN) {
		return nil // it is closed, or empty: Run has moved it
	}
	return moveErr
}

// move moves a piece of at most so many bytes. It returns none when the pipe has ended, and
// EAGAIN when it is empty.
func (p *Pipe) move(fd int, most int64) (int64, error) {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	// A full file is left for the next one only when there is something to put there.
	if n, err := waiting(fd); err != nil || n == 0 {
		if err == nil && !ended(fd) {
			err = unix.EAGAIN
		}
		return 0, err
	}
	at, room, err := l.room()
	if err == nil {
		var n int64
		n, err = l.fill(fd, at, min(most, room))
		if err == nil || errors.Is(err, unix.EAGAIN) {
			return n, err
		}
	}
	n, discardErr := discard(fd, most) // a task does not wait for room on a disk
	l.lose(n, err)
	return n, discardErr
}

// fill moves what a pipe holds to a place in the newest file. Some file systems (of old kernels,
// of FUSE) have nothing to move it there inside the kernel: their files are written by copying.
func (l *Log) fill(fd int, at, most int64) (int64, error) {
	if l.buffer == nil {
		n, err := splice(fd, l.file, &at, most)
		if !errors.Is(err, unix.EINVAL) {
			return n, err
		}
		l.buffer = make([]byte, copySize)
	}
	n, err := unix.Read(fd, l.buffer[:min(most, copySize)])
	if err != nil {
		return 0, err
	}
	// What was taken out of the pipe is lost when it cannot be written.
	if written, err := l.put(l.buffer[:n], at); err != nil {
		l.lose(int64(n-written), err)
	}
	return int64(n), nil
}

// waiting is how much a pipe holds.
func waiting(fd int) (int64, error) {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	return int64(n), err
}

// ended says whether a pipe is empty and nobody can write to it any more.
func ended(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if !errors.Is(err, unix.EINTR) {
			return n == 1 && err == nil && fds[0].Revents&unix.POLLIN == 0
		}
	}
}

// discard takes a piece out of a pipe.
func discard(fd int, most int64) (int64, error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return splice(fd, null, nil, most)
}

// splice moves what a pipe holds to a place in a file, inside the kernel.
func splice(fd int, to *os.File, at *int64, most int64) (n int64, err error) {
	for {
		n, err = unix.Splice(fd, nil, int(to.Fd()), at, int(most), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// measure returns a file's size and the number of its names.
func measure(f *os.File) (size int64, names uint64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, 0, os.NewSyscallError("fstat", err)
	}
	return st.Size, uint64(st.Nlink), nil //nolint:unconvert // 32 bits wide on some machines
}
