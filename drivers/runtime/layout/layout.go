// Package layout names the files of one agent's container runtime: what survives a boot
// below its data directory, and what does not below /run.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// Layout is where one agent's runtime keeps its files.
type Layout struct {
	Data string // survives a boot: images, snapshots, the journal of exits
	Run  string // of this boot: sockets, bundles, mounts; at most 40 characters
}

// For returns the layout of the agent that has its data in dataDir. Unix sockets have short
// paths only, so those are below /run under a name made from dataDir.
func For(dataDir string) Layout {
	sum := sha256.Sum256([]byte(filepath.Clean(dataDir)))
	return Layout{
		Data: filepath.Join(dataDir, "runtime"),
		Run:  filepath.Join("/run/nomadish", hex.EncodeToString(sum[:6])),
	}
}

// Root holds images and snapshots.
func (l Layout) Root() string { return filepath.Join(l.Data, "root") }

// Exits holds the journal of exits, one file per container.
func (l Layout) Exits() string { return filepath.Join(l.Data, "exits") }

// Log is containerd's log file.
func (l Layout) Log() string { return filepath.Join(l.Data, "containerd.log") }

// Shim is the program that containerd starts per allocation: this binary, by another name.
func (l Layout) Shim() string { return filepath.Join(l.Data, "bin", ShimName) }

// Runc is the program that the shim calls: this binary, by another name.
func (l Layout) Runc() string { return filepath.Join(l.Data, "bin", RuncName) }

// The names by which the binary knows that it is called as the shim or as runc.
const (
	ShimName = "containerd-shim-runc-v2"
	RuncName = "runc"
)

// State holds bundles and mounts.
func (l Layout) State() string { return filepath.Join(l.Run, "state") }

// Socket is where containerd listens.
func (l Layout) Socket() string { return filepath.Join(l.Run, "c.sock") }

// EventSocket is where containerd listens for its shims.
func (l Layout) EventSocket() string { return filepath.Join(l.Run, "c.sock.ttrpc") }

// ShimSockets holds the shims' sockets.
func (l Layout) ShimSockets() string { return filepath.Join(l.Run, "s") }

// RuncRoot holds runc's state of containers.
func (l Layout) RuncRoot() string { return filepath.Join(l.Run, "runc") }

// Streams holds the pipes of commands run inside containers.
func (l Layout) Streams() string { return filepath.Join(l.Run, "io") }

// Mounts holds mounts that containerd and its shims make for a moment.
func (l Layout) Mounts() string { return filepath.Join(l.Run, "mounts") }

// Files holds the files made for containers, one directory each (hosts, resolv.conf).
func (l Layout) Files() string { return filepath.Join(l.Run, "files") }

// Lock is held by the running containerd.
func (l Layout) Lock() string { return filepath.Join(l.Run, "lock") }

// Process says which process the running containerd is.
func (l Layout) Process() string { return filepath.Join(l.Run, "pid") }

// Cgroup is the path of the control group of containerd and its shims: outside the
// agent's, so that what stops the agent's service leaves them alone.
func (l Layout) Cgroup() string { return "nomadish-runtime/" + filepath.Base(l.Run) }
