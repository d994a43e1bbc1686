//go:build !linux

package vfs

import (
	"errors"
	"os"
	"runtime"
)

func syncData(f *os.File) error { return f.Sync() }

// SyncDir makes the names in a directory durable. Windows offers no such call; there the file system's
// journal has to do.
func (OS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Allocate makes the file at least that big.
func (f osFile) Allocate(size int64) error { return extend(f, size) }
