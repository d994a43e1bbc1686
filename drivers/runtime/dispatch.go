//go:build linux && cgo

// Package runtime is the container runtime inside the binary: containerd, its shim and
// runc, which start the binary again under other names and arguments. A program that links
// it calls Dispatch before anything else in main:
//
//	if handled, code := runtime.Dispatch(os.Args); handled {
//		os.Exit(code)
//	}
package runtime

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nomadish/nomadish/drivers/runtime/containerd"
	_ "github.com/nomadish/nomadish/drivers/runtime/initproc" // done before main, where it is asked for
	"github.com/nomadish/nomadish/drivers/runtime/layout"
	"github.com/nomadish/nomadish/drivers/runtime/runc"
	"github.com/nomadish/nomadish/drivers/runtime/shim"
)

// Dispatch runs the part of the runtime that the process's arguments (program name first)
// ask for and returns its exit code; or it returns false when they ask for none.
func Dispatch(args []string) (handled bool, code int) {
	if len(args) == 0 {
		return false, 0
	}
	name := filepath.Base(args[0])
	switch {
	case runc.IsInit(args):
		runc.Init()
		return true, 1 // not reached
	case name == layout.RuncName:
		return true, runc.Main(args[1:])
	case name == layout.ShimName, shim.IsShim(args):
		shim.Main()
		return true, 0
	case len(args) == 4 && args[1] == "containerd":
		return true, serve(layout.Layout{Data: args[2], Run: args[3]})
	}
	return false, 0
}

func serve(l layout.Layout) int {
	if err := containerd.Serve(context.Background(), l); err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
		return 1
	}
	return 0
}

// Seccomp says whether containers can have a system call filter: the binary was built with
// the tag "seccomp".
func Seccomp() bool { return runc.SeccompSupported() }
