//go:build !linux

package allocfs

import "os"

// OpenDir opens a directory below root as a root of its own.
func OpenDir(root *os.Root, name string) (*os.Root, error) { return root.OpenRoot(name) }
