//go:build linux

package docker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// stage holds mounts of what was opened for one container, in a directory that no task can
// reach, until the runtime has made its own of them. The runtime takes paths: a path that a
// task can change would lead it elsewhere.
type stage struct {
	dir string
	n   int
}

// put mounts an open file or directory, with all that is mounted below it, and returns where.
func (s *stage) put(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", err
	}
	at := filepath.Join(s.dir, strconv.Itoa(s.n))
	s.n++
	if info.IsDir() {
		err = os.Mkdir(at, 0o700)
	} else {
		err = os.WriteFile(at, nil, 0o600)
	}
	if err != nil {
		return "", err
	}
	from := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	if err := unix.Mount(from, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return "", fmt.Errorf("mount %s: %w", f.Name(), err)
	}
	return at, nil
}

// clear takes the mounts away. It removes no file that is not empty: were a mount still
// there, its content is not ours.
func (s *stage) clear() error { return clearStage(s.dir) }

func clearStage(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: nothing is mounted there
			errs = append(errs, &os.PathError{Op: "unmount", Path: at, Err: err})
			continue
		}
		errs = append(errs, os.Remove(at))
	}
	return errors.Join(append(errs, os.Remove(dir))...)
}

// clearStages clears those of starts that nobody finished.
func (d *Driver) clearStages() error {
	entries, err := os.ReadDir(d.stageDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, clearStage(filepath.Join(d.stageDir(), e.Name())))
	}
	return errors.Join(errs...)
}
