package fingerprint

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// DiskOf returns the use of the file system that a directory lies on.
func DiskOf(dir string) (Disk, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Disk{}, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := uint64(st.Bsize)
	d := Disk{Total: st.Blocks * block, Free: st.Bavail * block, Inodes: st.Files, Unused: st.Ffree}
	d.Device, d.Mount = mountOf(dir)
	return d, nil
}

// mountOf returns the device and the mount point that a directory lies on: the longest
// mount point above it, of equal ones the newest.
func mountOf(dir string) (device, mount string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 2 || len(f[1]) < len(mount) {
			continue
		}
		if dir == f[1] || f[1] == "/" || strings.HasPrefix(dir, f[1]+"/") {
			device, mount = f[0], f[1]
		}
	}
	return device, mount
}
