package vfs

import "io/fs"

// Op is a call on a file system.
type Op uint8

// The calls that a hook sees.
const (
	OpOpen Op = iota
	OpRemove
	OpRename
	OpMkdir
	OpReadDir
	OpSyncDir
	OpRead
	OpWrite
	OpTruncate
	OpAllocate
	OpSync
)

// Hook is called before each call on the file system behind it, with the name of the file or directory.
// An error that it returns is returned in place of the call, and nothing is done; a hook that blocks makes
// the disk slow. It may be called concurrently.
type Hook func(op Op, name string) error

// WithHook returns fsys with the hook in front of it.
func WithHook(fsys FS, hook Hook) FS { return hookFS{fsys, hook} }

type hookFS struct {
	fs   FS
	hook Hook
}

func (h hookFS) fail(op Op, verb, name string) error {
	if err := h.hook(op, name); err != nil {
		return &fs.PathError{Op: verb, Path: name, Err: err}
	}
	return nil
}

// OpenFile implements FS.
func (h hookFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := h.fail(OpOpen, "open", name); err != nil {
		return nil, err
	}
	f, err := h.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return hookFile{f, h, name}, nil
}

// Remove implements FS.
func (h hookFS) Remove(name string) error {
	if err := h.fail(OpRemove, "remove", name); err != nil {
		return err
	}
	return h.fs.Remove(name)
}

// Rename implements FS.
func (h hookFS) Rename(oldname, newname string) error {
	if err := h.fail(OpRename, "rename", oldname); err != nil {
		return err
	}
	return h.fs.Rename(oldname, newname)
}

// MkdirAll implements FS.
func (h hookFS) MkdirAll(dir string, perm fs.FileMode) error {
	if err := h.fail(OpMkdir, "mkdir", dir); err != nil {
		return err
	}
	return h.fs.MkdirAll(dir, perm)
}

// ReadDir implements FS.
func (h hookFS) ReadDir(dir string) ([]string, error) {
	if err := h.fail(OpReadDir, "readdir", dir); err != nil {
		return nil, err
	}
	return h.fs.ReadDir(dir)
}

// SyncDir implements FS.
func (h hookFS) SyncDir(dir string) error {
	if err := h.fail(OpSyncDir, "syncdir", dir); err != nil {
		return err
	}
	return h.fs.SyncDir(dir)
}

type hookFile struct {
	File
	fs   hookFS
	name string
}

// ReadAt implements File.
func (f hookFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.fail(OpRead, "read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt implements File.
func (f hookFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.fail(OpWrite, "write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

// Truncate implements File.
func (f hookFile) Truncate(size int64) error {
	if err := f.fs.fail(OpTruncate, "truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

// Allocate implements File.
func (f hookFile) Allocate(size int64) error {
	if err := f.fs.fail(OpAllocate, "allocate", f.name); err != nil {
		return err
	}
	return f.File.Allocate(size)
}

// Sync implements File.
func (f hookFile) Sync() error {
	if err := f.fs.fail(OpSync, "sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}
