package allocfs

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nomadish/nomadish/nomadish"
	"github.com/nomadish/nomadish/nomadish/lifecycle"
)

const (
	frameSize  = 64 << 10
	followWait = 100 * time.Millisecond // between looks for new content
)

// Origins of an offset.
const (
	originStart = "start"
	originEnd   = "end"
)

// Send takes one piece of a stream. An error ends the stream.
type Send func(*nomadish.StreamFrame) error

// Done says that nothing will be written any more. A stream that follows then ends with
// the content; without one it goes on until its context ends.
type Done func() bool

// Stream sends a file's content, and what is written to it later if req.Follow.
func (f FS) Stream(ctx context.Context, req *nomadish.FileRequest, done Done, send Send) error {
	if err := checkOrigin(req.Origin, req.Offset); err != nil {
		return err
	}
	file, info, err := f.open(req.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := reader{fs: f, name: strings.TrimPrefix(req.Path, "/"), file: file, send: send, buf: make([]byte, frameSize)}
	r.offset = req.Offset
	if req.Origin == originEnd {
		r.offset = max(0, info.Size()-req.Offset)
	}
	for {
		last := !req.Follow || done != nil && done()
		if err := r.copy(ctx); err != nil {
			return err
		}
		if last {
			return nil
		}
		event, err := r.changed()
		if err != nil {
			return err
		}
		if event != "" {
			if err := send(&nomadish.StreamFrame{File: r.name, Offset: r.offset, FileEvent: event}); err != nil {
				return err
			}
		}
		if event == nomadish.FileEventDeleted {
			return nil
		}
		if event == "" && lifecycle.Sleep(ctx, followWait) != nil {
			return ctx.Err()
		}
	}
}

func checkOrigin(origin string, offset int64) error {
	switch origin {
	case "", originStart, originEnd:
	default:
		return nomadish.Errorf(nomadish.KindInvalid, "invalid origin %q: want %s or %s", origin, originStart, originEnd)
	}
	if offset < 0 {
		return nomadish.Errorf(nomadish.KindInvalid, "offset %d is negative", offset)
	}
	return nil
}

// reader sends one open file.
type reader struct {
	fs     FS
	name   string
	file   *os.File
	offset int64
	send   Send
	buf    []byte
}

// copy sends all there is from the offset.
func (r *reader) copy(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.file.ReadAt(r.buf, r.offset)
		if n > 0 {
			r.offset += int64(n)
			// The frame's data are the receiver's: it may gather frames before it writes them.
			data := append([]byte(nil), r.buf[:n]...)
			if err := r.send(&nomadish.StreamFrame{File: r.name, Offset: r.offset, Data: data}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// changed says whether the file was deleted, or cut below the offset, which is 0 then.
func (r *reader) changed() (event string, err error) {
	opened, err := r.file.Stat()
	if err != nil {
		return "", err
	}
	if opened.Size() < r.offset {
		r.offset = 0
		return nomadish.FileEventTruncated, nil
	}
	file, there, err := r.fs.open(r.name)
	if nomadish.KindOf(err) == nomadish.KindNotFound || err == nil && !os.SameFile(opened, there) {
		event, err = nomadish.FileEventDeleted, nil
	}
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	return event, err
}

// Logs sends a task's kept output, and what comes later if req.Follow: the numbered files
// of the task, one after the other.
func (f FS) Logs(ctx context.Context, req *nomadish.LogRequest, done Done, send Send) error {
	if err := checkOrigin(req.Origin, req.Offset); err != nil {
		return err
	}
	if req.Type != "stdout" && req.Type != "stderr" {
		return nomadish.Errorf(nomadish.KindInvalid, "Require stdout or stderr as type")
	}
	l := logReader{fs: f, base: "alloc/logs/" + req.Task + "." + req.Type + ".", send: send, buf: make([]byte, frameSize)}
	number, offset, err := l.locate(req)
	if err != nil {
		return err
	}
	for {
		last := !req.Follow || done != nil && done()
		more, err := l.copyFrom(ctx, &number, &offset)
		if err != nil {
			return err
		}
		if last && !more {
			return nil
		}
		if !more && lifecycle.Sleep(ctx, followWait) != nil {
			return ctx.Err()
		}
	}
}

// logReader sends the numbered files of one stream.
type logReader struct {
	fs   FS
	base string // the path up to the number
	send Send
	buf  []byte
}

// piece is one numbered file.
type piece struct{ number, size int64 }

// pieces returns the files that are there, in the order of their numbers.
func (l *logReader) pieces() ([]piece, error) {
	prefix := strings.TrimPrefix(l.base, "alloc/logs/")
	var out []piece
	err := l.fs.each("alloc/logs", func(_ *walk, info fs.FileInfo) {
		digits, ok := strings.CutPrefix(info.Name(), prefix)
		if n, err := strconv.ParseInt(digits, 10, 64); ok && err == nil && n >= 0 && !info.IsDir() {
			out = append(out, piece{n, info.Size()})
		}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b piece) int { return cmp.Compare(a.number, b.number) })
	return out, nil
}

// locate finds the file and the place in it from which to read.
func (l *logReader) locate(req *nomadish.LogRequest) (number, offset int64, err error) {
	pieces, err := l.pieces()
	if errors.Is(err, nomadish.ErrNotFound) && req.Follow {
		return 0, 0, nil
	}
	if err != nil || len(pieces) == 0 {
		return 0, 0, err
	}
	var total int64
	for _, p := range pieces {
		total += p.size
	}
	skip := min(req.Offset, total)
	if req.Origin == originEnd {
		skip = max(0, total-req.Offset)
	}
	for _, p := range pieces {
		if skip <= p.size {
			return p.number, skip, nil
		}
		skip -= p.size
	}
	newest := pieces[len(pieces)-1]
	return newest.number, newest.size, nil
}

// copyFrom sends what a file has beyond the offset, and says whether there is another one
// behind it, which number and offset then stand for.
func (l *logReader) copyFrom(ctx context.Context, number, offset *int64) (more bool, err error) {
	next, err := l.next(*number)
	if err != nil {
		return false, err
	}
	name := l.base + strconv.FormatInt(*number, 10)
	file, info, err := l.fs.open(name)
	switch {
	case errors.Is(err, nomadish.ErrNotFound):
	case err != nil:
		return false, err
	default:
		defer file.Close()
		*offset = min(*offset, info.Size()) // the task may have cut it
		r := reader{fs: l.fs, name: name, file: file, offset: *offset, send: l.send, buf: l.buf}
		err := r.copy(ctx)
		*offset = r.offset
		if err != nil {
			return false, err
		}
	}
	if next < 0 {
		return false, nil
	}
	// The file behind was there before this one was read to its end, so it has no more.
	*number, *offset = next, 0
	return true, nil
}

// next returns the number of the first file behind one, or -1.
func (l *logReader) next(number int64) (int64, error) {
	pieces, err := l.pieces()
	if errors.Is(err, nomadish.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return 0, err
	}
	for _, p := range pieces {
		if p.number > number {
			return p.number, nil
		}
	}
	return -1, nil
}
