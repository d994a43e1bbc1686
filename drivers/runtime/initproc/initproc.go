//go:build linux && cgo

// Package initproc is the first process of containers that ask for one: it starts the task's
// process, passes signals on to it, reaps all that end without a parent, and ends as the
// task's process did. A program that links this package is that process when it is called by
// the name nomadish-init, with "--" and the command as arguments:
//
//	nomadish-init -- /usr/bin/server --port 80
//
// It is in C and done before the Go runtime of the program starts, so that it takes a few
// pages of memory and no thread. A static program runs in any image.
package initproc

// #cgo CFLAGS: -std=gnu11 -Wall -Wextra
import "C"

// Name is the name that makes a program the first process.
const Name = "nomadish-init"
