// Package exec runs tasks as isolated processes, without an image: the host's programs and
// libraries lie read-only in the task's own directory, which is its root. It answers to
// driver = "exec" with the options and meanings that job files have for it.
//
//	d, err := exec.New(sandbox.Config{}, runtime)
//
// A task is the user nobody unless its job says otherwise. See package sandbox for what it sees
// and may do.
package exec
