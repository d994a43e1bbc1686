// Package qemu runs virtual machines: an emulator of the host boots a disk image, in a sandbox
// that sees the image and the task's directory only. It answers to driver = "qemu" with the
// options and meanings that job files have for it.
//
//	d, err := qemu.New(qemu.Config{ImagePaths: []string{"/srv/images"}}, runtime)
package qemu
