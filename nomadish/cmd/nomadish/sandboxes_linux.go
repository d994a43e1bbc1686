package main

import (
	"errors"
	"fmt"

	"github.com/nomadish/nomadish/drivers"
	"github.com/nomadish/nomadish/drivers/container"
	"github.com/nomadish/nomadish/drivers/container/sandbox"
	"github.com/nomadish/nomadish/drivers/exec"
	"github.com/nomadish/nomadish/drivers/java"
	"github.com/nomadish/nomadish/drivers/qemu"
)

// sandboxes makes the drivers whose tasks run the host's own programs, of their plugin blocks
// and the client's chroot_env.
func sandboxes(plugin func(name string) drivers.Options, chroot map[string]string, r *container.Runtime) (map[string]drivers.Driver, error) {
	programs, err1 := exec.New(sandbox.ReadConfig(plugin(exec.Name), chroot), r)
	classes, err2 := java.New(java.Config{Config: sandbox.ReadConfig(plugin(java.Name), chroot)}, r)
	machines, err3 := qemu.New(qemu.ReadConfig(plugin(qemu.Name), chroot), r)
	var errs []error
	for _, made := range []struct {
		name string
		err  error
	}{{exec.Name, err1}, {java.Name, err2}, {qemu.Name, err3}} {
		if made.err != nil {
			errs = append(errs, fmt.Errorf("plugin %q: %w", made.name, made.err))
		}
	}
	return map[string]drivers.Driver{exec.Name: programs, java.Name: classes, qemu.Name: machines}, errors.Join(errs...)
}
