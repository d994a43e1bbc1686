//go:build linux

package docker

import (
	"debug/elf"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// initPath is where the first process of a container with init is, as containers see it. The
// program knows by its name what it is to do: see package initproc.
const initPath = "/sbin/nomadish-init"

// initProgram is this program, by any of its names.
func (d *Driver) initProgram() string { return d.Layout().Runc() }

// canInit says why containers can't have a first process of ours: the program must run
// without any library of the image.
func (d *Driver) canInit() error {
	f, err := elf.Open(d.initProgram())
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("init: refused: this build of the program is not static, so that it can't run in containers")
		}
	}
	return nil
}

// stopSignal takes an image's STOPSIGNAL, which can be a number, to a name; it is empty for
// one that is not known.
func stopSignal(text string) string {
	if n, err := strconv.Atoi(text); err == nil {
		return unix.SignalName(unix.Signal(n))
	}
	name := strings.ToUpper(text)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if unix.SignalNum(name) == 0 {
		return ""
	}
	return name
}
