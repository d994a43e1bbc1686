package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// ErrCrashed is what every call on a Mem and its files returns after Crash.
var ErrCrashed = errors.New("machine has crashed")

// Mem is a file system in memory that keeps apart what is written and what is durable. Directories are
// durable at once; the names of files in them only after SyncDir.
type Mem struct {
	mu      sync.Mutex
	crashed bool
	dirs    map[string]bool
	names   map[string]*inode // what a running program sees
	durable map[string]*inode // what SyncDir made safe
}

// NewMem returns an empty file system.
func NewMem() *Mem {
	return &Mem{dirs: map[string]bool{}, names: map[string]*inode{}, durable: map[string]*inode{}}
}

var _ FS = (*Mem)(nil)

// inode is a file without its name; the lock of its Mem guards it.
type inode struct {
	data   []byte
	synced []byte
	dirty  struct{ from, to int64 } // where the two may differ, but for their lengths
}

// touch notes that bytes were changed.
func (n *inode) touch(from, to int64) {
	if n.dirty.to == 0 {
		n.dirty.from = from
	}
	n.dirty.from, n.dirty.to = min(n.dirty.from, from), max(n.dirty.to, to)
}

func (n *inode) sync() {
	size := int64(len(n.data))
	if have := int64(len(n.synced)); have < size {
		n.synced = slices.Grow(n.synced, int(size-have))
	}
	n.synced = n.synced[:size]
	from, to := min(n.dirty.from, size), min(n.dirty.to, size)
	copy(n.synced[from:to], n.data[from:to])
	n.dirty.from, n.dirty.to = 0, 0
}

// Crash cuts the power: the Mem and its open files are dead from then on, and the file system that a
// restarted machine finds is returned. What was synced is there. Of the rest, rng decides: each sector
// written since the last sync has the new content or the old, each name is as before or after. A nil rng
// loses all of it.
func (m *Mem) Crash(rng *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crashed = true
	after := NewMem()
	after.dirs = m.dirs
	for _, name := range sortedNames(m.names, m.durable) {
		node := m.durable[name]
		if rng != nil && rng.IntN(2) == 0 {
			node = m.names[name]
		}
		if node == nil {
			continue
		}
		survived := node.survive(rng)
		kept := &inode{data: survived, synced: slices.Clone(survived)}
		after.names[name], after.durable[name] = kept, kept
	}
	return after
}

// survive returns the content after a crash.
func (n *inode) survive(rng *rand.Rand) []byte {
	if rng == nil {
		return slices.Clone(n.synced)
	}
	size := len(n.synced)
	if grown := len(n.data) - size; grown > 0 {
		size += rng.IntN(grown + 1)
	} else if grown < 0 && rng.IntN(2) == 0 {
		size = len(n.data)
	}
	out := make([]byte, size)
	copy(out, n.synced)
	for off := 0; off < size; off += SectorSize {
		if off < len(n.data) && rng.IntN(2) == 0 {
			copy(out[off:min(off+SectorSize, size)], n.data[off:])
		}
	}
	return out
}

func sortedNames(maps ...map[string]*inode) []string {
	var all []string
	for _, m := range maps {
		for name := range m {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Clone returns a copy of the file system as a running program sees it, all of it durable.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMem()
	for dir := range m.dirs {
		c.dirs[dir] = true
	}
	for name, node := range m.names {
		kept := &inode{data: slices.Clone(node.data), synced: slices.Clone(node.data)}
		c.names[name], c.durable[name] = kept, kept
	}
	return c
}

// OpenFile opens a file.
func (m *Mem) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("open", name); err != nil {
		return nil, err
	}
	node, ok := m.names[name]
	switch {
	case m.dirs[name]:
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("is a directory")}
	case ok && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case !ok && flag&os.O_CREATE == 0, !ok && !m.hasDir(filepath.Dir(name)):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		node = &inode{}
		m.names[name] = node
	case flag&os.O_TRUNC != 0:
		node.resize(0)
	}
	return &memFile{fs: m, node: node, name: name, readOnly: flag&(os.O_RDWR|os.O_WRONLY) == 0}, nil
}

// check says why nothing can be done now; the caller holds the lock.
func (m *Mem) check(op, name string) error {
	if m.crashed {
		return &fs.PathError{Op: op, Path: name, Err: ErrCrashed}
	}
	return nil
}

func (m *Mem) hasDir(dir string) bool { return dir == "." || dir == "/" || m.dirs[dir] }

// Remove deletes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("remove", name); err != nil {
		return err
	}
	if m.dirs[name] {
		if len(m.children(name)) > 0 {
			return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
		}
		delete(m.dirs, name)
		return nil
	}
	if _, ok := m.names[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

// Rename replaces newname by oldname.
func (m *Mem) Rename(oldname, newname string) error {
	oldname, newname = filepath.Clean(oldname), filepath.Clean(newname)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("rename", oldname); err != nil {
		return err
	}
	node, ok := m.names[oldname]
	if !ok || !m.hasDir(filepath.Dir(newname)) {
		return &fs.PathError{Op: "rename", Path: oldname, Err: fs.ErrNotExist}
	}
	delete(m.names, oldname)
	m.names[newname] = node
	return nil
}

// MkdirAll makes a directory and those above it.
func (m *Mem) MkdirAll(dir string, _ fs.FileMode) error {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("mkdir", dir); err != nil {
		return err
	}
	for ; !m.hasDir(dir); dir = filepath.Dir(dir) {
		if _, ok := m.names[dir]; ok {
			return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrExist}
		}
		m.dirs[dir] = true
	}
	return nil
}

// ReadDir returns the names in a directory, sorted.
func (m *Mem) ReadDir(dir string) ([]string, error) {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("readdir", dir); err != nil {
		return nil, err
	}
	if !m.hasDir(dir) {
		return nil, &fs.PathError{Op: "readdir", Path: dir, Err: fs.ErrNotExist}
	}
	return m.children(dir), nil
}

func (m *Mem) children(dir string) []string {
	names := []string{}
	for name := range m.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	for name := range m.dirs {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

// SyncDir makes the names in a directory durable.
func (m *Mem) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.check("syncdir", dir); err != nil {
		return err
	}
	for _, name := range sortedNames(m.names, m.durable) {
		if filepath.Dir(name) != dir {
			continue
		}
		if node, ok := m.names[name]; ok {
			m.durable[name] = node
		} else {
			delete(m.durable, name)
		}
	}
	return nil
}

type memFile struct {
	fs       *Mem
	node     *inode
	name     string
	readOnly bool
	closed   bool
}

// use runs fn under the lock, unless the file can't be used any more.
func (f *memFile) use(op string, fn func(n *inode) error) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.check(op, f.name); err != nil {
		return err
	}
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return fn(f.node)
}

func (f *memFile) write(op string, fn func(n *inode) error) error {
	return f.use(op, func(n *inode) error {
		if f.readOnly {
			return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrPermission}
		}
		return fn(n)
	})
}

// ReadAt implements File.
func (f *memFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = f.use("read", func(node *inode) error {
		if off < 0 {
			return fmt.Errorf("read %s: negative offset", f.name)
		}
		if off < int64(len(node.data)) {
			n = copy(p, node.data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

// WriteAt implements File.
func (f *memFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.write("write", func(node *inode) error {
		if off < 0 {
			return fmt.Errorf("write %s: negative offset", f.name)
		}
		node.resize(max(int64(len(node.data)), off+int64(len(p))))
		n = copy(node.data[off:], p)
		node.touch(off, off+int64(n))
		return nil
	})
	return n, err
}

// Truncate implements File.
func (f *memFile) Truncate(size int64) error {
	return f.write("truncate", func(node *inode) error {
		node.resize(size)
		return nil
	})
}

// Allocate implements File.
func (f *memFile) Allocate(size int64) error {
	return f.write("allocate", func(node *inode) error {
		node.resize(max(size, int64(len(node.data))))
		return nil
	})
}

// resize sets the length; bytes that come into being are zero, also where the array held others before.
func (n *inode) resize(size int64) {
	old := int64(len(n.data))
	if size <= old {
		n.data = n.data[:size]
		return
	}
	n.data = slices.Grow(n.data, int(size-old))[:size]
	clear(n.data[old:])
	n.touch(old, size)
}

// Sync implements File.
func (f *memFile) Sync() error {
	return f.use("sync", func(node *inode) error {
		node.sync()
		return nil
	})
}

// Size implements File.
func (f *memFile) Size() (size int64, err error) {
	err = f.use("stat", func(node *inode) error {
		size = int64(len(node.data))
		return nil
	})
	return size, err
}

// Close implements File.
func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return f.fs.check("close", f.name)
}
