package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxPasses bounds how often what is mounted below an allocation is looked for: mounts can lie
// on top of each other.
const maxPasses = 8

// Unmount frees the memory that was mounted for an allocation's tasks, wherever below its
// directory they have moved it to since, and makes sure that nothing else is mounted there:
// removing the directory would empty it, whoever's it is. The tasks have ended.
func Unmount(allocDir string) error {
	dir, err := filepath.EvalSymlinks(allocDir) // the kernel names mounts so
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var left []mount
	for range maxPasses {
		if left, err = mountsBelow(dir); err != nil || len(left) == 0 {
			return err
		}
		for _, m := range slices.Backward(left) { // the last one lies on top
			if m.kind != memory || m.name == "." {
				return fmt.Errorf("%s: %s is still mounted", allocDir, m.name)
			}
			if err := unmountBelow(root, m.name); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("%s: %s is still mounted", allocDir, left[0].name)
}

// unmountBelow unmounts something by its path below root. Links that are left there lead
// nowhere else.
func unmountBelow(root *os.Root, name string) error {
	parent, err := root.OpenFile(filepath.Dir(name), os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	return unmountAt(parent, filepath.Base(name))
}

// unmountAt unmounts what lies on an entry of a directory. Who still uses it keeps it until then.
func unmountAt(dir *os.File, name string) error {
	if err := unix.Unmount(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmount %s: %w", name, err)
	}
	return nil
}

// mount is a file system that is mounted below a directory.
type mount struct {
	name string // its path from there
	kind string
}

// mountsBelow returns what is mounted on a directory and below it, in the order of mounting.
func mountsBelow(dir string) ([]mount, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var out []mount
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		at, kind := strings.Fields(before), strings.Fields(after)
		if len(at) < 5 || len(kind) == 0 {
			continue
		}
		name, err := filepath.Rel(dir, unescaped.Replace(at[4]))
		if err == nil && filepath.IsLocal(name) {
			out = append(out, mount{name: name, kind: kind[0]})
		}
	}
	return out, nil
}

// unescaped reads a path as the kernel writes it in the table of mounts.
var unescaped = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
