// Package vfs is the file system that a server's durable state lives on. OS is the real one; Mem keeps
// everything in memory and can lose what was not synced, as a machine does when its power is cut; Hook
// puts faults of a test's choice in front of either.
//
// The contract is what a careful program may expect of a disk and no more: bytes written are durable
// after Sync of the file, names after SyncDir of the directory, and an aligned sector of 512 bytes is
// written whole or not at all.
package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// SectorSize is the number of aligned bytes that reach the disk together.
const SectorSize = 512

// FS opens and names files. Errors satisfy errors.Is with the errors of package io/fs. Methods may be
// called concurrently.
type FS interface {
	// OpenFile opens a file with the flags of package os: O_RDONLY or O_RDWR, with O_CREATE, O_EXCL, O_TRUNC.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// Rename replaces newname by oldname in one step.
	Rename(oldname, newname string) error
	// MkdirAll makes a directory and those above it.
	MkdirAll(dir string, perm fs.FileMode) error
	// ReadDir returns the names in a directory, sorted.
	ReadDir(dir string) ([]string, error)
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
}

// File is an open file. Reads and writes may be concurrent where they don't overlap.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Truncate sets the size; bytes beyond the old size read as zeros.
	Truncate(size int64) error
	// Allocate makes the file at least that big, with the space reserved where the disk can: what is
	// written there needs neither a new block nor a new size, so that Sync is quicker and the disk is full
	// now or not at all.
	Allocate(size int64) error
	// Sync makes the content and size durable. After an error nothing is known of the unsynced bytes, and
	// calling it again tells no more: whoever needs them must stop.
	Sync() error
}

// Open opens a file for reading.
func Open(fsys FS, name string) (File, error) { return fsys.OpenFile(name, os.O_RDONLY, 0) }

// Create makes an empty file, or empties the one that is there, for reading and writing.
func Create(fsys FS, name string) (File, error) {
	return fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

// ReadFile returns the content of a file of at most limit bytes.
func ReadFile(fsys FS, name string, limit int64) (_ []byte, err error) {
	f, err := Open(fsys, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", name, size, limit)
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// WriteFile replaces the content of a file durably and in one step: after a crash it holds either the
// old content or the new.
func WriteFile(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, data); err != nil {
		return errors.Join(err, ignoreMissing(fsys.Remove(tmp)))
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return errors.Join(err, ignoreMissing(fsys.Remove(tmp)))
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte) (err error) {
	f, err := Create(fsys, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
