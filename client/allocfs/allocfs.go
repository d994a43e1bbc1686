// Package allocfs reads the files of an allocation for users.
//
// The tasks of the allocation can put anything there, at any time. So a path is walked
// directory by directory, each held open: links are followed only within the allocation's
// directory, and the tasks' secret and private directories are known by their identity,
// whatever way leads into them.
package allocfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nomadish/nomadish/nomadish"
)

// Limits of what is read.
const (
	MaxEntries = 10_000 // of a directory
	maxLinks   = 40     // followed on the way to a file
	maxDepth   = 256    // directories
)

// sharedDir is the directory that all tasks share; every other one is a task's.
const sharedDir = "alloc"

// FS is the files of one allocation.
type FS struct{ dir string }

// New returns the files of the allocation whose directory is dir.
func New(dir string) FS { return FS{dir: dir} }

var errEscapes = nomadish.Errorf(nomadish.KindInvalid, "Path escapes the alloc directory")

func errSecret(name string) error {
	return nomadish.Errorf(nomadish.KindDenied, "Reading secret file prohibited: %s", name)
}

// walk is a way through the directories.
type walk struct {
	name   string // the path as it was asked for
	stack  []*os.Root
	hidden []fs.FileInfo
	links  int
}

func (w *walk) close() {
	for _, r := range w.stack {
		_ = r.Close()
	}
}

func (w *walk) top() *os.Root { return w.stack[len(w.stack)-1] }

// start opens the allocation's directory.
func (f FS) start(name string) (*walk, error) {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, nomadish.Errorf(nomadish.KindNotFound, "the allocation has no files on this node: %w", notThere(err, name))
	}
	w := &walk{name: name, stack: []*os.Root{root}}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		w.close()
		return nil, err
	}
	for _, e := range entries {
		for _, secret := range []string{"secrets", "private"} {
			if e.Name() == sharedDir {
				continue
			}
			if info, err := root.Lstat(filepath.Join(e.Name(), secret)); err == nil {
				w.hidden = append(w.hidden, info)
			}
		}
	}
	return w, nil
}

// notThere makes an error of the file system one that names the path that was asked for.
func notThere(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nomadish.Errorf(nomadish.KindNotFound, "stat %s: no such file or directory", name)
	}
	return err
}

// find walks to a file and returns its name in the directory on top of the walk's stack,
// or "." when it is that directory itself.
func (w *walk) find() (base string, info fs.FileInfo, err error) {
	rest := split(w.name)
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == ".." {
			if len(w.stack) == 1 {
				return "", nil, errEscapes
			}
			_ = w.top().Close()
			w.stack = w.stack[:len(w.stack)-1]
			continue
		}
		info, err := w.top().Lstat(part)
		if err != nil {
			return "", nil, notThere(err, w.name)
		}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if rest, err = w.follow(part, rest); err != nil {
				return "", nil, err
			}
		case info.IsDir():
			if err := w.enter(part, info); err != nil {
				return "", nil, err
			}
		case len(rest) > 0:
			return "", nil, notThere(syscall.ENOTDIR, w.name)
		default:
			return part, info, nil
		}
	}
	info, err = w.top().Stat(".")
	return ".", info, err
}

func split(name string) []string {
	return slices.DeleteFunc(strings.Split(name, "/"), func(s string) bool { return s == "" || s == "." })
}

// follow puts a link's target in the place of the link. An absolute one means something
// else to the task than to us.
func (w *walk) follow(part string, rest []string) ([]string, error) {
	if w.links++; w.links > maxLinks {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "%s: more than %d links", w.name, maxLinks)
	}
	target, err := w.top().Readlink(part)
	if err != nil {
		return nil, notThere(err, w.name)
	}
	if path.IsAbs(target) {
		return nil, errEscapes
	}
	return append(split(target), rest...), nil
}

// enter opens a directory that was just looked at, and makes sure that it is that one.
func (w *walk) enter(part string, seen fs.FileInfo) error {
	if len(w.stack) >= maxDepth {
		return nomadish.Errorf(nomadish.KindInvalid, "%s: more than %d directories", w.name, maxDepth)
	}
	next, err := OpenDir(w.top(), part)
	if err != nil {
		return notThere(err, w.name)
	}
	w.stack = append(w.stack, next)
	opened, err := next.Stat(".")
	if err != nil {
		return notThere(err, w.name)
	}
	if !os.SameFile(seen, opened) {
		return nomadish.Errorf(nomadish.KindConflict, "%s: it is being changed", w.name)
	}
	for _, secret := range w.hidden {
		if os.SameFile(secret, opened) {
			return errSecret(w.name)
		}
	}
	return nil
}

// open opens a regular file.
func (f FS) open(name string) (*os.File, fs.FileInfo, error) {
	w, err := f.start(name)
	if err != nil {
		return nil, nil, err
	}
	defer w.close()
	base, info, err := w.find()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, nomadish.Errorf(nomadish.KindInvalid, "%s is not a regular file", name)
	}
	return w.openSeen(base, info)
}

// openSeen opens a regular file that was just looked at, and makes sure that it is that one.
func (w *walk) openSeen(base string, seen fs.FileInfo) (*os.File, fs.FileInfo, error) {
	file, err := w.top().OpenFile(base, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, notThere(err, w.name)
	}
	opened, err := file.Stat()
	if err == nil && !os.SameFile(seen, opened) {
		err = nomadish.Errorf(nomadish.KindConflict, "%s: it is being changed", w.name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, opened, nil
}

// Stat describes a file or directory.
func (f FS) Stat(name string) (*nomadish.AllocFileInfo, error) {
	w, err := f.start(name)
	if err != nil {
		return nil, err
	}
	defer w.close()
	base, info, err := w.find()
	if err != nil {
		return nil, err
	}
	return w.describe(base, info, path.Base(path.Clean("/"+name))), nil
}

// List describes what is in a directory, sorted by name.
func (f FS) List(name string) ([]*nomadish.AllocFileInfo, error) {
	var out []*nomadish.AllocFileInfo
	err := f.each(name, func(w *walk, info fs.FileInfo) {
		out = append(out, w.describe(info.Name(), info, info.Name()))
	})
	return out, err
}

// each calls do for each entry of a directory, in the order of their names.
func (f FS) each(name string, do func(w *walk, info fs.FileInfo)) error {
	w, err := f.start(name)
	if err != nil {
		return err
	}
	defer w.close()
	base, _, err := w.find()
	if err != nil {
		return err
	}
	if base != "." {
		return nomadish.Errorf(nomadish.KindInvalid, "%s is not a directory", name)
	}
	dir, err := w.top().Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(MaxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(entries) > MaxEntries {
		return nomadish.Errorf(nomadish.KindTooLarge, "%s has more than %d entries", name, MaxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if info, err := w.top().Lstat(e.Name()); err == nil { // else it is gone meanwhile
			do(w, info)
		}
	}
	return nil
}

func (w *walk) describe(base string, info fs.FileInfo, name string) *nomadish.AllocFileInfo {
	out := &nomadish.AllocFileInfo{
		Name: name, IsDir: info.IsDir(), Size: info.Size(), FileMode: info.Mode().String(), ModTime: info.ModTime(),
	}
	if info.Mode().IsRegular() {
		out.ContentType = w.contentType(base, info)
	}
	return out
}

func (w *walk) contentType(base string, info fs.FileInfo) string {
	if t := mime.TypeByExtension(path.Ext(base)); t != "" {
		return t
	}
	file, _, err := w.openSeen(base, info)
	if err != nil {
		return "application/octet-stream"
	}
	defer file.Close()
	var head [512]byte
	n, err := io.ReadFull(file, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "application/octet-stream"
	}
	return http.DetectContentType(head[:n])
}

// Read returns a file's content from an offset, at most limit bytes; 0 means all. The
// caller closes it.
func (f FS) Read(name string, offset, limit int64) (io.ReadCloser, error) {
	if offset < 0 || limit < 0 {
		return nil, nomadish.Errorf(nomadish.KindInvalid, "offset and limit must not be negative")
	}
	file, _, err := f.open(name)
	if err != nil {
		return nil, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	if limit == 0 {
		return file, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(file, limit), file}, nil
}
