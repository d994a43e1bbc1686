// Package audit keeps a log of who asked what of an agent, in which no line can be changed,
// added or taken away unseen: each ends with the hash of itself and of the line before.
//
//	log, err := audit.Open(audit.Config{Path: path})
//	err = log.Record(audit.NewEntry(now, &caller, request, nil))
//	head, err := audit.Verify(file, audit.Head{}, nil)
package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config of a Log.
type Config struct {
	Path    string      // of the file; required. Its directory is made, for the agent's user alone.
	Mode    fs.FileMode // default 0600
	Filters []Filter    // what is left out; default: nothing

	RotateBytes    int64         // size at which a new file is begun; default 64 MiB
	RotateDuration time.Duration // age at which a new file is begun; default 24h
	RotateMaxFiles int           // former files to keep; default 0: all

	// BestEffort lets requests go on that could not be recorded. By default they are refused.
	BestEffort bool
	// Sync waits for the disk with each entry, so that a lost power takes none away.
	Sync bool

	Now    func() time.Time // wall clock; default time.Now
	Logger *slog.Logger     // default: discard
}

func (c Config) withDefaults() (Config, error) {
	if c.Path == "" {
		return c, errors.New("audit: path: must be set")
	}
	for i := range c.Filters {
		if err := c.Filters[i].validate(); err != nil {
			return c, fmt.Errorf("audit: filter %d: %w", i+1, err)
		}
	}
	c.Mode = cmp.Or(c.Mode, 0o600)
	c.RotateBytes = cmp.Or(c.RotateBytes, 64<<20)
	c.RotateDuration = cmp.Or(c.RotateDuration, 24*time.Hour)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// Log is an open log. It is safe for concurrent use.
type Log struct {
	cfg Config

	mu     sync.Mutex
	file   *os.File // nil after Close, and after a write that failed until the next one
	size   int64
	began  time.Time
	head   Head
	closed bool
}

// Open opens a log and goes on with the chain that is there. A line that a killed agent left
// unfinished is taken away. A file that can't be gone on with is put aside, and the new one
// says why.
func Open(cfg Config) (*Log, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	l := &Log{cfg: cfg}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return l, nil
}

// Close closes the file. What is recorded afterwards fails.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.shut()
}

// Head returns where the chain ends now.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Record writes an entry, unless a filter leaves it out. An error means that the request
// must not go on.
func (l *Log) Record(e *Entry) error {
	if !e.Denied() && slices.ContainsFunc(l.cfg.Filters, func(f Filter) bool { return f.matches(e) }) {
		return nil
	}
	err := l.write(e)
	if err == nil || !l.cfg.BestEffort {
		return err
	}
	l.cfg.Logger.Error("a request is missing in the audit log", "operation", e.Payload.Request.Operation, "endpoint", e.Payload.Request.Endpoint, "err", err)
	return nil
}

func (l *Log) write(e *Entry) error {
	object, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ready(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := l.append(object); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// ready makes sure that there is a file with room.
func (l *Log) ready() error {
	switch {
	case l.closed:
		return errors.New("the log is closed")
	case l.file == nil:
		return l.open()
	case l.size >= l.cfg.RotateBytes || l.cfg.Now().Sub(l.began) >= l.cfg.RotateDuration:
		if err := l.shut(); err != nil {
			return err
		}
		return l.rotate("")
	}
	return nil
}

// append writes a line. After a failure the file is closed: the next entry opens it again
// and takes away what was written of the line.
func (l *Log) append(object []byte) error {
	line, sum := seal(object, l.head.Sum)
	_, err := l.file.Write(line)
	if err == nil && l.cfg.Sync {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.shut())
	}
	l.size += int64(len(line))
	l.head = Head{l.head.Lines + 1, sum}
	return nil
}

func (l *Log) shut() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file = nil
	return err
}

// open goes on with the file that is there, or begins one.
func (l *Log) open() error {
	info, err := os.Lstat(l.cfg.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return l.begin(&header{})
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", l.cfg.Path)
	}
	file, err := os.OpenFile(l.cfg.Path, os.O_RDWR|os.O_APPEND, l.cfg.Mode)
	if err != nil {
		return err
	}
	head, good, began, err := tail(file)
	if err != nil {
		l.head = Head{}
		l.cfg.Logger.Error("the audit log can't be gone on with; it is put aside", "path", l.cfg.Path, "err", err)
		return errors.Join(file.Close(), l.rotate(err.Error()))
	}
	cut := info.Size() - good
	if cut > 0 {
		if err := file.Truncate(good); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	l.file, l.size, l.head, l.began = file, good, head, began
	if cut > 0 {
		l.cfg.Logger.Warn("an unfinished line was taken off the audit log", "path", l.cfg.Path, "bytes", cut)
		return l.appendHeader(&header{Cut: cut})
	}
	return nil
}

// tail checks a file and returns its head, the size of its whole lines and when it was begun.
func tail(file *os.File) (head Head, good int64, began time.Time, err error) {
	whole, err := wholeLines(file)
	if err != nil {
		return head, 0, began, err
	}
	head, err = Verify(io.NewSectionReader(file, 0, whole), Head{}, nil)
	if err != nil {
		return head, 0, began, err
	}
	if head == (Head{}) {
		return head, 0, began, errors.New("holds no whole line")
	}
	line := make([]byte, min(whole, maxLine))
	if _, err := file.ReadAt(line, 0); err != nil {
		return head, 0, began, err
	}
	line, _, _ = bytes.Cut(line, []byte{'\n'})
	open, _, err := unseal(line)
	if err != nil {
		return head, 0, began, err
	}
	h, err := readHeader(open)
	if err != nil {
		return head, 0, began, err
	}
	return head, whole, h.CreatedAt, nil
}

// wholeLines returns where the last line ends that is finished.
func wholeLines(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, min(info.Size(), maxLine))
	start := info.Size() - int64(len(buf))
	if _, err := file.ReadAt(buf, start); err != nil {
		return 0, err
	}
	return start + int64(bytes.LastIndexByte(buf, '\n')) + 1, nil
}

// begin begins a file.
func (l *Log) begin(h *header) error {
	file, err := os.OpenFile(l.cfg.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, l.cfg.Mode)
	if err != nil {
		return err
	}
	l.file, l.size, l.began = file, 0, l.cfg.Now()
	return l.appendHeader(h)
}

func (l *Log) appendHeader(h *header) error {
	h.EventType, h.CreatedAt, h.After, h.Lines = eventChain, l.cfg.Now(), l.head.Sum.String(), l.head.Lines
	object, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return l.append(object)
}

// rotate puts the file aside and begins another, which says where the one before is.
func (l *Log) rotate(fault string) error {
	ext := filepath.Ext(l.cfg.Path)
	stem := strings.TrimSuffix(l.cfg.Path, ext)
	aside := fmt.Sprintf("%s-%d%s", stem, l.cfg.Now().UnixNano(), ext)
	if err := os.Rename(l.cfg.Path, aside); err != nil {
		return err
	}
	if err := l.begin(&header{File: filepath.Base(aside), Fault: fault}); err != nil {
		return err
	}
	return l.forget(stem, ext)
}

// forget removes the oldest of the former files.
func (l *Log) forget(stem, ext string) error {
	if l.cfg.RotateMaxFiles <= 0 {
		return nil
	}
	entries, err := os.ReadDir(filepath.Dir(stem))
	if err != nil {
		return err
	}
	var former []string // by age: nanoseconds since 1970 have 19 digits until 2286
	for _, e := range entries {
		if isFormer(e.Name(), filepath.Base(stem), ext) {
			former = append(former, e.Name())
		}
	}
	for len(former) > l.cfg.RotateMaxFiles {
		if err := os.Remove(filepath.Join(filepath.Dir(stem), former[0])); err != nil {
			return err
		}
		former = former[1:]
	}
	return nil
}

func isFormer(name, stem, ext string) bool {
	number, ok := strings.CutPrefix(name, stem+"-")
	if !ok {
		return false
	}
	number, ok = strings.CutSuffix(number, ext)
	_, err := strconv.ParseInt(number, 10, 64)
	return ok && err == nil
}
