package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Mounts are made and removed by way of open directories: a path could be led elsewhere by
// who swaps a directory for a link.

// memory is the kind of file system that secrets lie in.
const memory = "tmpfs"

// mountMemory mounts a file system in memory on a directory of dir, unless one is there. It
// says whether it did; a process without the right to mount goes without.
func mountMemory(dir *os.Root, name string, sizeMB int) (mounted bool, err error) {
	if os.Geteuid() != 0 {
		return false, nil
	}
	above, here, err := look(dir, name)
	if err != nil || device(above) != device(here) {
		return false, err
	}
	if !here.IsDir() {
		return false, errors.New("something else is in its place")
	}
	at, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer at.Close()
	opened, err := at.Stat()
	if err != nil {
		return false, err
	}
	if !os.SameFile(here, opened) {
		return false, errors.New("it is being changed")
	}
	err = unix.Mount(memory, fmt.Sprintf("/proc/self/fd/%d", at.Fd()), memory, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("size=%dm,mode=0700", sizeMB))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// unmount removes what is mounted on a directory of dir, if anything is.
func unmount(dir *os.Root, name string) error {
	parent, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer parent.Close()
	for range maxPasses {
		above, here, err := look(dir, name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && device(above) == device(here) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unmountAt(parent, name); err != nil {
			return err
		}
	}
	return fmt.Errorf("unmount %s: still mounted", name)
}

// look describes a directory and an entry of it, without following that.
func look(dir *os.Root, name string) (above, here fs.FileInfo, err error) {
	if above, err = dir.Stat("."); err != nil {
		return nil, nil, err
	}
	here, err = dir.Lstat(name)
	return above, here, err
}

// device is the file system that a file lies on: a mount has one of its own.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Dev
	}
	return 0
}
