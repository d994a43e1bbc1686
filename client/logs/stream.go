package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const (
	positionSuffix = ".position"
	maxPiece       = 4 << 20 // moved of one stream in one go
	floodPiece     = 1 << 20 // the same when more is written than can be kept: most would be dropped again
	punchEvery     = 1 << 20
	blockSize      = 4096
)

// stream is an attached stream.
type stream struct {
	spool string

	mu     sync.Mutex
	cfg    Stream
	pos    position
	gone   bool
	failed bool // the last move did, and it was said
}

// limit is how much of the stream is kept at most.
func (s *stream) limit() int64 {
	if s.cfg.MaxFileSize > (1<<62)/int64(s.cfg.MaxFiles) {
		return 1 << 62
	}
	return s.cfg.MaxFileSize * int64(s.cfg.MaxFiles)
}

// tail is how much of what waits is kept when it is more than the limit: a file less, as after
// a change of files, so that not each byte more means dropping again.
func (s *stream) tail() int64 { return max(s.limit()-s.cfg.MaxFileSize, s.limit()/2) }

// create makes the spool when it is missing.
func (s *stream) create() error {
	f, err := os.OpenFile(s.spool, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// resume takes up the stream where its position says that an earlier collector stopped.
func (s *stream) resume() error {
	pos, known, err := readPosition(s.spool + positionSuffix)
	if err != nil {
		return err
	}
	if err := s.create(); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.cfg.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	numbers, err := s.numbers(root)
	if err != nil {
		return err
	}
	if !known {
		// A first start; or the position was damaged, and then nothing kept is given up.
		pos = position{}
		if len(numbers) > 0 {
			pos.File = numbers[len(numbers)-1] + 1
		}
		s.pos = pos
		return s.commit()
	}
	s.pos = pos
	if err := s.cutBack(root, numbers); err != nil {
		return err
	}
	return s.skipHole()
}

// cutBack undoes what was moved after the position was stored.
func (s *stream) cutBack(root *os.Root, numbers []int64) error {
	for _, n := range numbers {
		if n > s.pos.File {
			if err := root.Remove(s.name(n)); err != nil {
				return err
			}
		}
	}
	f, err := openKept(root, s.name(s.pos.File))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() < s.pos.Length {
		s.pos.Length = info.Size() // a task may have cut it; what is gone is gone
		return s.commit()
	}
	return f.Truncate(s.pos.Length)
}

// skipHole leaves out what was already given back: after a power cut the stored position
// may be older than the hole.
func (s *stream) skipHole() error {
	f, err := os.Open(s.spool)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || s.pos.Offset >= info.Size() {
		return err
	}
	if next := nextData(f, s.pos.Offset, info.Size()); next > s.pos.Offset {
		s.pos.Dropped += next - s.pos.Offset
		s.pos.Offset, s.pos.Punched = next, next&^(blockSize-1)
		return s.commit()
	}
	return nil
}

// commit stores the position.
func (s *stream) commit() error {
	s.pos.Seq++
	return writePosition(s.spool+positionSuffix, s.pos)
}

// move moves at most n bytes and says whether there is more.
func (s *stream) move(n int64) (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return false, nil
	}
	spool, err := os.OpenFile(s.spool, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer spool.Close()
	info, err := spool.Stat()
	if err != nil {
		return false, err
	}
	size := info.Size()
	if size < s.pos.Offset { // a task opened /dev/stdout anew and emptied it
		s.pos.Offset, s.pos.Punched = 0, 0
	}
	if size == s.pos.Offset {
		return false, nil
	}
	if waiting := size - s.pos.Offset; waiting > s.limit() {
		over := waiting - s.tail()
		s.pos.Offset += over
		s.pos.Dropped += over
		n = min(n, floodPiece)
		if err := errors.Join(s.commit(), s.punch(spool)); err != nil { // before more is taken of the disk
			return false, err
		}
	}
	newest := s.pos.File
	err = s.copy(spool, min(n, size-s.pos.Offset))
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// The disk is full, and the spool is part of it: rather lose output than block the node.
		s.pos.Dropped += size - s.pos.Offset
		s.pos.Offset = size
	} else if err != nil {
		return false, err
	}
	if err := s.commit(); err != nil {
		return false, err
	}
	if waiting := size - s.pos.Offset; s.pos.File != newest || waiting >= s.cfg.MaxFileSize {
		if err := s.dropOld(waiting); err != nil {
			return false, err
		}
	}
	s.failed = false
	return s.pos.Offset < size, s.punch(spool)
}

// copy moves n bytes into the numbered files and advances the position in memory.
func (s *stream) copy(spool *os.File, n int64) error {
	root, err := os.OpenRoot(s.cfg.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := spool.Seek(s.pos.Offset, io.SeekStart); err != nil {
		return err
	}
	for n > 0 {
		if s.pos.Length >= s.cfg.MaxFileSize {
			s.pos.File++
			s.pos.Length = 0
		}
		moved, err := s.fill(root, spool, min(n, s.cfg.MaxFileSize-s.pos.Length))
		s.pos.Offset += moved
		s.pos.Length += moved
		n -= moved
		if err != nil {
			return err
		}
		if moved == 0 {
			return nil // the spool was cut meanwhile
		}
	}
	return nil
}

// fill appends n bytes to the newest numbered file.
func (s *stream) fill(root *os.Root, spool *os.File, n int64) (moved int64, err error) {
	f, err := openKept(root, s.name(s.pos.File))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(s.pos.Length); err != nil {
		return 0, err
	}
	if _, err := f.Seek(s.pos.Length, io.SeekStart); err != nil {
		return 0, err
	}
	return f.ReadFrom(io.LimitReader(spool, n)) // in the kernel where it can be
}

// openKept opens a numbered file for writing. Tasks can write to its directory: a link or
// anything else but a plain file that they put in its place is removed, never followed.
func openKept(root *os.Root, name string) (*os.File, error) {
	for range 2 {
		f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o644)
		if err == nil {
			if plain(root, name, f) {
				return f, nil
			}
			err = f.Close()
		}
		if rmErr := root.RemoveAll(name); rmErr != nil {
			return nil, errors.Join(err, rmErr)
		}
	}
	return nil, fmt.Errorf("%s: something keeps replacing it", name)
}

func plain(root *os.Root, name string, f *os.File) bool {
	opened, err := f.Stat()
	if err != nil || !opened.Mode().IsRegular() || links(opened) > 1 {
		return false
	}
	there, err := root.Lstat(name)
	return err == nil && os.SameFile(opened, there)
}

// name is the path of a numbered file below the allocation's directory.
func (s *stream) name(n int64) string { return s.cfg.Path + "." + strconv.FormatInt(n, 10) }

// numbers returns the numbers of the files that are there, in order.
func (s *stream) numbers(root *os.Root) ([]int64, error) {
	entries, err := fs.ReadDir(root.FS(), path.Dir(s.cfg.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, root.MkdirAll(path.Dir(s.cfg.Path), 0o755)
	}
	if err != nil {
		return nil, err
	}
	return Numbers(entries, path.Base(s.cfg.Path)), nil
}

// dropOld removes the oldest files beyond the limit, and already those that what waits in the
// spool will push out: both together are bounded. The position is stored before, so that a
// later agent never looks for one that is gone.
func (s *stream) dropOld(waiting int64) error {
	oldest := min(s.pos.File-int64(s.cfg.MaxFiles)+waiting/s.cfg.MaxFileSize, s.pos.File-1)
	if oldest < 0 {
		return nil
	}
	root, err := os.OpenRoot(s.cfg.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	numbers, err := s.numbers(root)
	if err != nil {
		return err
	}
	for _, n := range numbers {
		if n <= oldest {
			if err := root.RemoveAll(s.name(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// punch gives the disk space of moved content back.
func (s *stream) punch(spool *os.File) error {
	upTo := s.pos.Offset &^ (blockSize - 1)
	if upTo-s.pos.Punched < punchEvery {
		return nil
	}
	if err := punchHole(spool, s.pos.Punched, upTo-s.pos.Punched); err != nil {
		return fmt.Errorf("free the spool: %w", err)
	}
	s.pos.Punched = upTo
	return s.commit()
}

// warn tells of an error once, until a move succeeds.
func (s *stream) warn(log *slog.Logger, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.failed && !s.gone {
		s.failed = true
		log.Warn("move a task's output", "log", path.Join(s.cfg.Root, s.cfg.Path), "err", err)
	}
}

// Numbers returns the numbers of the files among entries that are called base.N, in order.
func Numbers(entries []fs.DirEntry, base string) []int64 {
	var out []int64
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), base+".")
		if !ok {
			continue
		}
		if n, err := strconv.ParseInt(number, 10, 64); err == nil && n >= 0 && strconv.FormatInt(n, 10) == number {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}
