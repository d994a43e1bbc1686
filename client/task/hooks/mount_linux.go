package hooks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mountMemory mounts a file system in memory on a directory, unless one is there. It says
// whether it did; a process without the right to mount goes without.
func mountMemory(dir string, sizeMB int) (mounted bool, err error) {
	if os.Geteuid() != 0 || isMount(dir) {
		return false, nil
	}
	err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, fmt.Sprintf("size=%dm,mode=0700", sizeMB))
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}

// unmount removes what is mounted on a directory, if anything is.
func unmount(dir string) error {
	for range 8 { // more than one can lie on top of each other
		if !isMount(dir) {
			return nil
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", dir, err)
		}
	}
	return fmt.Errorf("unmount %s: still mounted", dir)
}

// isMount says whether a directory lies on another file system than the one above it.
func isMount(dir string) bool {
	var here, above unix.Stat_t
	if unix.Lstat(dir, &here) != nil || unix.Lstat(filepath.Dir(dir), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}
