//go:build !linux

package fingerprint

import "errors"

// DiskOf is known on Linux only; elsewhere the configuration says how much disk there is.
func DiskOf(string) (Disk, error) {
	return Disk{}, errors.New("the use of disks is only known on Linux")
}
