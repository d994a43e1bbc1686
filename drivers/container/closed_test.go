//go:build linux

package container_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nomadish/nomadish/drivers/container/containertest"
)

// asNobody does something with the rights to files that a user without any has.
func asNobody(t *testing.T, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with its user
		const nobody = 65534
		if err := errors.Join(unix.Setfsgid(nobody), unix.Setfsuid(nobody)); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// Users of the host read nothing of what the runtime keeps - images, root file systems with
// their setuid programs, bundles, sockets, journals -, not even where all above it is open to them
// and its own directory is passable, as containers with users of their own need it.
func TestOtherUsersSeeNothingOfTheRuntime(t *testing.T) {
	d := newDriver(t)
	containertest.Start(t, d, world.Spec(t, run("sleep")))
	l := world.Layout()
	for dir, mode := range map[string]fs.FileMode{world.Root: 0o755, world.Dir: 0o755, filepath.Dir(l.Run): 0o711, l.Run: 0o711} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Chmod(dir, info.Mode().Perm()); err != nil {
				t.Error(err)
			}
		})
	}
	seen := 0
	for _, top := range []string{l.Data, l.Run} {
		err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it was there a moment ago
			}
			if err != nil {
				return err
			}
			if strings.Count(strings.TrimPrefix(path, top), "/") > 4 && e.IsDir() {
				return fs.SkipDir
			}
			seen++
			err = asNobody(t, func() error {
				fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
				if err == nil {
					err = unix.Close(fd)
				}
				return err
			})
			if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOENT) {
				t.Errorf("nobody opens %s: got %v, want %v", path, err, unix.EACCES)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if seen < 20 {
		t.Errorf("%d files were tried: this test looks in the wrong place", seen)
	}
}
