package allocfs

import (
	"fmt"
	"os"
	"syscall"
)

// OpenDir opens a directory below root as a root of its own. Where a task has put something
// else in its place it fails, and does not wait, as opening a FIFO would.
func OpenDir(root *os.Root, name string) (*os.Root, error) {
	dir, err := root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
}
